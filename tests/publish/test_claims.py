"""The claims of the chapters: about numbers that are there, and able to be contradicted."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from tests.publish import claims

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


class Asked(claims.Glued):
    """Numbers that note which of them a claim asks for."""

    def __init__(self, text: str) -> None:
        self.text, self.names = text, set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self.text


def test_every_chapter_has_claims():
    assert [notebook.stem[:2] for notebook in NOTEBOOKS] == sorted(claims.CLAIMS)
    assert all(len(found) >= 3 for found in claims.CLAIMS.values())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_claim_asks_for_numbers_that_its_chapter_shows_and_can_be_contradicted(notebook):
    chapter = notebook.stem[:2]
    shown = set(re.findall(r"glue:text}`c\d+_([\w\-]+)`", notebook.read_text(encoding="utf-8")))
    for claim in claims.CLAIMS[chapter]:
        answers = set()
        for text in ("0.5 (0.5 to 0.5)", "-1 (-1 to -1)", "99 (99 to 99)", "4 of 5", "red", "none"):
            asked = Asked(text)
            with suppress(IndexError):  # a word where a number is asked for
                answers.add(bool(claim.holds(asked)))
            assert asked.names and asked.names <= shown, (claim.sentence, asked.names - shown)
        assert False in answers, claim.sentence


def test_numbers_are_read_as_the_chapters_write_them(tmp_path):
    texts = {"c6_worst": "'−8 points'", "c6_best": "'+33 points'", "c6_auc": "'X: 0.850 (0.797 to 0.901)'"}
    outputs = [
        {"metadata": {"scrapbook": {"name": name}}, "data": {"text/plain": text}}
        for name, text in texts.items()
    ]
    file = tmp_path / "executed.ipynb"
    file.write_text(json.dumps({"cells": [{"outputs": outputs}, {"cell_type": "markdown"}]}))
    glued = claims.read(file, "06")
    assert glued.number("worst") == -8 and glued.number("best") == 33
    assert [glued.number("auc", place) for place in range(3)] == [0.85, 0.797, 0.901]
    assert glued.above("best", "worst") and not glued.above("worst", "best")


def test_a_contradiction_is_named():
    said = {
        "change_high": "0.01",
        "change_low": "0.02",
        "own": "0.99",
        "auc_originals": "0.8",
        "crossed": "0.10",
    }
    assert claims.contradictions("04", claims.Glued(said)) == ["more lambda, more change"]
