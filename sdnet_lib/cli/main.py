"""The commands of `sdnet`, but for ``sdnet data`` and ``sdnet maintain``, which have modules of their own.

Errors are one line on stderr and exit status 2 (1 if the course itself is broken), never a traceback.
Heavy modules are imported by the command that needs them, so that ``sdnet --help`` is quick.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib import __version__
from sdnet_lib.cli import data as data_commands
from sdnet_lib.cli import maintain
from sdnet_lib.files import InputError

app = typer.Typer(
    help="COVIDGR and COVID-SDNet, re-derived: the course book, its cohorts and its experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_commands.app, name="data", help="Public data sets, turned into cohorts.")
app.add_typer(maintain.app, name="maintain", help="What maintainers run: networks, stored results, pictures.")

CohortArgument = Annotated[str, typer.Argument(help="A name from `sdnet data list`, a CSV or a folder.")]
ProfileOption = Annotated[str, typer.Option(help="Size of the run: smoke, quick, full or paper.")]
SizeOption = Annotated[
    int | None,
    typer.Option("--image-size", "--side", min=32, max=1024, metavar="PX", help="Of what a network sees."),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write; made if need be.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sdnet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


@app.command()
def book(
    profile: ProfileOption = "quick",
    dataset: Annotated[
        str, typer.Option(help="A name from `sdnet data list`, a CSV or a folder.")
    ] = "phantom",
    data: data_commands.DataOption = None,
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
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse warnings of libraries too, as `make test` does.")
    ] = False,
) -> None:
    """Run the notebooks, several side by side, and build the web book from the executed copies."""
    from sdnet_lib.publish.build import build

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # like Ctrl-C: no kernel goes on
    build(
        output=output,
        profile=profile,
        dataset=dataset,
        data=data,
        only=only,
        seed=seed,
        jobs=jobs,
        strict=strict,
    )


@app.command()
def phantom(
    out: OutOption,
    n: Annotated[int, typer.Option("--n", min=2, help="Number of images, half of them positive.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    biased: Annotated[
        bool, typer.Option("--biased", help="Positives and negatives from other sites.")
    ] = False,
    size: Annotated[int, typer.Option(min=32, max=4096, help="Height and width in pixels.")] = 256,
) -> None:
    """Write a synthetic cohort with its truth: lung and lesion masks, affected lung parts, site."""
    from sdnet_lib.phantom import cohorts

    make = cohorts.biased if biased else cohorts.homogeneous
    cohort = make(n, seed, out, size=size)
    typer.echo(f"{len(cohort)} images: {out / 'cohort.csv'}")


@app.command()
def crop(
    cohort: CohortArgument,
    out: OutOption,
    masks: Annotated[bool, typer.Option("--masks", help="Write the lung masks too, at source size.")] = False,
    data: data_commands.DataOption = None,
) -> None:
    """Crop each image to its lungs; boxes.csv says where, and where no lungs were found."""
    from data_scripts.registry import load_cohort
    from sdnet_lib.lungs.crop import crop_cohort

    crops = crop_cohort(load_cohort(cohort, data=data), out, masks=masks)
    typer.echo(f"{len(crops)} crops: {out / 'cohort.csv'}")


@app.command()
def approaches(profile: ProfileOption = "paper") -> None:
    """Show the systems that can be cross-validated: size, source, and what the paper reports for them."""
    from sdnet_lib.config import get_profile
    from sdnet_lib.models.registry import describe

    typer.echo(describe(get_profile(profile)))


@app.command()
def cv(
    cohort: CohortArgument,
    approach: Annotated[
        list[str], typer.Option(metavar="NAME", help="From `sdnet approaches`; several with commas.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUNS", help="Folder of the study.")],
    profile: ProfileOption = "quick",
    repeats: Annotated[
        int | None, typer.Option(min=1, help="The profile's by default; 5 in the paper.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="The profile's by default; 5 in the paper.")
    ] = None,
    image_size: SizeOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Repeat r starts at seed + r.")] = 0,
    jobs: maintain.JobsOption = None,
    without_normal_pcr: Annotated[
        bool, typer.Option("--without-normal-pcr", help="Leave this level out, as Tables 7 and 8 do.")
    ] = False,
    test_on: Annotated[
        list[str] | None, typer.Option(metavar="COHORT", help="Test each network on this cohort too.")
    ] = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Leave each run's model too, for `sdnet predict`.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what is done and missing.")] = False,
    data: data_commands.DataOption = None,
) -> None:
    """Cross-validate: one prediction file per run. Interrupted, the next call does what is missing."""
    from sdnet_lib.studies import crossval

    study = crossval.study_of(
        cohort,
        out,
        profile=profile,
        changes={"repeats": repeats, "folds": folds, "image_size": image_size},
        seed=seed,
        without_pcr=without_normal_pcr,
        external=test_on or [],
        data=data,
        keep_models=keep_models,
    )
    jobs = jobs or crossval.default_jobs()
    names = [name for part in approach for name in part.split(",")]
    if not plan:
        crossval.run_study(study, names, jobs)
    typer.echo(crossval.describe(study.plan(names), jobs))


@app.command()
def train(
    cohort: CohortArgument,
    approach: Annotated[str, typer.Option(metavar="NAME", help="From `sdnet approaches`.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A name in .safetensors.")],
    profile: ProfileOption = "quick",
    folds: Annotated[int | None, typer.Option(min=2, help="Of the cross-validation for the card.")] = None,
    image_size: SizeOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Everything random starts here.")] = 0,
    jobs: maintain.JobsOption = None,
    data: data_commands.DataOption = None,
) -> None:
    """Train a model on a whole cohort, for `sdnet predict`; cross-validation says what it is worth."""
    from sdnet_lib.studies import crossval, final

    model = final.train(
        cohort,
        approach,
        out,
        profile=profile,
        changes={"folds": folds, "image_size": image_size},
        seed=seed,
        jobs=jobs or crossval.default_jobs(),
        data=data,
        command=shlex.join(["sdnet", *sys.argv[1:]]),
    )
    typer.echo(final.summary(model, out))


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Files and folders.")],
    out: OutOption,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="From `sdnet train`, or synthetic (default), or biased-demo."),
    ] = None,
) -> None:
    """Predict chest X-ray files: a heat map panel each, and predictions.csv. Not a medical device."""
    from sdnet_lib.studies import model_file
    from sdnet_lib.studies import predict as predictor

    models = [model_file.read(name) for name in model or [model_file.DEFAULT]]
    typer.echo(predictor.introduction(models))
    table = predictor.predict(images, out, models)
    typer.echo(predictor.summary(table, out))


@app.command()
def tables(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder that `sdnet cv` filled.")],
    format: Annotated[str, typer.Option(help="text, markdown, csv or latex.")] = "text",
    per: Annotated[
        str, typer.Option(help="Accuracy by severity: pooled per repeat, as in the paper, or per fold.")
    ] = "repeat",
    paper: Annotated[bool, typer.Option("--paper", help="Put the paper's numbers beside.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write; the screen by default.")
    ] = None,
) -> None:
    """Show the paper's tables, intervals and tests for a folder of runs."""
    from sdnet_lib.evaluation.report import report

    text = report(runs, form=format, per=per, paper=paper, output=out)
    if out is None:
        typer.echo(text)


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help="fucitnet: one training step, ours against image by image.")],
) -> None:
    """Measure speed side by side on this machine."""
    from sdnet_lib.studies import bench as benches

    if what != "fucitnet":
        raise InputError(f"unknown bench {what!r}: choose fucitnet")
    typer.echo(benches.fucitnet())


def main() -> None:
    """Run `sdnet`; turn what a user can cause into one line and an exit status."""
    from sdnet_lib.publish.execution import BookError

    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:
            print("sdnet: interrupted", file=sys.stderr)
        raise
    except InputError as error:
        sys.exit(_complain(str(error), 2))
    except BookError as error:
        sys.exit(_complain(str(error), 1))
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sys.exit(_complain(named, 2))


def _complain(message: str, status: int) -> int:
    print(f"sdnet: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
