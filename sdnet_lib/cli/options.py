"""Arguments and options that several commands of `sdnet` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.files import InputError, check_place


def writable(out: Path | None) -> Path | None:
    """Hand on what a command is to write, if it can be written; before anything is read or computed."""
    if out is not None and "://" not in str(out):
        check_place(out)
    return out


CohortArgument = Annotated[str, typer.Argument(help="A name from `sdnet data list`, a CSV or a folder.")]
ProfileOption = Annotated[str, typer.Option(help="Size of the run: smoke, quick, full or paper.")]
SizeOption = Annotated[
    int | None,
    typer.Option("--image-size", "--side", min=32, max=1024, metavar="PX", help="Of what a network sees."),
]
RepeatsOption = Annotated[
    int | None, typer.Option("--repeats", min=1, help="The profile's by default; 5 in the paper.")
]
FoldsOption = Annotated[
    int | None, typer.Option("--folds", min=2, help="The profile's by default; 5 in the paper.")
]
MatchOption = Annotated[
    bool, typer.Option("--match-negatives", help="As many N as P in each repetition, as Table 7 has it.")
]
ThirdClassOption = Annotated[
    str | None,
    typer.Option(
        metavar="COHORT", help="COVID-Net's third class: the P of this cohort, such as nih-pneumonia."
    ),
]
BudgetOption = Annotated[
    str | None, typer.Option(help="own-recipe, or equal-steps: as many optimiser steps for all.")
]
WeightsOption = Annotated[
    str | None, typer.Option(help="Where networks start: imagenet, available or none; see the profile.")
]
LabelsOption = Annotated[
    str, typer.Option(metavar="A=P,B=N", help="What the labels of a CSV mean, such as COVID=P,Normal=N.")
]
RayOption = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="On a Ray cluster: auto, local, or HOST:PORT of its head."),
]
GpusOption = Annotated[
    float,
    typer.Option("--gpus", min=0.01, max=1, help="With --ray: what a run takes of a GPU, such as 0.25."),
]
DataOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder that holds public data sets.")]
JobsOption = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time; the cores by default, on a GPU what fills it.")
]
OutOption = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", help="Folder to write; made if need be.", callback=writable),
]


def meaning(labels: str) -> dict[str, str]:
    """Return what ``COVID=P,Normal=N`` says; raise `InputError` for anything else."""
    found = {}
    for part in filter(None, labels.split(",")):
        own, _, ours = (word.strip() for word in part.partition("="))
        if not own or ours not in ("N", "P") or found.get(own, ours) != ours:
            raise InputError(
                f"--labels {part}: each of the cohort's labels is either N or P, as in COVID=P,Normal=N"
            )
        found[own] = ours
    return found
