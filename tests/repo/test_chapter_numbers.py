"""A number of a chapter in prose is that of the chapter which treats what is named beside it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROSE = (".py", ".ipynb", ".md", ".jinja", ".yaml")
LINK = re.compile(r"chapter (\d)\]\([./a-z]*0(\d)_", re.I)
BESIDE = re.compile(
    r"chapter (\d)(?:\]\([^)]*\))?'s ([\w-]+)|([\w-]+) (?:of|in) \[?chapter (\d)|(\w+) \(chapter (\d)\)", re.I
)
TOPICS = {
    "1": "bias|border|shortcuts?",
    "2": "archive|records|rules",
    "3": "box|crops?|rectangle|U-Nets?",
    "4": "generators?|lambdas?",
    "5": "fusion|twins",
    "6": "cross-validation|folds|stud(y|ies)|systems|t-test",
    "7": "measures",
    "8": "benefit|calibration|thresholds?",
    "9": "Grad-CAM|layers?|maps?|marker|pointing",
}


def wrong(text):
    """Return what is said of a chapter that another one treats, and links to another than they name."""
    links = [found[0] for found in LINK.finditer(text) if found[1] != found[2]]
    for found in BESIDE.finditer(text):
        chapter, topic = found[1] or found[4] or found[6], found[2] or found[3] or found[5]
        treated = [number for number, words in TOPICS.items() if re.fullmatch(words, topic, re.I)]
        links += [found[0]] if treated and chapter not in treated else []
    return links


@pytest.mark.parametrize(
    "text",
    [
        "the studies of chapter 7",
        "chapter 7's layer",
        "heat maps (chapter 7)",
        "the threshold in [chapter 6](08_thresholds.ipynb)",
        "[Chapter 6](../../notebooks/08_thresholds.ipynb)",
    ],
)
def test_numbers_of_the_former_order_are_found(text):
    assert wrong(text) and not wrong(text.replace("7", "N").replace("6", "N"))


@pytest.mark.parametrize(
    "place", ["README.md", "CONTRIBUTING.md", "book", "data_scripts", "notebooks", "sdnet_lib"]
)
def test_chapters_are_called_by_their_numbers(place):
    files = [ROOT / place] if place.endswith(".md") else (ROOT / place).rglob("*")
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in files if file.suffix in PROSE}
    assert {name: found for name, text in texts.items() if (found := wrong(text))} == {}
