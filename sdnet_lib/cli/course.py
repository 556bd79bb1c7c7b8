"""``sdnet course``: notebooks without solutions, the marks of those that come back, the book on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.cli.process import say
from sdnet_lib.files import write_json

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("strip")
def strip(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    notebooks: Annotated[
        list[Path] | None, typer.Argument(metavar="[NOTEBOOK]...", help="All of the course by default.")
    ] = None,
) -> None:
    """Write the notebooks without solutions, to hand them out; checks and quizzes stay."""
    from sdnet_lib.publish import build, classroom

    given = notebooks or build.find_notebooks(build.PACKAGE.parent)
    say(f"{len(classroom.strip(given, out))} notebooks without solutions in {out}")


@app.command("marks")
def marks(
    folder: Annotated[Path, typer.Argument(help="Notebooks that came back, in a folder for each student.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write all of it as JSON, too.")
    ] = None,
) -> None:
    """Show who has solved what, from notebooks that were handed in; exit status 1 if one is unreadable."""
    from sdnet_lib.publish import classroom

    found, unread = classroom.marks(folder)
    if out is not None:
        write_json(out, found)
    say(classroom.table(found))
    for line in unread:
        say(line)
    if unread:
        raise typer.Exit(1)


@app.command("pdf")
def pdf(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The PDF to write.")],
    pages: Annotated[
        Path | None,
        typer.Argument(metavar="[PAGES]", help="The html folder of a book; _build/html by default."),
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="NN", help="This chapter alone, such as 03.")] = None,
    solutions: Annotated[
        bool, typer.Option("--solutions/--no-solutions", help="Print solutions and the answers of quizzes.")
    ] = True,
) -> None:
    """Print a book that was built, or a chapter of it, with a headless Chromium or Chrome."""
    from sdnet_lib.publish import build
    from sdnet_lib.publish.pdf import write_pdf

    given = pages or build.PACKAGE.parent / "_build" / "html"
    number = write_pdf(given, out, only=only, solutions=solutions)
    say(f"{number} page{'s' * (number != 1)} of the web book in {out}")
