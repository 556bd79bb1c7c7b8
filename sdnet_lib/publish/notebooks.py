"""Rules that keep the notebooks alike: a linter, and the refreshing of the few outputs that are stored.

``python -m sdnet_lib.publish.notebooks lint`` checks all notebooks, ``refresh`` runs them in the `smoke`
profile and stores the outputs of the cells tagged ``nbval-check-output``, ``smoke FOLDER`` writes copies that
nbval can run in that profile.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sdnet_lib.files import InputError
from sdnet_lib.publish import build
from sdnet_lib.publish.execution import BookError, Chapter, run

PARAMETERS = """profile = "quick"  # smoke, quick, full or paper: the sizes of this run
dataset = "phantom"  # a name from `sdnet data list`, a CSV or a folder
data = None  # the folder of public data sets, if `dataset` is one of them
seed = 0  # everything random starts here"""
SETUP = """from importlib.util import find_spec

address = ""  # of the course, for pip; the published notebook has it filled in
if find_spec("sdnet_lib") is None:  # on Colab, say
    assert address, "set `address` to the course's wheel or git+https://..."
    %pip install --quiet "$address"

from sdnet_lib.publish import course

settings = course.start(profile, seed)
profile = settings.name"""

BOX = ("{admonition} This chapter", "**After it you can**", "**It builds on**", "**It needs**")
CHECKED = "nbval-check-output"
SOLUTION = "solution"
TAGS = {"parameters", "setup", "hide-cell", "hide-input", "remove-cell", "remove-input", SOLUTION, CHECKED}
MOST_LINES, MOST_COLUMNS = 15, 79  # of code that readers see: it fits beside the text of a page
FOLDED = {"setup", "remove-cell", "hide-cell", "hide-input"}
BOOKKEEPING = re.compile(r"^\s*(?:assert\b|course\.glue\()", re.MULTILINE)
# a figure with a decimal point, a percent sign or a unit: what a run computes
RESULT = re.compile(r"(?<![\w.])\d+(?:\.\d+|\s?%|\s(?:s|ms|min|minutes?|seconds?|MB|images/s)\b)")
# and a time that only the run can know, in words
RESULT = re.compile(rf"{RESULT.pattern}|\b(?:a\s+minute|(?:two|three|four|five|ten)\s+(?:seconds|minutes))\b")
CITED = re.compile(r"\bpaper\b|\bTable\b|\bSection\b|\{cite", re.IGNORECASE)
NAMES = re.compile(r"Exercise \d+\.\d+|[A-Za-z]-\d+(?:\.\d+)+|COVIDx \d\.\d|CC BY \d\.\d")
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\$[^$]*\$|\{[^{}]*\}|\]\([^)]*\)|https?://\S+", re.DOTALL)


