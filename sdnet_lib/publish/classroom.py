"""What instructors do with the notebooks: hand them out without solutions, and read what comes back.

A notebook that is handed in is the record: each `course.check` leaves its line in the outputs, on Colab too,
and no second file has to travel with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import nbformat
from nbformat import NotebookNode

from sdnet_lib.files import InputError, one_line, write_text
from sdnet_lib.publish import build, plain
from sdnet_lib.publish.notebooks import SOLUTION

ASKED = re.compile(r"course\.check\(\s*[\"'](\d+\.\d+)[\"']")
SAID = re.compile(r"^Exercise (\d+\.\d+): (.*)$", re.MULTILINE)
NOT_RUN = "not run"
T = TypeVar("T")
REFERENCES = build.PACKAGE.parent / "book" / "references.bib"


def strip(notebooks: list[Path], folder: Path) -> list[Path]:
    """Write plain copies of `notebooks` without their solutions to `folder`; return the copies.

    They may be sources of the course or plain already, such as what came back from Colab.

    Raises
    ------
    InputError
        For what is no notebook, and for a copy that would replace its source.
    """
    copies = []
    for notebook in notebooks:
        text, copy = _read(notebook, partial(_unsolved, name=notebook.name)), folder / notebook.name
        if copy.resolve() == notebook.resolve():
            raise InputError(f"{notebook}: the copy would replace it; choose another folder with -o")
        write_text(copy, text)
        copies.append(copy)
    return copies


def _unsolved(notebook: NotebookNode, name: str) -> str:
    """Return a notebook as a plain one without solutions, which are folded text where it is plain already."""
    notebook.cells = [
        cell
        for cell in notebook.cells
        if SOLUTION not in cell.metadata.get("tags", []) and plain.SOLVED not in cell.source
    ]
    if plain.MADE not in notebook.metadata:
        notebook = plain.of_course(notebook, name, REFERENCES)
    return nbformat.writes(notebook)


def marks(folder: Path) -> tuple[dict[str, dict[str, dict]], list[str]]:
    """Return what the checks said in all notebooks of a folder, and which files could not be read.

    Parameters
    ----------
    folder : Path
        A folder for each student, or a notebook for each student, or both.

    Returns
    -------
    dict
        From student (the folder's name, or else the notebook's) and exercise to `right`, `said`, `notebook`.
        Of several answers to an exercise a right one counts.
    list of str
        A line for each file that is no notebook although it is called one.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found, unread = {}, []
    for path in sorted(folder.rglob("*.ipynb")):
        inside = path.relative_to(folder)
        if ".ipynb_checkpoints" in inside.parts or path.is_dir():
            continue
        student = inside.parts[0] if len(inside.parts) > 1 else path.stem
        try:
            answers = _read(path, _answers)
        except (InputError, OSError) as error:
            unread.append(one_line(error))
            continue
        of_student = found.setdefault(student, {})
        for exercise, said in answers.items():
            if not of_student.get(exercise, {}).get("right"):
                right = said == "right."
                of_student[exercise] = {"right": right, "said": said, "notebook": inside.as_posix()}
    if not found:
        raise InputError("; ".join(unread) or f"{folder}: no notebook in it")
    return found, unread


def table(found: dict[str, dict[str, dict]]) -> str:
    """Return a line for each student: right answers of all that were asked, and what is wrong or missing."""
    lines = []
    for student, answers in found.items():
        right = sum(answer["right"] for answer in answers.values())
        missing = [exercise for exercise, answer in answers.items() if not answer["right"]]
        rest = f"; not yet: {', '.join(missing)}" if missing else ""
        lines.append(f"{student}: {right} of {len(answers)}{rest}")
    return "\n".join(lines)


def _answers(notebook: NotebookNode) -> dict[str, str]:
    """Return what was said of each exercise that a cell asks to check, by that very cell."""
    found = {}
    for cell in notebook.cells:
        asked = ASKED.findall(cell.source) if cell.cell_type == "code" else []
        outputs = cell.outputs if asked else []
        said = dict(SAID.findall("".join(o.text for o in outputs if o.get("name") == "stdout")))
        found |= {exercise: said.get(exercise, NOT_RUN) for exercise in asked}
    return found


def _read(path: Path, look: Callable[[NotebookNode], T]) -> T:
    """Return what `look` makes of a notebook; what is none is an `InputError` with its name."""
    if not path.is_file():  # a pipe would let us wait for ever
        raise InputError(f"{path}: no file")
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # nbformat's many lines, where we say one
    try:
        return look(nbformat.read(path, as_version=4))
    except (InputError, OSError):
        raise
    except Exception as error:  # what students hand in may be anything, and nbformat raises whatever it likes
        raise InputError(f"{path}: no notebook that can be read ({type(error).__name__})") from error
