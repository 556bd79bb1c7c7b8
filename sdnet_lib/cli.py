"""The command `sdnet`: thin; each command hands its options to one function of the library.

Errors are one line on stderr and exit status 2 (1 if the course itself is broken), never a traceback.
Heavy modules are imported by the command that needs them, so that ``sdnet --help`` is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdnet_lib import __version__
from sdnet_lib.errors import InputError

app = typer.Typer(
    help="COVIDGR and COVID-SDNet, re-derived: the course book, its cohorts and its experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data", help="Public data sets, turned into cohorts.")

DataOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder that holds public data sets.")]
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
    profile: Annotated[str, typer.Option(help="Size of the run: smoke, quick, full or paper.")] = "quick",
    dataset: Annotated[
        str, typer.Option(help="A name from `sdnet data list`, a CSV or a folder.")
    ] = "phantom",
    data: DataOption = None,
    only: Annotated[
        str | None, typer.Option(metavar="NN", help="Run this chapter alone, such as 03.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Everything random starts here.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for html/ and executed/; _build by default.")
    ] = None,
) -> None:
    """Run the notebooks and build the web book from the executed copies."""
    from sdnet_lib.book import build

    build(output=output, profile=profile, dataset=dataset, data=data, only=only, seed=seed)


@app.command()
def phantom(
    out: OutOption,
    n: Annotated[int, typer.Option("--n", min=2, help="Number of images, half of them positive.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    biased: Annotated[
        bool, typer.Option("--biased", help="Positives and negatives from other sites.")
    ] = False,
    size: Annotated[int, typer.Option(min=32, max=4096, help="Side of an image in pixels.")] = 256,
) -> None:
    """Write a synthetic cohort with its truth: lung and lesion masks, affected lung parts, site."""
    from sdnet_lib import phantom as builder

    make = builder.biased if biased else builder.homogeneous
    cohort = make(n, seed, out, size=size)
    typer.echo(f"{len(cohort)} images: {out / 'cohort.csv'}")


@app.command()
def crop(
    cohort: Annotated[str, typer.Argument(help="A name from `sdnet data list`, a CSV or a folder.")],
    out: OutOption,
    masks: Annotated[bool, typer.Option("--masks", help="Write the lung masks too, at source size.")] = False,
    data: DataOption = None,
) -> None:
    """Crop each image to its lungs; boxes.csv says where, and where no lungs were found."""
    from sdnet_lib.cohort import read_cohort
    from sdnet_lib.lungs import crop_cohort

    crops = crop_cohort(read_cohort(cohort, data=data), out, masks=masks)
    typer.echo(f"{len(crops)} crops: {out / 'cohort.csv'}")


@data_app.command("list")
def data_list(data: DataOption = None) -> None:
    """Show the registered names: each can be given wherever a cohort is asked for."""
    import data_scripts

    for row in data_scripts.describe(data):
        typer.echo(f"{row.name:15} {row.what}\n{'':15} {row.images}; {row.labels}\n{'':15} {row.where}")


@data_app.command("get")
def data_get(name: Annotated[str, typer.Argument()], data: DataOption = None) -> None:
    """Download a data set, or say where to get it."""
    import data_scripts

    typer.echo(data_scripts.get(name, data))


@data_app.command("check")
def data_check(name: Annotated[str, typer.Argument()], data: DataOption = None) -> None:
    """Read a data set whole: files, labels, counts, the same picture twice."""
    import data_scripts

    typer.echo(data_scripts.check(name, data))


def main() -> None:
    """Run `sdnet`; turn what a user can cause into one line and an exit status."""
    from sdnet_lib.book import BookError

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
