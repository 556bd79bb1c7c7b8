"""What instructors do with the notebooks: hand them out without solutions, and read what comes back.

A notebook that is handed in is the record: each `course.check` leaves its line in the outputs, on Colab too,
and no second file has to travel with it.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sdnet_lib.files import InputError, write_text
from sdnet_lib.publish.notebooks import SOLUTION

ASKED = re.compile(r"course\.check\(\s*[\"'](\d+\.\d+)[\"']")
SAID = re.compile(r"^Exercise (\d+\.\d+): (.*)$", re.MULTILINE)
NOT_RUN = "not run"


def strip(notebooks: list[Path], folder: Path) -> list[Path]:
    """Write copies of `notebooks` without their solutions to `folder`; return the copies.

    Raises
    ------
    InputError
        For what is no notebook, and for a copy that would replace its source.
    """
    copies = []
    for notebook in notebooks:
        source, copy = _read(notebook), folder / notebook.name
        if copy.resolve() == notebook.resolve():
            raise InputError(f"{notebook}: the copy would replace it; choose another folder with -o")
        source.cells = [cell for cell in source.cells if SOLUTION not in cell.metadata.get("tags", [])]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(copy, nbformat.writes(source))
        copies.append(copy)
    return copies


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
        if ".ipynb_checkpoints" in inside.parts:
            continue
        student = inside.parts[0] if len(inside.parts) > 1 else path.stem
        try:
            answers = _answers(_read(path))
        except InputError as error:
            unread.append(str(error))
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


def _read(path: Path) -> NotebookNode:
    """Read a notebook; one that is none is an `InputError` with its name."""
    try:
        return nbformat.read(path, as_version=4)
    except OSError:
        raise
    except Exception as error:  # nbformat raises whatever it stumbled over
        raise InputError(f"{path}: no notebook that can be read ({type(error).__name__})") from error
