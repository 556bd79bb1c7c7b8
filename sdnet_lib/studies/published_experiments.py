"""What is computed once and stored: cross-validations, shortcuts, where networks look, data sets checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sdnet_lib.checksums import read_seal
from sdnet_lib.config import cache_dir
from sdnet_lib.evaluation.tables import other_cohorts, read_runs, run_files
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.studies import (
    crossval,
    published,
    published_audit,
    published_audit_cost,
    published_audit_public,
    published_data_sets,
    published_pointing,
    published_shortcuts,
    side_by_side,
)

# What two cores can do: the paper's networks see 224 pixels, and its generators train for up to 50 epochs.
SIZES = {"folds": 5, "generator_epochs": 1, "image_size": 64}
TINY = SIZES | {"image_size": 32}
EIGHT = SIZES | {"epochs": 8, "patience": 4}
LONG = SIZES | {"epochs": 40, "patience": 10}
MAIN, OURS = ("resnet50", "resnet50-crop"), ("fucitnet", "covid-sdnet")
TODAY = "lite0-probe"  # the encoder of today whose weights need no download
BASELINES = ("darkcovidnet", "covidnet-c", "covid-caps")
COVIDNETS = ("covidnet-c", "covidnet-balanced")  # the smallest, and as its authors sample and not
MORE_BASELINES = ("mobilenet", "deepcovidexplainer", "bayesian-resnet50v2")


class Plan(NamedTuple):
    """A cross-validation: cohort, external cohorts, how often each approach is repeated, and sizes.

    Sizes that are not said are the quick profile's. With a `third_class` COVID-Net learns the positives of
    that cohort too, as the paper has it.
    """

    cohort: str
    external: tuple[str, ...]
    repeats: dict[str, int]
    without_pcr: bool = False
    match_negatives: bool = False
    sizes: dict[str, int] = SIZES
    third_class: str | None = None


STUDIES = {
    "shenzhen": Plan("shenzhen", ("montgomery",), dict.fromkeys(MAIN, 5)),
    "shenzhen-32px": Plan(
        "shenzhen",
        ("montgomery",),
        dict.fromkeys((*MAIN, *OURS, *BASELINES, *MORE_BASELINES), 1),
        sizes=TINY,
    ),
    "shenzhen-today": Plan("shenzhen", ("montgomery",), dict.fromkeys(("resnet50-crop", TODAY), 1), sizes={}),
    "covidx-mini": Plan("covidx-mini", ("actualmed",), dict.fromkeys(MAIN, 1)),
    "nih-pneumonia": Plan("nih-pneumonia", (), dict.fromkeys(MAIN, 1)),
    "phantom": Plan("phantom", (), dict.fromkeys((*MAIN, *OURS, *BASELINES), 1)),
    "phantom-longer": Plan("phantom", (), dict.fromkeys((*MAIN, *OURS, *BASELINES), 1), sizes=LONG),
    "phantom-controls": Plan(
        "phantom", (), dict.fromkeys(("covid-sdnet", *registry.CONTROLS, TODAY), 1), sizes=EIGHT
    ),
    "phantom-third-class": Plan(
        "phantom", (), dict.fromkeys(COVIDNETS, 1), sizes=EIGHT, third_class="phantom-pneumonia"
    ),
    "covidx-mini-third-class": Plan(
        "covidx-mini",
        ("actualmed",),
        dict.fromkeys(COVIDNETS, 1),
        sizes=EIGHT,
        third_class="nih-pneumonia",
    ),
    "phantom-biased": Plan("phantom-biased", ("phantom",), dict.fromkeys((*MAIN, *BASELINES), 1)),
    "phantom-no-pcr": Plan("phantom", (), dict.fromkeys((*MAIN, *BASELINES), 1), without_pcr=True),
}
NAMES = (*STUDIES, *published.TABLES)


def publish(name: str, data: Path, jobs: int | None, **beside: Callable[[], tuple[dict, dict]]) -> None:
    """Compute what is missing of a result, one of `NAMES`, and store it.

    Parameters
    ----------
    name : str
    data : Path
        The folder that holds the public data sets.
    jobs : int, optional
        Runs of a cross-validation at a time; see `side_by_side.at_a_time`.
    **beside
        By name: what computes a result in a package that this one does not import.

    Raises
    ------
    InputError
        If the name is unknown or a data set is missing.
    """
    if name not in NAMES:
        raise InputError(f"unknown result {name!r}: choose from {', '.join(NAMES)}")
    if name in beside:
        published.store(name, *beside[name]())
    elif name == "shortcuts":
        published.store(name, *published_shortcuts.compute(data))
    elif name == "pointing":
        published.store(name, *published_pointing.compute(data))
    elif name == "audit":
        published.store(name, *published_audit.compute())
    elif name == "audit-cost":
        published.store(name, *published_audit_cost.compute())
    elif name == "audit-public":
        published.store(name, *published_audit_public.compute(data))
    elif name == "data-sets":
        published.store(name, *published_data_sets.compute(data))
    else:
        cross_validate(name, data, jobs)
        published.store(name, *gathered(cache_dir() / "real_runs" / name))


def cross_validate(name: str, data: Path, jobs: int | None) -> None:
    """Do what is missing of a study, the approaches that repeat most often first."""
    plan = STUDIES[name]
    for repeats in sorted(set(plan.repeats.values()), reverse=True):
        study = crossval.study_of(
            plan.cohort,
            cache_dir() / "real_runs" / name,
            changes={"repeats": repeats} | plan.sizes,
            without_pcr=plan.without_pcr,
            match_negatives=plan.match_negatives,
            external=plan.external,
            third_class=plan.third_class,
            data=data,
        )
        approaches = [approach for approach, wanted in plan.repeats.items() if wanted == repeats]
        crossval.run_study(study, approaches, jobs or side_by_side.at_a_time(study, approaches))


def gathered(folder: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    """Return the predictions of a folder of runs, by external cohort, and where they come from."""
    tables = {"": read_runs(folder)}
    tables |= {name: read_runs(place) for name, place in other_cohorts(folder).items()}
    return tables, condense([read_seal(file.with_suffix(".json")) for *_, file in sorted(run_files(folder))])


def condense(origins: Sequence[dict]) -> dict:
    """Put the provenance of many runs into one: what they share once, and a line per run."""
    first = origins[0]
    return {
        **{key: first[key] for key in ("cohort", "device", "threads", "versions", "seed")},
        "profile": {key: value for key, value in first["profile"].items() if key != "repeats"},
        "code": sorted({origin["code"]["hash"] for origin in origins}),
        "shared_code": sorted({origin["code"].get("shared", "unknown") for origin in origins}),
        "hours_of_computing": round(sum(origin["seconds"] for origin in origins) / 3600, 2),
        "runs": [
            {key: origin[key] for key in ("approach", "repeat", "fold", "seconds", "training", "code")}
            for origin in origins
        ],
    }
