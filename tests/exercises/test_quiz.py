"""Every quiz has one right answer a question and a reason for each choice, and works without a script."""

from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from sdnet_lib.exercises import quiz
from sdnet_lib.publish import course

ROOT = Path(__file__).parents[2]
CHAPTERS = [int(path.name[:2]) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


class Anything(dict):
    """Numbers of a run, whatever they are called: each another one."""

    def __missing__(self, name):
        return f"<{name}>"


def asked(chapter):
    return quiz.questions(chapter, Anything())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_four_to_six_questions_with_one_right_answer_and_a_reason_for_all(chapter):
    raw = yaml.safe_load((quiz.QUIZZES / f"{chapter:02d}.yaml").read_text())
    assert 4 <= len(raw) <= 6
    for source, one in zip(raw, asked(chapter), strict=True):
        assert set(source) == {"ask", "right", "wrong"} and set(source["right"]) == {"say", "why"}
        assert all(set(choice) == {"say", "why"} for choice in source["wrong"])
        assert len(one["choices"]) == 1 + len(source["wrong"]) >= 3
        assert sum(choice["right"] for choice in one["choices"]) == 1
        assert all(len(choice["why"].split()) >= 4 for choice in one["choices"])
        assert len({choice["why"] for choice in one["choices"]}) == len(one["choices"])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_number_of_the_run_is_a_right_answer_in_each_chapter(chapter):
    right = [choice["say"] for one in asked(chapter) for choice in one["choices"] if choice["right"]]
    assert any(say.startswith("<") for say in right)


def test_the_place_of_the_right_answer_tells_nothing():
    places = [[c["right"] for c in one["choices"]].index(True) for n in CHAPTERS for one in asked(n)]
    assert {0, 1, 2} <= set(places) and max(map(places.count, places)) < 0.6 * len(places)
    assert asked(3) == asked(3)


def test_a_wrong_choice_that_reads_like_the_right_one_is_left_out():
    numbers = {"plain": "5 %", "corrected": "5 %"}
    (first, *_) = quiz.questions(6, numbers)
    assert [(choice["say"], choice["right"]) for choice in first["choices"]] == [("5 %", True)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_notebook_shows_its_quiz_and_the_run_gives_the_numbers(chapter, capsys):
    (path,) = (ROOT / "notebooks").glob(f"{chapter:02d}_*.ipynb")
    cells = [cell for cell in nbformat.read(path, 4).cells if "course.quiz(" in cell.source]
    assert len(cells) == 1 and "remove-input" in cells[0].metadata["tags"]
    wanted = set()

    class Noted(Anything):
        def __missing__(self, name):
            wanted.add(name)
            return super().__missing__(name)

    quiz.questions(chapter, Noted())
    given = cells[0].source.partition("course.quiz(")[2]
    assert wanted and all(name in given for name in wanted)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_page_needs_no_script_and_each_choice_opens_with_a_key(chapter):
    page = BeautifulSoup(quiz.as_html(chapter, asked(chapter)), "html.parser")
    questions = page.select("ol.quiz > li")
    assert len(questions) == len(asked(chapter)) and not page.select("script, style, [onclick], input")
    for one, item in zip(asked(chapter), questions, strict=True):
        choices = item.select("details")
        assert [choice.summary.get_text() for choice in choices] == [
            choice["say"].replace("`", "") for choice in one["choices"]
        ]
        assert sum(choice.p.get_text().startswith("Right. ") for choice in choices) == 1
        assert len({choice["name"] for choice in choices}) == 1
    assert len({choice["name"] for choice in page.select("details")}) == len(questions)


def test_what_is_typed_stays_text():
    sheet = [{"ask": "Is a < b in `x < y`?", "choices": [{"say": "<b>", "why": "&", "right": True}]}]
    made = quiz.as_html(1, sheet)
    assert "a &lt; b in <code>x &lt; y</code>" in made and "<summary>&lt;b&gt;</summary>" in made


def test_as_text_the_answers_come_last():
    text = quiz.as_text(asked(1))
    questions, _, answers = text.partition("\n\nAnswers\n")
    assert "Right." not in questions and answers.count("Right.") == len(asked(1))


def test_a_notebook_gets_both(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    course.quiz(6, plain="20 %", corrected="4 %")
    assert set(shown[0]) == {"text/html", "text/plain"} and "20 %" in shown[0]["text/plain"]
