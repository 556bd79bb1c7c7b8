"""Text with gaps: Jinja templates, in which a name without a value is an error."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(folder: Path) -> Environment:
    """Return what reads the templates of a folder; in ``*.html.jinja`` values are escaped, in others not."""
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=lambda name: name.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
