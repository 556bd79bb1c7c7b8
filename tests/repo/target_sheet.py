"""What the best courses and libraries were measured by, measured here: ``python -m tests.repo.target_sheet``.

It counts in the sources alone, without running anything.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDED = {"setup", "remove-cell", "hide-cell", "hide-input"}  # code that a reader does not meet
PARTS = {
    "goals": "**After it you can**",
    "summary": "## What we learned",
    "exercise": "} Exercise",
    "quiz": "## Quiz",
}
SHOWING = ("sdnet_lib.plots", "sdnet_lib.publish")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def share(found: int, of: int) -> str:
    """Return a count as text, with what it is a part of."""
    return f"{found} of {of} ({found / of:.0%})"


def cells(notebooks: list[Path], kind: str) -> list[dict]:
    """Return the cells of one kind of all notebooks."""
    all_cells = (cell for file in notebooks for cell in json.loads(file.read_text("utf-8"))["cells"])
    return [cell for cell in all_cells if cell["cell_type"] == kind]


def tags(cell: dict) -> set[str]:
    """Return the tags of a cell."""
    return set(cell["metadata"].get("tags", []))


def public(modules: list[Path]) -> Iterator[Definition]:
    """Yield the public functions, classes and methods of modules, those inside functions left out."""

    def inside(node: ast.AST) -> Iterator[Definition]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Definition) and not child.name.startswith("_"):
                yield child
                if isinstance(child, ast.ClassDef):
                    yield from inside(child)

    for module in modules:
        yield from inside(ast.parse(module.read_text("utf-8")))


@cache
def defined(module: str) -> dict[str, int]:
    """Return the lines of each function and class of a module; nothing if there is no such module."""
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    body = ast.parse(file.read_text("utf-8")).body if file.exists() else []
    return {node.name: node.end_lineno - node.lineno + 1 for node in body if isinstance(node, Definition)}


def met(notebook: Path) -> dict[tuple[str, str], int]:
    """Return the lines of each function and class of the library, by module and name, that a reader meets.

    These are named in cells that are seen. Figures and what only keeps the course going are left out.
    """
    code = cells([notebook], "code")
    every, seen = (
        ast.parse(
            "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", "".join(c["source"]), flags=re.M) for c in part)
        )
        for part in (code, [cell for cell in code if not tags(cell) & FOLDED])
    )
    imports = (node for node in ast.walk(every) if isinstance(node, ast.ImportFrom))
    homes = {name.asname or name.name: (node.module, name.name) for node in imports for name in node.names}
    asked = {homes[node.id] for node in ast.walk(seen) if isinstance(node, ast.Name) and node.id in homes}
    for node in ast.walk(seen):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in homes:
            asked.add((".".join(homes[node.value.id]), node.attr))
    return {
        (module, name): defined(module)[name]
        for module, name in asked
        if not module.startswith(SHOWING) and name in defined(module)
    }


def lines(files: list[Path]) -> int:
    """Return the lines of files."""
    return sum(len(file.read_text("utf-8").splitlines()) for file in files)


def measures() -> Iterator[tuple[str, str]]:
    """Yield each measure and its value."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    modules = [file for folder in ("sdnet_lib", "data_scripts") for file in (ROOT / folder).rglob("*.py")]
    code, text = cells(notebooks, "code"), cells(notebooks, "markdown")
    shown = [len("".join(cell["source"]).splitlines()) for cell in code if not tags(cell) & FOLDED]
    yield "chapters", str(len(notebooks))
    yield "code cells a reader sees: longest, median", f"{max(shown)}, {statistics.median(shown):.0f} lines"
    yield "code cells over 15 lines", share(sum(length > 15 for length in shown), len(shown))
    named = {name: count for file in notebooks for name, count in met(file).items()}
    yield "functions and classes that they name", f"{len(named)}, {sum(named.values())} lines"
    for part, words in PARTS.items():
        have = sum(words in file.read_text("utf-8") for file in notebooks)
        yield f"chapters with {part}", share(have, len(notebooks))
    install = [line for cell in code for line in cell["source"] if re.match(r"\s*[%!]\s*pip", line)]
    yield "install lines", f"{len(install)}, of the course's own wheel"
    drawn = [cell for cell in code if "plots." in "".join(cell["source"]) and not tags(cell) & FOLDED]
    alts = sum(bool(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt")) for cell in drawn)
    yield "plots with an alt text", share(alts, len(drawn))
    files = [json.loads(file.read_text("utf-8")) for file in notebooks]
    compared = [any("nbval-check-output" in tags(cell) for cell in file["cells"]) for file in files]
    yield "chapters with a result that is compared", share(sum(compared), len(files))
    timed = sum({"seconds", "megabytes"} <= file["metadata"].keys() for file in files)
    yield "chapters with seconds and megabytes", share(timed, len(files))
    checks = sum("assert " in "".join(cell["source"]) for cell in code)
    yield "cells that check a result", str(checks)
    glued = len(re.findall(r"\{glue:[a-z]+\}", "".join("".join(cell["source"]) for cell in text)))
    yield "numbers in prose that come from the run", str(glued)
    tests = lines(list((ROOT / "tests").rglob("*.py")))
    yield "test lines to source lines", f"{tests} to {lines(modules)} ({tests / lines(modules):.2f})"
    names = list(public(modules))
    yield "public names with a docstring", share(sum(bool(ast.get_docstring(n)) for n in names), len(names))
    functions = [name for name in names if not isinstance(name, ast.ClassDef)]
    annotated = sum(function.returns is not None for function in functions)
    yield "public functions with a return annotation", share(annotated, len(functions))


if __name__ == "__main__":
    for measure, value in measures():
        print(f"{measure:46} {value}")
