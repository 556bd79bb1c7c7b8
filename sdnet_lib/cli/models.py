"""``sdnet train`` and ``sdnet predict``: models for other people's images; thin, as `cli` is."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib.cli.options import (
    CohortArgument,
    DataOption,
    JobsOption,
    LabelsOption,
    OutOption,
    ProfileOption,
    SizeOption,
    ThirdClassOption,
    WeightsOption,
    meaning,
    writable,
)
from sdnet_lib.cli.process import say
from sdnet_lib.files import InputError


def of_a_file(out: Path) -> Path:
    """Hand on the name of a file whose folder can be written; see `options.writable`."""
    if out.is_dir():
        raise InputError(f"{out}: a folder; name a file")
    writable(out.parent)
    return out


def train(
    cohort: CohortArgument,
    approach: Annotated[str, typer.Option(metavar="NAME", help="From `sdnet approaches`.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="A name in .safetensors.", callback=of_a_file),
    ],
    profile: ProfileOption = "quick",
    folds: Annotated[int | None, typer.Option(min=2, help="Of the cross-validation for the card.")] = None,
    image_size: SizeOption = None,
    weights: WeightsOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Everything random starts here.")] = 0,
    jobs: JobsOption = None,
    third_class: ThirdClassOption = None,
    labels: LabelsOption = "",
    data: DataOption = None,
) -> None:
    """Train a model on a whole cohort, for `sdnet predict`; cross-validation says what it is worth."""
    from sdnet_lib.models import registry

    registry.find(approach)  # what is wrong is said before seconds of loading
    from sdnet_lib.studies import final

    model = final.train(
        cohort,
        approach,
        out,
        profile=profile,
        changes={"folds": folds, "image_size": image_size, "weights": weights},
        seed=seed,
        jobs=jobs,
        data=data,
        labels=meaning(labels),
        third_class=third_class,
        command=shlex.join(["sdnet", *sys.argv[1:]]),
    )
    say(final.summary(model, out))


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Files and folders.")],
    out: OutOption,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="From `sdnet train`, or synthetic (default), or biased-demo."),
    ] = None,
) -> None:
    """Predict chest X-ray files: a heat map panel each, and predictions.csv. Not a medical device."""
    from sdnet_lib.studies import card as cards
    from sdnet_lib.studies import predictions

    chosen = [cards.find(name) for name in model or [cards.DEFAULT]]
    for file in chosen:
        cards.read(file)
    predictions.inputs(images, out)  # what is wrong is said before seconds of loading
    from sdnet_lib.studies import model_file
    from sdnet_lib.studies import predict as predictor

    models = [model_file.read(file) for file in chosen]
    say(predictor.introduction(models, images))
    table = predictor.predict(images, out, models)
    say(predictor.summary(table, out))
