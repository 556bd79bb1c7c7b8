"""The experiments of chapter 1 on real images: how far shortcuts get, at home and on another hospital.

The stored table has one row per experiment: `trained_on`, `tested_on`, `model`, `shortcut` (what the model
sees), `folds` (networks behind the row), `auc_lowest` and `auc_highest` (of single fine-tuned networks, where
several are averaged), and those of `audit.shortcuts.scores`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from tqdm import tqdm

from data_scripts.registry import load_cohort
from sdnet_lib.audit import shortcuts
from sdnet_lib.code_version import code_version
from sdnet_lib.config import Profile, cache_dir, get_profile
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.data.splits import Split, splits
from sdnet_lib.evaluation import curves
from sdnet_lib.lungs.cross_fit import networks_key
from sdnet_lib.models import classifier
from sdnet_lib.studies.published import hours, kept

# What is audited: a name for the table, the registered cohort, and which of its rows.
COHORTS = {
    "covidx-mini": ("covidx-mini", ""),
    "covidx-mini, PA only": ("covidx-mini", "view == 'PA'"),
    "shenzhen": ("shenzhen", ""),
    "montgomery": ("montgomery", ""),
    "nih-pneumonia": ("nih-pneumonia", ""),
    "actualmed": ("actualmed", ""),
}
# Trained on one, tested on the other; the paper's classifier is trained for the first two.
EXTERNAL = (("covidx-mini", "actualmed"), ("shenzhen", "montgomery"), ("montgomery", "shenzhen"))
TWICE = (shortcuts.FULL, shortcuts.LUNGS)  # what is also tested on external cohorts and fine-tuned
FROZEN, TRAINED, FOREST, THUMB = "frozen features", "fine-tuned", "random forest", "logistic regression"
FOLDS = 5


class Material(NamedTuple):
    """A cohort, the folder where what is made of it is kept, and the sizes of the run."""

    cohort: pd.DataFrame
    folder: Path
    profile: Profile


def compute(
    data: Path, profile: Profile | None = None, folds: int = FOLDS
) -> tuple[dict[str, pd.DataFrame], dict]:
    """Run all experiments; see `published.store` for what is returned.

    Parameters
    ----------
    data : Path
        The folder that holds the public data sets.
    profile : Profile, optional
        Sizes; ``quick`` by default.
    folds : int
        Test folds of the fine-tuned classifier, which takes longest.
    """
    profile, made = profile or get_profile("quick"), {}
    names = [name for name, _ in COHORTS.values()] + [name for pair in EXTERNAL for name in pair]
    for name in dict.fromkeys(names):
        cohort = load_cohort(name, data=data)
        key = f"{name}-{fingerprint(cohort)}-{profile.name}-{code_version(__name__)}"
        folder = cache_dir() / "shortcuts" / key
        made[name] = Material(cohort, folder, profile)
    table = pd.DataFrame(list(tqdm(_experiments(made, folds), "experiments", disable=None)))
    cohorts = {
        name: on.cohort["label"].value_counts().to_dict()
        | {"fingerprint": fingerprint(on.cohort), "lung_networks": networks_key(on.cohort)}
        for name, on in made.items()
    }
    origin = {
        "code": code_version(__name__),
        "cohorts": cohorts,
        "profile": dataclasses.asdict(profile),
        "folds": FOLDS,
        "seed": 0,
        "hours_of_computing": round(sum(hours(on.folder) for on in made.values()), 2),
    }
    return {"": table}, origin


def _experiments(made: dict[str, Material], folds: int) -> Iterator[dict]:
    """Run everything, the cheap before the expensive; yield one row of the table per experiment."""
    for label, (name, query) in COHORTS.items():
        cohort = made[name].cohort
        rows = np.flatnonzero(cohort.eval(query)) if query else np.arange(len(cohort))
        for row in audited(made[name], rows):
            yield {"trained_on": label, "tested_on": label} | row
    for name, other in EXTERNAL:
        for shown in TWICE:
            row = tested_externally(made[name], made[other], shown)
            yield {"trained_on": name, "tested_on": other} | row
    for name, other in EXTERNAL[:2] if folds else ():
        for shown in TWICE:
            home, external = fine_tuned_rows(made[name], made[other], shown, folds)
            yield {"trained_on": name, "tested_on": name} | home
            yield {"trained_on": name, "tested_on": other} | external


def _file(on: Material, what: str, shown: str) -> Path:
    """Name a file in the cache, with the lung networks if they decide what is shown."""
    networks = "" if shown in (shortcuts.FULL, shortcuts.BORDER) else f"-{networks_key(on.cohort)}"
    return on.folder / f"{what}-{shown.replace(' ', '-')}{networks}.npz"


def pixels(on: Material, shown: str) -> np.ndarray:
    """Return the images with nothing but what is shown of them, one of `shortcuts.IMAGE_SHORTCUTS`."""
    full = read_pixels(on.cohort, on.profile.image_size)
    if shown == shortcuts.FULL:
        return full
    if shown == shortcuts.BORDER:
        return shortcuts.blank(full, np.zeros(full.shape, bool), shown)

    def find() -> dict[str, np.ndarray]:
        return {"lungs": shortcuts.lung_masks(on.cohort, on.profile.image_size)}

    masks = kept(on.folder / f"masks-{networks_key(on.cohort)}.npz", find)["lungs"]
    return shortcuts.blank(full, masks, shown)


def features(on: Material, shown: str) -> np.ndarray:
    """Return what a model gets of what is shown, one row per image."""
    if shown == shortcuts.THUMBNAIL:
        return shortcuts.thumbnails(pixels(on, shortcuts.FULL))
    if shown == shortcuts.FILE:
        return shortcuts.file_facts(on.cohort).to_numpy()
    if shown == shortcuts.PATIENT:
        return shortcuts.patient_facts(on.cohort).to_numpy()

    def make() -> dict[str, np.ndarray]:
        return {"features": classifier.embed(pixels(on, shown))}

    return kept(_file(on, "features", shown), make)["features"]


def audited(on: Material, rows: np.ndarray) -> Iterator[dict]:
    """Score every shortcut on some rows of a cohort, by cross-validation."""
    part = on.cohort.iloc[rows].reset_index(drop=True)
    parts = splits(part, 1, FOLDS)
    everything = [*shortcuts.IMAGE_SHORTCUTS, shortcuts.THUMBNAIL, shortcuts.FILE]
    if shortcuts.patient_facts(part) is not None:
        everything.append(shortcuts.PATIENT)
    for shown in everything:
        tabular = shown in (shortcuts.FILE, shortcuts.PATIENT)
        model = shortcuts.FOREST if tabular else shortcuts.LINEAR
        table = shortcuts.cross_validate(part, features(on, shown)[rows], parts, model)
        name = FOREST if tabular else THUMB if shown == shortcuts.THUMBNAIL else FROZEN
        yield {"model": name, "shortcut": shown, "folds": FOLDS} | shortcuts.scores(table)


def tested_externally(on: Material, to: Material, shown: str) -> dict:
    """Fit a probe to a cohort and score it on another hospital's patients."""
    fitted = clone(shortcuts.LINEAR).fit(features(on, shown), on.cohort["label"] == "P")
    guess = fitted.predict_proba(features(to, shown))[:, 1]
    scored = shortcuts.scores(shortcuts.predictions(to.cohort, guess))
    return {"model": FROZEN, "shortcut": shown, "folds": 1} | scored