def lint(notebook: NotebookNode) -> list[str]:
    """Return what is wrong with a source notebook, one line each; nothing if it keeps all rules."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = _frame(notebook, code)
    for number, cell in enumerate(notebook.cells):
        rules = _code_cell(cell) if cell.cell_type == "code" else _text_cell(cell)
        found += [f"cell {number}: {rule}" for rule in rules]
    return found + _too_early(notebook)


def _too_early(notebook: NotebookNode) -> list[str]:
    """Check that a number is glued before the text that uses it: a plain notebook says it there and then."""
    found, glued = [], []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            names = re.findall(
                r"course\.glue\(\s*f?\"([^\"]+)", cell.source
            )  # f"c1_{name}" is c1_ and anything
            glued += [re.sub(r"\\{.*?\\}", ".+", re.escape(name)) for name in names]
        else:
            used = re.findall(r"\{glue:text\}`([^`]+)`", cell.source)
            early = [name for name in used if not any(re.fullmatch(known, name) for known in glued)]
            found += [f"cell {number}: {name} is used before a cell glues it" for name in early]
    return found


def _frame(notebook: NotebookNode, code: list[NotebookNode]) -> list[str]:
    """Check what every notebook must have: kernel, box, first and last cells, exercises, checked cells."""
    found = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernel in the metadata is not python3")
    first, second, last = (code[i].source if len(code) > abs(i) else "" for i in (0, 1, -1))
    if first != PARAMETERS or "parameters" not in _tags(code[0]):
        found.append("the first code cell is not the template's, tagged `parameters`")
    if second != SETUP or "setup" not in _tags(code[1]):
        found.append("the second code cell is not the template's, tagged `setup`")
    if last.strip() != "course.finish()":
        found.append("the last code cell is not course.finish()")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("the first cell is not a title")
    elif missing := [words for words in BOX if words not in notebook.cells[0].source]:
        found.append(f"the box below the title lacks {', '.join(missing)}")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises = re.findall(r"\{admonition\}\s*Exercise (\d+\.\d+)", text)
    if len(exercises) < 2:
        found.append(f"{len(exercises)} exercises: two at least")
    solved = "\n".join(cell.source for cell in code if {SOLUTION, "hide-cell"} <= _tags(cell))
    asked = "\n".join(cell.source for cell in code if SOLUTION not in _tags(cell))
    for number in exercises:
        if len(re.findall(rf'course\.check\(\s*"{number}"', asked)) != 1:
            found.append(f"exercise {number} is not followed by one course.check")
        if len(re.findall(rf'course\.confirm\(\s*"{number}"', solved)) != 1:
            found.append(f"exercise {number} has no hidden cell tagged {SOLUTION} with its course.confirm")
    checked = sum(CHECKED in _tags(cell) for cell in code)
    if checked < 2:
        found.append(f"{checked} cells tagged {CHECKED}: two at least")
    return found


def _code_cell(cell: NotebookNode) -> list[str]:
    """Check one code cell: size, tags, alt text, no outputs but those that nbval compares."""
    found, tags = [], _tags(cell)
    lines = cell.source.splitlines()
    if len(lines) > MOST_LINES and "remove-cell" not in tags:
        found.append(f"{len(lines)} lines of code: {MOST_LINES} at most")
    if (widest := max(map(len, lines), default=0)) > MOST_COLUMNS and "remove-cell" not in tags:
        found.append(f"a line of {widest} characters: {MOST_COLUMNS} at most, or a page cuts it")
    if BOOKKEEPING.search(cell.source) and not tags & FOLDED:
        found.append("glues or asserts before the reader: move that to a cell tagged remove-cell")
    if not cell.source.strip():
        found.append("empty")
    if re.search(r"\binput\(", cell.source):
        found.append("asks a question: *Run all* would wait for an answer")
    found += [f"unknown tag {tag!r}" for tag in sorted(tags - TAGS)]
    if CHECKED not in tags and cell.execution_count is not None:
        found.append("has an execution count: clear it")
    if CHECKED in tags and not (cell.outputs and cell.execution_count):  # nbval needs both
        found.append(f"tagged {CHECKED} without a stored output: run `refresh`")
    if CHECKED not in tags and cell.outputs:
        found.append("has outputs: clear them")
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if re.search(r"\bplots\.\w+\(", cell.source) and len(alt.split()) < 4:
        found.append("a plot without alt text in its metadata (mystnb: image: alt)")
    if "/" in alt:
        found.append("alt text with a slash")
    return found


def _text_cell(cell: NotebookNode) -> list[str]:
    """Check one text cell: what a run computes must be glued, unless the paragraph quotes the paper."""
    found = []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)):
        hit = RESULT.search(NAMES.sub(" ", NOT_PROSE.sub(" ", paragraph)))
        if hit and not CITED.search(paragraph):
            found.append(f"the number {hit.group()!r} typed into prose: glue it, or cite the paper")
    if "![" in cell.source:
        found.append("a picture without number and caption: take the directive {figure}")
    return found


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def median_lines(notebook: NotebookNode) -> float:
    """Return the median length of the code cells in lines."""
    return statistics.median(len(c.source.splitlines()) for c in notebook.cells if c.cell_type == "code")


def smoke_copy(notebook: Path, folder: Path) -> Path:
    """Write a copy of `notebook` to `folder` whose parameters say `smoke`; stored outputs stay."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    copy = folder / notebook.name
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(parameterize_notebook(load_notebook_node(str(notebook)), {"profile": "smoke"}), copy)
    return copy


def refresh(notebooks: list[Path]) -> None:
    """Run `notebooks` in the `smoke` profile and store the outputs of their checked cells, and no others."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        chapters = [Chapter(n, scratch / f"executed-{n.name}", {"profile": "smoke"}) for n in notebooks]
        run(chapters, scratch, scratch, strict=True)
        for notebook, executed, _ in chapters:
            _store_checked(notebook, nbformat.read(executed, as_version=4))


def _store_checked(notebook: Path, executed: NotebookNode) -> None:
    source = nbformat.read(notebook, as_version=4)
    ran = [cell for cell in executed.cells if "injected-parameters" not in _tags(cell)]
    for cell, done in zip(source.cells, ran, strict=True):
        if cell.cell_type == "code":
            checked = CHECKED in _tags(cell)
            cell.outputs = done.outputs if checked else []
            cell.execution_count = done.execution_count if checked else None
    temporary = notebook.with_suffix(".tmp")
    nbformat.write(source, temporary)
    temporary.replace(notebook)


def main(arguments: list[str]) -> int:
    """Run ``lint``, ``refresh [NAME...]`` or ``smoke FOLDER``; return the exit status."""
    command, names = (arguments or ["lint"])[0], arguments[1:]
    notebooks = build.find_notebooks(Path(__file__).parents[2])
    if command == "smoke" and len(names) == 1:
        for notebook in notebooks:
            smoke_copy(notebook, Path(names[0]))
        return 0
    if command == "refresh":
        refresh([build.select(notebooks, name)[0] for name in names] or notebooks)
        return 0
    if command != "lint" or names:
        raise InputError("use: python -m sdnet_lib.publish.notebooks lint | refresh [NN...] | smoke FOLDER")
    wrong = 0
    for notebook in notebooks:
        source = nbformat.read(notebook, as_version=4)
        found = lint(source)
        print(f"{notebook.name}: {len(found)} complaints, median cell {median_lines(source):g} lines")
        print("".join(f"  {line}\n" for line in found), end="")
        wrong += len(found)
    return int(wrong > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (InputError, BookError) as error:
        sys.exit(f"notebooks: {error}")
