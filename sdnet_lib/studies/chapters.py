"""What the chapters of the book train: their sizes in each profile, and the studies that run before them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdnet_lib.config import Profile, cache_dir, get_profile

if TYPE_CHECKING:
    import pandas as pd

    from sdnet_lib.studies.study import Study

# What a chapter changes of the profile's sizes, so that nobody waits too long for one of its cells.
SIZES: dict[int, dict[str, dict]] = {
    4: {
        "smoke": {"images": 40, "image_size": 32, "generator_epochs": 1},
        "quick": {"images": 100, "image_size": 32, "generator_epochs": 4},
        "full": {"generator_epochs": 10},
        "paper": {"generator_epochs": 10},
    },
    5: {
        "smoke": {"lambdas": (0.01,), "image_size": 32, "generator_epochs": 1},
        "quick": {"lambdas": (0.01,), "image_size": 40, "epochs": 10, "generator_epochs": 3},
        "full": {"lambdas": (0.01,)},
        "paper": {"lambdas": (0.01,)},
    },
    6: {"smoke": {"image_size": 32}, "quick": {"image_size": 32}},
    9: {"smoke": {"epochs": 1}, "quick": {"epochs": 4}},
}
LIVE = ("resnet50", "resnet50-crop", "darkcovidnet")  # rows of chapter 6
FULL = (*LIVE, "fucitnet", "covid-sdnet")
APPROACHES = {"full": FULL, "paper": (*FULL, "covidnet", "covid-caps")}
NO_PCR = "-no-pcr"  # the study once more without Normal-PCR+
READERS = ("06", "07", "08")  # chapters that read the long studies


def sizes(profile: Profile, chapter: int) -> Profile:
    """Return the sizes of a chapter in a profile."""
    return replace(profile, **SIZES.get(chapter, {}).get(profile.name, {}))


def approaches(profile: str) -> list[str]:
    """Return the rows of chapter 6."""
    return list(APPROACHES.get(profile, LIVE))


def is_long(profile: str) -> bool:
    """Say whether a profile's studies take longer than a reader waits: then they run before the chapters."""
    return profile in APPROACHES


def folder(profile: str, dataset: str, seed: int, name: str = "") -> Path:
    """Return where a long study lies in the cache, so that one that was interrupted goes on."""
    return cache_dir() / "chapter6" / f"{Path(dataset).name}-{profile}-{seed}{name}"


def studies(cohort: pd.DataFrame, dataset: str, data: Path | None, profile: str, seed: int) -> list[Study]:
    """Return the long studies of a profile: all images, then those without Normal-PCR+ if there are such.

    The chapters that read them ask for the very same ones, and find them done.
    """
    from sdnet_lib.studies.study import Study

    chosen = sizes(get_profile(profile), 6)
    easier = cohort[cohort["severity"] != "Normal-PCR+"].reset_index(drop=True)
    found = [Study(folder(profile, dataset, seed), cohort, chosen, seed, data=data)]
    if len(easier) < len(cohort):
        found.append(Study(folder(profile, dataset, seed, NO_PCR), easier, chosen, seed, data=data))
    return found