def fine_tuned(on: Material, to: Material, shown: str, part: Split) -> dict[str, np.ndarray]:
    """Train the paper's classifier on one fold; return P's probability at home (test part) and externally."""

    def make() -> dict[str, np.ndarray]:
        images = pixels(on, shown)
        network = classifier.learner(on.cohort, part.train, part.valid, profile=on.profile, pixels=images)
        classifier.fit(network, on.profile)
        home = classifier.predict(network, on.cohort.iloc[part.test], pixels=images[part.test])
        external = classifier.predict(network, to.cohort, pixels=pixels(to, shown))
        return {"home": home[:, 1], "external": external[:, 1]}

    return kept(_file(on, f"fine-tuned-{part.fold}", shown), make)


def fine_tuned_rows(on: Material, to: Material, shown: str, folds: int) -> tuple[dict, dict]:
    """Score the paper's classifier at home, over `folds` test folds, and on an external cohort.

    There each fold's network sees all images; their probabilities are averaged, and `auc_lowest` and
    `auc_highest` say how far single networks lie apart.
    """
    parts = splits(on.cohort, 1, FOLDS)[:folds]
    found = [fine_tuned(on, to, shown, part) for part in parts]
    home = [
        shortcuts.predictions(on.cohort.iloc[part.test], one["home"], part.fold)
        for part, one in zip(parts, found, strict=True)
    ]
    external = np.stack([one["external"] for one in found])
    single = [curves.area_under_roc(to.cohort["label"] == "P", one) for one in external]
    shared = {"model": TRAINED, "shortcut": shown, "folds": folds}
    averaged = shortcuts.scores(shortcuts.predictions(to.cohort, external.mean(0)))
    return (
        shared | shortcuts.scores(pd.concat(home, ignore_index=True)),
        shared | averaged | {"auc_lowest": min(single), "auc_highest": max(single)},
    )
