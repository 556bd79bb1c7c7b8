"""``sdnet bench``: how fast each stage is on this machine, beside a plain reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.cli.process import say


def bench(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="STAGE...", help="Such as read or classifier; all by default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it as JSON too, for the book.")
    ] = None,
) -> None:
    """Measure each stage side by side with a plain reference that does the same, on this machine."""
    from sdnet_lib.studies.bench import check

    check(stages or [])
    from sdnet_lib.studies.bench import measure

    found = measure.bench(stages or [])
    say(measure.as_text(found))
    if out:
        measure.store(found, out)
