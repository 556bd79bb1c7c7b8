"""``sdnet audit``: could a network cheat on this data set? Thin, as `cli` is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.cli.options import CohortArgument, DataOption, LabelsOption, meaning, writable
from sdnet_lib.cli.process import say


def audit(
    cohort: CohortArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="REPORT", help="Folder to write.", callback=writable)
    ],
    before: Annotated[
        Path | None, typer.Option(metavar="FILE", help="audit.json of an earlier audit, to set beside.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show the images that give themselves away.")] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Everything random starts here.")] = 0,
    labels: LabelsOption = "",
    data: DataOption = None,
) -> None:
    """Ask whether a network could cheat on a cohort; exit status 1 if it could (verdict red)."""
    from data_scripts.registry import left_out, load_cohort

    table = load_cohort(cohort, data=data, labels=meaning(labels))
    for line in left_out(table):
        say(line)
    from sdnet_lib.publish import audit_page  # not before: torch takes seconds to load

    name = Path(cohort).name
    report = audit_page.write(table, name, out, before=before, pictures=pictures, seed=seed)
    say(audit_page.summary(report, out))
    if report["verdict"] == "red":
        raise typer.Exit(1)
