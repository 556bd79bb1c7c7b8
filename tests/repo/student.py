"""What a student meets of the library: ``python -m tests.repo.student`` prints it chapter by chapter.

That is every function and class that a visible cell names, with its docstring. Figures and the package of the
course itself, `plots` and `publish`, are left out: they show, and teach nothing of the method.
"""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHOWING = ("sdnet_lib.plots", "sdnet_lib.publish")


@cache
def defined(module: str) -> dict[str, int]:
    """Return the lines of each function and class of a module; nothing if there is no such module."""
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    body = ast.parse(file.read_text()).body if file.exists() else []
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name: node.end_lineno - node.lineno + 1 for node in body if isinstance(node, kinds)}


def met(notebook: Path) -> dict[tuple[str, str], int]:
    """Return the lines of each function and class, by module and name, that visible cells name."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    code = [re.sub(r"^(\s*)[%!].*", r"\1pass", "".join(cell["source"]), flags=re.M) for cell in cells]
    shown = [text for cell, text in zip(cells, code, strict=True) if "remove-cell" not in tags(cell)]
    homes = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(ast.parse("\n".join(code)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    asked = set()
    for node in ast.walk(ast.parse("\n".join(shown))):
        if isinstance(node, ast.Name) and node.id in homes:
            asked.add(homes[node.id])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in homes:
            asked.add((".".join(homes[node.value.id]), node.attr))
    return {
        (module, name): defined(module)[name]
        for module, name in asked
        if module.startswith("sdnet_lib.") and not module.startswith(SHOWING) and name in defined(module)
    }


def tags(cell: dict) -> list[str]:
    """Return the tags of a cell."""
    return cell["metadata"].get("tags", [])


def main() -> None:
    """Print names and lines of each chapter, and of all together."""
    everything = {}
    for notebook in NOTEBOOKS:
        found = met(notebook)
        everything |= found
        print(f"{notebook.stem}: {len(found)} names, {sum(found.values()):,} lines")
    print(f"all chapters: {len(everything)} names, {sum(everything.values()):,} lines")


if __name__ == "__main__":
    main()
