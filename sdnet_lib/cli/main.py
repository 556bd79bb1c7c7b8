"""The commands of `sdnet`; groups, and those with many options, have modules of their own.

Errors are one line on stderr and exit status 2 (1 if the course itself is broken), never a traceback.
Heavy modules are imported by the command that needs them, so that ``sdnet --help`` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib import __version__
from sdnet_lib.cli import audit, bench, book, build, course, maintain, models, options, process
from sdnet_lib.cli import data as data_commands
from sdnet_lib.cli.process import say
from sdnet_lib.files import InputError

app = typer.Typer(
    help="COVIDGR and COVID-SDNet, re-derived: the course book, its cohorts and its experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(course.app, name="course", help="For instructors: notebooks without solutions, and marks.")
app.add_typer(data_commands.app, name="data", help="Public data sets, turned into cohorts.")
app.add_typer(maintain.app, name="maintain", help="What maintainers run: networks, stored results, pictures.")
app.command()(audit.audit)
app.command()(book.book)
app.command()(build.build)
app.command()(bench.bench)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"sdnet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    process.begin()


@app.command()
def phantom(
    out: options.OutOption,
    n: Annotated[int, typer.Option("--n", min=2, help="Number of images, half of them positive.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    biased: Annotated[
        bool, typer.Option("--biased", help="Positives and negatives from other sites.")
    ] = False,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Height and width in pixels.")] = 256,
) -> None:
    """Write a synthetic cohort with its truth: lung and lesion masks, affected lung parts, site."""
    from sdnet_lib.phantom import cohorts

    make = cohorts.biased if biased else cohorts.homogeneous
    cohort = make(n, seed, out, size=size)
    say(f"{len(cohort)} images: {out / 'cohort.csv'}")


@app.command()
def crop(
    cohort: options.CohortArgument,
    out: options.OutOption,
    masks: Annotated[bool, typer.Option("--masks", help="Write the lung masks too, at source size.")] = False,
    labels: options.LabelsOption = "",
    data: options.DataOption = None,
) -> None:
    """Crop each image to its lungs; boxes.csv says where, and where no lungs were found."""
    from data_scripts.registry import left_out, load_cohort
    from sdnet_lib.lungs.crop import crop_cohort

    table = load_cohort(cohort, data=data, labels=options.meaning(labels))
    for line in left_out(table):
        say(line)
    crops = crop_cohort(table, out, masks=masks)
    say(f"{len(crops)} crops: {out / 'cohort.csv'}")


@app.command()
def approaches(profile: options.ProfileOption = "paper") -> None:
    """Show the systems that can be cross-validated: size, source, and what the paper reports for them."""
    from sdnet_lib.config import get_profile
    from sdnet_lib.models.registry import describe

    say(describe(get_profile(profile)))


@app.command()
def cv(
    cohort: options.CohortArgument,
    approach: Annotated[
        list[str], typer.Option(metavar="NAME", help="From `sdnet approaches`; several with commas.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="RUNS",
            help="Folder of the study, or s3://... and the like.",
            callback=options.writable,
        ),
    ],
    profile: options.ProfileOption = "quick",
    repeats: options.RepeatsOption = None,
    folds: options.FoldsOption = None,
    image_size: options.SizeOption = None,
    budget: options.BudgetOption = None,
    weights: options.WeightsOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Repeat r starts at seed + r.")] = 0,
    jobs: options.JobsOption = None,
    ray: options.RayOption = None,
    gpus: options.GpusOption = 1,
    without_normal_pcr: Annotated[
        bool, typer.Option("--without-normal-pcr", help="Leave this level out, as Tables 7 and 8 do.")
    ] = False,
    match_negatives: options.MatchOption = False,
    test_on: Annotated[
        list[str] | None, typer.Option(metavar="COHORT", help="Test each network on this cohort too.")
    ] = None,
    third_class: options.ThirdClassOption = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Leave each run's model too, for `sdnet predict`.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what is done and missing.")] = False,
    labels: options.LabelsOption = "",
    data: options.DataOption = None,
) -> None:
    """Cross-validate: one prediction file per run. Interrupted, the next call does what is missing."""
    if ray:
        from sdnet_lib.studies import ray_connection

        if jobs:
            raise InputError("--jobs: with --ray the cluster decides how many runs go side by side")
        ray_connection.check(ray)
    from sdnet_lib.models import registry

    names = [name.strip() for part in approach for name in part.split(",") if name.strip()]
    for name in names or [""]:
        registry.find(name)  # unknown, it is said before a cohort is read
    from sdnet_lib.studies import crossval, side_by_side, store
    from sdnet_lib.studies.plan import describe

    if not plan:
        registry.check_start(names, weights)
    sizes = {"repeats": repeats, "folds": folds, "image_size": image_size}
    with store.folder(out) as (folder, put):
        study = crossval.study_of(
            cohort,
            folder,
            profile=profile,
            changes=sizes | {"budget": budget, "weights": weights},
            seed=seed,
            without_pcr=without_normal_pcr,
            match_negatives=match_negatives,
            external=test_on or [],
            third_class=third_class,
            data=data,
            keep_models=keep_models,
            labels=options.meaning(labels),
        )
        for what, count in study.notes.get("left_out", {}).items():
            say(f"left out: {count} {what}")
        if ray and not plan:
            from sdnet_lib.studies import cluster

            jobs = cluster.run_study(study, names, ray, gpus, put)
        else:
            jobs = jobs or side_by_side.at_a_time(study, names)
            if not plan:
                crossval.run_study(study, names, jobs)
        say(describe(study.plan(names), jobs))


for command in (models.train, models.predict):
    app.command()(command)


@app.command()
def tables(
    runs: Annotated[str, typer.Argument(metavar="RUNS", help="Folder or store that `sdnet cv` filled.")],
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
    from sdnet_lib.studies import store

    with store.folder(runs) as (folder, _):
        text = report(folder, form=format, per=per, paper=paper, output=out)
    if out is None:
        say(text)


def main() -> None:
    """Run `sdnet`; turn what a user or the machine can cause into one line and an exit status."""
    process.end(app)


if __name__ == "__main__":
    main()
