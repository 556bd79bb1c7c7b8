"""``sdnet book``: build it, say beforehand what it costs, pack it, or render it from a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.cli import options
from sdnet_lib.cli.process import say
from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError


def book(
    profile: options.ProfileOption = "quick",
    dataset: Annotated[
        str, typer.Option(help="A name from `sdnet data list`, a CSV or a folder.")
    ] = "phantom",
    data: options.DataOption = None,
    only: Annotated[
        str | None, typer.Option(metavar="NN", help="Run this chapter alone, such as 03.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Everything random starts here.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for html/ and executed/; _build by default.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Chapters at a time; the cores by default, 1 on a GPU.")
    ] = None,
    ray: options.RayOption = None,
    gpus: options.GpusOption = 1,
    labels: options.LabelsOption = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse warnings of libraries too, as `make test` does.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pack executed notebooks and studies into a file."),
    ] = None,
    from_bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Render the pages from a bundle; execute nothing.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what each chapter costs.")] = False,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="For --plan: T4, A100 or H100; else the one at hand.")
    ] = None,
) -> None:
    """Run the notebooks, several side by side, and build the web book from the executed copies."""
    chosen = get_profile(profile)
    if device and not plan:
        raise InputError(f"--device {device}: it goes with --plan")
    if plan:
        from sdnet_lib.publish.plan import describe

        say(describe(chosen, device))
        return
    if ray:
        from sdnet_lib.studies import chapters, ray_connection

        if not chapters.is_long(profile):
            raise InputError("--ray: it goes with the profiles full and paper, which have long studies")
        ray_connection.check(ray)
    if from_bundle and not from_bundle.is_file():
        raise InputError(f"--from-bundle {from_bundle}: no such file")
    if bundle and only:
        raise InputError("--bundle packs all chapters: leave out --only")
    from sdnet_lib.publish import build as builder

    if from_bundle:
        builder.from_bundle(from_bundle, output=output)
        return
    builder.build(
        output=output,
        profile=profile,
        dataset=dataset,
        data=data,
        only=only,
        seed=seed,
        jobs=jobs,
        strict=strict,
        labels=options.meaning(labels),
        bundle=bundle,
        cluster=(ray, gpus) if ray else None,
    )
