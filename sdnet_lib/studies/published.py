"""The cross-validations that the book shows as stored tables: ``python -m sdnet_lib.studies.published --data DIR``.

Each study runs in the cache, where an interrupted one goes on, and is then packed into `results/runs`: one
Parquet file with all predictions, and a JSON file that says where they come from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sdnet_lib.config import cache_dir
from sdnet_lib.files import InputError, write_json, write_parquet
from sdnet_lib.studies import crossval, study

PACKED = Path(__file__).parents[1] / "results" / "runs"
# What two cores can do: the paper's networks see 224 pixels, and its generators train for up to 50 epochs.
SIZES = {"folds": 5, "generator_epochs": 1, "image_size": 64}
TINY = SIZES | {"image_size": 32}
LONG = SIZES | {"epochs": 40, "patience": 10}
MAIN, OURS = ("resnet50", "resnet50-crop"), ("fucitnet", "covid-sdnet")
RIVALS = ("darkcovidnet", "covidnet-c", "covid-caps")
MORE_RIVALS = ("mobilenet", "deepcovidexplainer", "bayesian-resnet50v2")


class Plan(NamedTuple):
    """A study: its cohort, where its networks are carried to, how often each approach runs, and its sizes."""

    cohort: str
    elsewhere: tuple[str, ...]
    repeats: dict[str, int]
    without_pcr: bool = False
    sizes: dict[str, int] = SIZES


STUDIES = {
    "shenzhen": Plan("shenzhen", ("montgomery",), dict.fromkeys(MAIN, 5)),
    "shenzhen-32px": Plan(
        "shenzhen",
        ("montgomery",),
        dict.fromkeys((*MAIN, *OURS, *RIVALS, *MORE_RIVALS), 1),
        sizes=TINY,
    ),
    "covidx-mini": Plan("covidx-mini", ("actualmed",), dict.fromkeys(MAIN, 1)),
    "nih-pneumonia": Plan("nih-pneumonia", (), dict.fromkeys(MAIN, 1)),
    "phantom": Plan("phantom", (), dict.fromkeys((*MAIN, *OURS, *RIVALS), 1)),
    "phantom-longer": Plan("phantom", (), dict.fromkeys((*MAIN, *OURS, *RIVALS), 1), sizes=LONG),
    "phantom-biased": Plan("phantom-biased", ("phantom",), dict.fromkeys((*MAIN, *RIVALS), 1)),
    "phantom-no-pcr": Plan("phantom", (), dict.fromkeys((*MAIN, *RIVALS), 1), without_pcr=True),
}


def load(name: str, elsewhere: str | None = None) -> tuple[pd.DataFrame, dict]:
    """Return a stored study's predictions, and where they come from.

    Parameters
    ----------
    name : str
        One of `stored`.
    elsewhere : str, optional
        The other cohort that its networks were tested on, for those predictions instead.

    Raises
    ------
    InputError
        If nothing of this name is stored.
    """
    file = PACKED / f"{name}{f'-on-{elsewhere}' if elsewhere else ''}.parquet"
    if not file.exists():
        raise InputError(f"no stored study {file.stem!r}: choose one of {', '.join(stored())}")
    return pd.read_parquet(file), json.loads((PACKED / f"{name}.json").read_text())


def stored() -> list[str]:
    """Return the names of the studies whose predictions come with the package."""
    return sorted(file.stem for file in PACKED.glob("*.json"))


def folder(name: str) -> Path:
    """Return where a study's runs are, in the cache."""
    return cache_dir() / "real_runs" / name


def run(name: str, data: Path, jobs: int) -> None:
    """Do what is missing of a study, the approaches that repeat most often first."""
    plan = STUDIES[name]
    for repeats in sorted(set(plan.repeats.values()), reverse=True):
        names = [approach for approach, wanted in plan.repeats.items() if wanted == repeats]
        asked = crossval.study_of(
            plan.cohort,
            folder(name),
            changes={"repeats": repeats} | plan.sizes,
            without_pcr=plan.without_pcr,
            elsewhere=plan.elsewhere,
            data=data,
        )
        crossval.run_study(asked, names, jobs)


def pack(name: str, out: Path = PACKED) -> None:
    """Gather the runs of a study that are done, in one file of predictions and one of provenance."""
    from sdnet_lib.evaluation.tables import read_runs

    out.mkdir(parents=True, exist_ok=True)
    place = folder(name)
    for part in (place, *sorted(place.glob("on-*"))):
        stem = name if part == place else f"{name}-{part.name}"
        table = read_runs(part)
        numbers = table.select_dtypes("float").columns
        write_parquet(out / f"{stem}.parquet", table.astype(dict.fromkeys(numbers, "float32")))
    origins = [study.read_json(file) for file in sorted(place.glob("*/r*f*.json"))]
    write_json(out / f"{name}.json", condense(origins, name))


def condense(origins: Sequence[dict], name: str) -> dict:
    """Put the provenance of many runs into one: what they share once, and a line a run."""
    shared = ("cohort", "device", "threads", "versions", "seed")
    result = {"command": f"python -m sdnet_lib.studies.published --data DIR {name}"}
    result |= {key: origins[0][key] for key in shared}
    result["profile"] = {k: v for k, v in origins[0]["profile"].items() if k != "repeats"}
    result["code"] = sorted({origin["code"]["hash"] for origin in origins})
    result["hours_of_computing"] = round(sum(origin["seconds"] for origin in origins) / 3600, 2)
    result["runs"] = [
        {key: origin[key] for key in ("approach", "repeat", "fold", "seconds", "training")}
        for origin in origins
    ]
    return result


def main(arguments: list[str] | None = None) -> None:
    """Run studies, all or those named, and pack them."""
    parser = argparse.ArgumentParser(
        prog="python -m sdnet_lib.studies.published", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", choices=[[], *STUDIES], help="studies; all by default")
    parser.add_argument("--data", required=True, type=Path, help="folder that holds the public data sets")
    parser.add_argument("--jobs", type=int, default=crossval.default_jobs(), help="runs at a time")
    parser.add_argument("--pack-only", action="store_true", help="pack what is done")
    options = parser.parse_args(arguments)
    try:
        for name in options.names or STUDIES:
            if not options.pack_only:
                run(name, options.data, options.jobs)
            pack(name)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
