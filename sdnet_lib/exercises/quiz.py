"""The quizzes: questions from `quizzes/NN.yaml`, shown where a notebook runs, with nothing but HTML.

Each choice is a `details` element: it opens with a click or a key and says what it is worth. So a quiz works
on the pages, in Jupyter and on Colab, without a script, and is a list of choices in print. Where no HTML is
shown, the answers follow the questions as text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import yaml

QUIZZES = Path(__file__).parent / "quizzes"


def questions(chapter: int, numbers: Mapping[str, object]) -> list[dict]:
    """Return a chapter's questions with the run's numbers filled in.

    Parameters
    ----------
    chapter : int
        Of the course.
    numbers : mapping
        What stands for the names in braces.

    Returns
    -------
    list of dict
        `ask` and `choices`, each with `say`, `why` and `right`: one is right. A wrong choice that reads like
        another one after filling in is left out.
    """
    asked = yaml.safe_load((QUIZZES / f"{chapter:02d}.yaml").read_text(encoding="utf-8"))
    return [{"ask": one["ask"].format_map(numbers), "choices": _choices(one, numbers)} for one in asked]


def _choices(question: dict, numbers: Mapping[str, object]) -> list[dict]:
    """Return the choices in an order that is always the same and tells nothing."""
    every = [question["right"] | {"right": True}, *(one | {"right": False} for one in question["wrong"])]
    every.reverse()  # where two read alike, the right one is kept
    filled = {one["say"].format_map(numbers): one for one in every}
    order = sorted(filled, key=lambda say: sha256(str(filled[say]).encode()).digest())
    return [{"say": say, "why": filled[say]["why"], "right": filled[say]["right"]} for say in order]


def as_html(chapter: int, asked: list[dict]) -> str:
    """Return questions as a list whose choices open one at a time."""
    items = []
    for number, one in enumerate(asked, 1):
        group = f"quiz-{chapter}-{number}"
        choices = "".join(
            f'<details name="{group}"><summary>{_inline(choice["say"])}</summary>'
            f"<p><strong>{_verdict(choice)}</strong> {_inline(choice['why'])}</p></details>"
            for choice in one["choices"]
        )
        items.append(f"<li><p>{_inline(one['ask'])}</p>{choices}</li>")
    return f'<ol class="quiz">{"".join(items)}</ol>'


def as_text(asked: list[dict]) -> str:
    """Return questions with lettered choices, and the answers after all of them."""
    lines, answers = [], ["Answers"]
    for number, one in enumerate(asked, 1):
        lines.append(f"{number}. {one['ask']}")
        for letter, choice in zip("abcdef", one["choices"], strict=False):
            lines.append(f"   {letter}) {choice['say']}")
            answers.append(f"{number}{letter}. {_verdict(choice)} {choice['why']}")
    return "\n".join([*lines, "", *answers])


def _verdict(choice: dict) -> str:
    return "Right." if choice["right"] else "No."


def _inline(text: str) -> str:
    """Return text as HTML; backticks mark code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
