"""The computed pages of the book: prose in ``book/templates``, numbers and tables from here."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sdnet_lib.evaluation.render import interval, number, write
from sdnet_lib.files import InputError
from sdnet_lib.files.templates import environment
from sdnet_lib.models.registry import title

FOLDER = Path(__file__).parents[2] / "book" / "templates"


def fill(name: str, /, **values: object) -> str:
    """Return a template, ``book/templates/<name>.md.jinja``, filled with values, as Markdown.

    The filter ``markdown`` writes an `evaluation.render.Table`. A name without a value is an error.

    Raises
    ------
    InputError
        If there are no templates, because the library is installed without the course.
    """
    if not FOLDER.is_dir():
        raise InputError(f"no templates in {FOLDER}: pages of the book can be made in a clone of the course")
    reader = environment(FOLDER)
    reader.filters["markdown"] = partial(write, form="markdown")
    reader.globals |= {"title": title, "number": number, "interval": interval}
    return reader.get_template(f"{name}.md.jinja").render(values) + "\n"
