"""``sdnet maintain``: what maintainers run to make anew what is stored with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdnet_lib.cli.options import JobsOption
from sdnet_lib.cli.process import say
from sdnet_lib.files import InputError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
lungs_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(lungs_app, name="lungs", help="The networks that find lungs.")

DataOption = Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds public data sets.")]
OtherDataOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder that holds public data sets, for biased-demo.")
]
FolderOption = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Everything random starts here.")]


@app.command()
def published(
    data: DataOption,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="All by default.")] = None,
    jobs: JobsOption = None,
) -> None:
    """Compute the stored results that the book loads; interrupted, the next call does what is missing."""
    from functools import partial

    from sdnet_lib.build import trial
    from sdnet_lib.studies import crossval, published_experiments

    build = partial(trial.compute, jobs or crossval.default_jobs())
    for name in names or published_experiments.NAMES:
        published_experiments.publish(name, data, jobs, build=build)
        say(f"stored: {name}")


@app.command()
def models(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="All by default.")] = None,
    data: OtherDataOption = None,
    jobs: JobsOption = None,
) -> None:
    """Train the models that come with the package, with their cards."""
    from sdnet_lib.studies import final

    for name in names or final.SHIPPED:
        model, file = final.train_shipped(name, data, jobs)
        say(final.summary(model, file))


@app.command()
def generators() -> None:
    """Train the generators that chapter 4 shows, for three lambdas; interrupted, the next call goes on."""
    from sdnet_lib.studies import stored_generators

    for weight in stored_generators.LAMBDAS:
        say(stored_generators.summary(stored_generators.make(weight)))


@lungs_app.command("train")
def lungs_train(
    data: DataOption,
    out: FolderOption,
    exclude_folds: Annotated[str, typer.Option(metavar="0[,1...]", help="What it must not see.")] = "0",
    epochs: Annotated[int | None, typer.Option(min=1, help="Those of the shipped ones by default.")] = None,
    seed: SeedOption = 0,
) -> None:
    """Train a lung network on all folds of Shenzhen and Montgomery but some."""
    from sdnet_lib.lungs import training

    try:
        folds = tuple(sorted({int(fold) for fold in exclude_folds.split(",")}))
    except ValueError:
        raise InputError(f"--exclude-folds {exclude_folds!r}: numbers with commas, such as 1,2") from None
    options = {"exclude": folds, "epochs": epochs or training.EPOCHS, "seed": seed}
    say(training.train(_lung_cohort(data), out, **options))


@lungs_app.command("evaluate")
def lungs_evaluate(data: DataOption, out: FolderOption) -> None:
    """Measure the shipped lung networks on what they have not seen, and write their card."""
    from data_scripts.registry import load_cohort
    from sdnet_lib.lungs import evaluation
    from sdnet_lib.publish import lung_card

    external = load_cohort("cxr-collection", data=data)
    say(evaluation.evaluate(_lung_cohort(data), external, out))
    lung_card.write(out)


@lungs_app.command("compare")
def lungs_compare(data: DataOption, out: FolderOption, seed: SeedOption = 0) -> None:
    """Compare small U-Nets by accuracy and size; needs the package monai."""
    from sdnet_lib.lungs import training

    say(training.compare(_lung_cohort(data), out, seed=seed))


@app.command()
def extents(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder that holds public data sets.")],
) -> None:
    """Count radiologists' scores of real radiographs anew, for chapter 2."""
    from data_scripts.registry import load_cohort
    from sdnet_lib.data import extents

    extents.store(extents.measure(load_cohort("cxr-collection", data=data)))
    say(extents.STORED)


@app.command()
def view(data: DataOption) -> None:
    """Learn to tell PA from AP by the pixels, for `sdnet build`; print how often that is wrong."""
    from data_scripts.registry import load_cohort
    from sdnet_lib.build import view

    names = ("chestxray8", "cxr-collection", "actualmed")
    say(view.summary(view.train({name: load_cohort(name, data=data) for name in names})))


@app.command()
def covidcaps(
    file: Annotated[Path, typer.Argument(help="The authors' weights, .h5")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A name in .safetensors.")],
) -> None:
    """Convert the published weights of COVID-CAPS."""
    from sdnet_lib.models.baselines import covidcaps_weights

    covidcaps_weights.convert(file, out)
    say(out)


@app.command()
def frontpage() -> None:
    """Draw the picture of the front page anew."""
    from sdnet_lib.publish import frontpage

    frontpage.draw().savefig(frontpage.FILE)
    say(frontpage.FILE)


@app.command()
def gpu(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Written after each part.")],
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="For films and studies; the same again to go on.")
    ] = Path("gpu-measurement"),
    minutes: Annotated[float, typer.Option(min=0.5, help="For all parts.")] = 25,
) -> None:
    """Measure all that wants a GPU, each part in its time; another call goes on with what is missing."""
    from sdnet_lib.studies import budget
    from sdnet_lib.studies.bench import gpu, measure

    gpu.need()
    say(gpu.plan(budget.device()))
    found = gpu.measure_all(out, folder, minutes)
    if found["stages"]:
        say(measure.as_text(found))
    for name, part in found["parts"].items():
        say(f"{name:24}{part['seconds']:8.0f} s  {part['ended']}")
    for goal in found["goals"]:
        say(
            f"{goal['what']}: {goal['reached']:,.1f} {goal['unit']}, wanted {goal['wanted']} ({goal['note']})"
        )


def _lung_cohort(data: Path) -> pd.DataFrame:
    """Return what the lung networks learn from: two hospitals, a lung mask for each image."""
    import pandas as pd

    from data_scripts.registry import load_cohort

    parts = [load_cohort(name, data=data) for name in ("shenzhen", "montgomery")]
    return pd.concat(parts, ignore_index=True)
