"""What an executed notebook may not hold when it becomes a page: errors, our own warnings, private paths."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sdnet_lib

if TYPE_CHECKING:  # nbformat takes more than a second to import: an unchanged book does without it
    from nbformat import NotebookNode

PRIVATE = "(a private path)"  # what a page says instead of one
# how Python prints a warning; a cell's file is called ipykernel_PID/NUMBER.py
WARNING = re.compile(r"^(?P<file>\S[^\n]*?):\d+: (?P<category>\w+): ", re.MULTILINE)
PACKAGE = Path(sdnet_lib.__file__).parent
OURS = (PACKAGE, PACKAGE.parent / "data_scripts")


def problems(executed: NotebookNode, strict: bool = False) -> list[str]:
    """Return what keeps an executed notebook out of the book, one line each.

    Jupyter Book does not execute, and publishes stored tracebacks and cells that never ran without a
    warning; so they are looked for here. On stderr, our own warnings and tracebacks count. What a library
    prints there is not the reader's problem, but a maintainer's: only `strict` refuses it.
    """
    found, expected, printed = [], 1, stderr_of(executed)
    for number, cell in enumerate(executed.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count != expected:
            found.append(f"cell {number}: execution count {cell.execution_count} where {expected} is due")
        expected += 1
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {number}: {output.ename}: {output.evalue}")
        text = printed.get(number, "")
        if text and (strict or "Traceback (most recent call last)" in text or _own_warning(text)):
            found.append(f"cell {number}: text on stderr: {text.strip()[:300]}")
    return found


def stderr_of(executed: NotebookNode) -> dict[int, str]:
    """Return what each cell of an executed notebook printed on stderr, if anything."""
    texts = {
        number: "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
        for number, cell in enumerate(executed.cells)
        if cell.cell_type == "code"
    }
    return {number: text for number, text in texts.items() if text.strip()}


def _own_warning(text: str) -> bool:
    """Tell whether `text` has a warning from a cell, from this library or from a data script.

    That a library will change something is its own news, wherever it sees itself called from.
    """
    for hit in WARNING.finditer(text):
        file = Path(hit["file"])
        ours = file.parent.name.startswith("ipykernel_") or any(map(file.is_relative_to, OURS))
        if ours and not re.search("Deprecat|FutureWarning", hit["category"]):
            return True
    return False


def private_paths(parameters: dict) -> list[str]:
    """Return the paths that no page may show: where the user's data lie, and the user's home."""
    given = [parameters["data"], parameters["dataset"]]
    places = [Path(place) for place in given if place and Path(place).is_absolute()]
    if places and Path(parameters["dataset"]).is_absolute():
        from data_scripts import registry

        cohort = registry.load_cohort(parameters["dataset"], check_files=False)
        images = [Path(file).parent for file in cohort["file"]]
        places += [places[-1].parent, *set(images)] if places[-1].is_file() else set(images)
    places += [Path(os.path.expanduser("~"))]
    return [str(form) for place in places for form in (place, place.resolve()) if len(form.parts) > 1]


def without_paths(executed: NotebookNode, private: Sequence[str]) -> NotebookNode:
    """Replace private paths, such as that of a user's own cohort, in all texts of an executed notebook.

    Parameters
    ----------
    executed : NotebookNode
    private : sequence of str
        Absolute paths. Parts of longer words are no paths: with ``/data`` private, ``/data/1.png`` is changed
        and ``/database`` is not.
    """
    import nbformat

    text = nbformat.writes(executed, version=4)
    for path in sorted(set(private), key=len, reverse=True):
        written = re.escape(json.dumps(path, ensure_ascii=False)[1:-1])
        text = re.sub(rf"{written}(?![\w-])", lambda _: PRIVATE, text)
    return nbformat.reads(text, as_version=4)
