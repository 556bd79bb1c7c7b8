"""The version of the code that decides a number, so that results of other code are known as such."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from sdnet_lib.files import digest

ROOT = Path(__file__).parents[1]
PACKAGE = "sdnet_lib"
# They write, name, run and show; a number is the same without them.
NOT_FOLLOWED = (
    "checksums",
    "cli",
    "code_version",
    "files",
    "names",
    "plots",
    "publish",
    "studies",
    "workers",
)


def code_version(*modules: str) -> str:
    """Return 12 hexadecimal digits for some modules and all that they import of this package, at any depth.

    What counts is the syntax tree: comments, docstrings, line breaks and the version of Python do not.
    Modules of `NOT_FOLLOWED` count where they are asked for by name, but not where others import them.

    Parameters
    ----------
    modules : str
        Full names, such as ``sdnet_lib.models.cnn``.
    """
    waiting, seen = list(modules), {}
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name], imported = _module(name)
            waiting += imported
    return digest(*(f"{name} {seen[name]}" for name in sorted(seen)), digits=12)


@cache
def _module(name: str) -> tuple[str, list[str]]:
    """Return a digest of a module's syntax tree, and the modules of this package that it imports."""
    tree, asked = ast.parse(_source(name).read_bytes()), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            asked += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            asked += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return digest(repr(_plain(tree)), digits=64), [name for name in asked if _followed(name)]


def _followed(name: str) -> bool:
    package, *parts = name.split(".")
    return package == PACKAGE and bool(parts) and parts[0] not in NOT_FOLLOWED and _source(name).exists()


def _source(name: str) -> Path:
    """Return the file of a module; there is none for the name of anything else."""
    place = ROOT.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _plain(node: object) -> object:
    """Return a syntax tree as lists, without docstrings, and what later Pythons add and leave empty."""
    if isinstance(node, list):
        return [_plain(one) for one in node if not _is_text(one)]
    if not isinstance(node, ast.AST):
        return node
    fields = [[name, _plain(value)] for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *(field for field in fields if field[0] != "ctx")]


def _is_text(node: object) -> bool:
    """Say whether a statement is nothing but a text: a docstring, or one as good as a comment."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
