"""``sdnet data``: public data sets, turned into cohorts; thin, as `cli` is."""

from __future__ import annotations

from typing import Annotated

import typer

from sdnet_lib.cli.options import DataOption
from sdnet_lib.cli.process import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def show(data: DataOption = None) -> None:
    """Show the registered names: each can be given wherever a cohort is asked for."""
    from data_scripts import registry

    for row in registry.describe(data):
        lines = (row.what, f"{row.images}; {row.labels}", f"{row.size}; licence: {row.licence}", row.where)
        say("\n".join(f"{start:18} {line}" for start, line in zip((row.name, *[""] * 3), lines, strict=True)))


@app.command("get")
def get(name: Annotated[str, typer.Argument()], data: DataOption = None) -> None:
    """Download a data set, or say where to get it."""
    from data_scripts import registry

    say(registry.get(name, data))


@app.command("check")
def check(name: Annotated[str, typer.Argument()], data: DataOption = None) -> None:
    """Read a data set whole: files, labels, counts, the same picture twice."""
    from data_scripts import registry

    say(registry.check(name, data))
