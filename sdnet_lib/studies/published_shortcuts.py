"""The experiments of chapter 1 on real images: ``python -m sdnet_lib.studies.published_shortcuts --data DIR -o FILE``.

Writes the table that the chapter loads, and beside it a JSON that says where it comes from. What takes long
is kept in the cache as it is made, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from tqdm import tqdm

from data_scripts.registry import load_cohort
from sdnet_lib.audit import shortcuts
from sdnet_lib.config import Profile, cache_dir, get_profile
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.data.splits import Split, splits
from sdnet_lib.evaluation import curves
from sdnet_lib.files import InputError, code_hash
from sdnet_lib.lungs.segmentation import networks_key
from sdnet_lib.models import classifier

RESULTS = Path(__file__).parents[1] / "results"
TABLE = RESULTS / "bias_real.csv"
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
ELSEWHERE = (("covidx-mini", "actualmed"), ("shenzhen", "montgomery"), ("montgomery", "shenzhen"))
TWICE = (shortcuts.FULL, shortcuts.LUNGS)  # the clues that are also carried elsewhere and fine-tuned
FROZEN, TRAINED, FOREST, THUMB = "frozen features", "fine-tuned", "random forest", "logistic regression"
FOLDS = 5


def load() -> tuple[pd.DataFrame, dict]:
    """Return the committed table, one row an experiment, and its provenance.

    Columns: ``trained_on``, ``tested_on``, ``model``, ``clue``, ``folds`` (networks behind the row),
    ``auc_lowest`` and ``auc_highest`` (of single fine-tuned networks, where several are averaged) and
    those of `bias.scores`.
    """
    return pd.read_csv(TABLE), json.loads(TABLE.with_suffix(".json").read_text())


def _keep(file: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays in `file`; if it is not there, make and write them first, with the seconds spent."""
    if not file.exists():
        start = time.monotonic()
        arrays = make()
        part = file.with_suffix(f".{os.getpid()}.npz")
        part.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(part, **arrays, seconds=time.monotonic() - start)
        os.replace(part, file)
    with np.load(file) as stored:
        return dict(stored)


class Bench(NamedTuple):
    """A cohort on the bench: its table, where its arrays are kept, and the sizes of the run."""

    cohort: pd.DataFrame
    folder: Path
    profile: Profile


@lru_cache
def bench(name: str, data: str, profile: Profile) -> Bench:
    """Read a registered cohort; what is made of it is kept under its fingerprint."""
    cohort = load_cohort(name, data=data)
    return Bench(cohort, cache_dir() / "bias_real" / f"{name}-{fingerprint(cohort)}-{profile.name}", profile)


def _slug(on: Bench, clue: str) -> str:
    """Name a clue in a file name, with the lung networks if they decide what it shows."""
    networks = "" if clue in (shortcuts.FULL, shortcuts.BORDER) else f"-{networks_key(on.cohort)}"
    return clue.replace(" ", "-") + networks


def pixels(on: Bench, clue: str) -> np.ndarray:
    """Return the images as a clue shows them."""
    read = partial(classifier.read_pixels, on.cohort, on.profile.image_size)
    full = _keep(on.folder / "pixels.npz", lambda: {"pixels": read()})["pixels"]
    if clue == shortcuts.FULL:
        return full
    if clue == shortcuts.BORDER:
        return shortcuts.blank(full, np.zeros(full.shape, bool), clue)
    find = partial(shortcuts.lung_masks, on.cohort, on.profile.image_size)
    file = on.folder / f"masks-{networks_key(on.cohort)}.npz"
    masks = _keep(file, lambda: {"masks": find()})["masks"]
    return shortcuts.blank(full, masks, clue)


def features(on: Bench, clue: str) -> np.ndarray:
    """Return what the model sees of a clue, one row an image."""
    if clue == shortcuts.THUMBNAIL:
        return shortcuts.thumbnails(pixels(on, shortcuts.FULL))
    if clue == shortcuts.FILE:
        return shortcuts.file_facts(on.cohort).to_numpy()
    if clue == shortcuts.PATIENT:
        return shortcuts.patient_facts(on.cohort).to_numpy()
    file = on.folder / f"features-{_slug(on, clue)}.npz"
    return _keep(file, lambda: {"features": classifier.embed(pixels(on, clue))})["features"]


def audited(on: Bench, rows: np.ndarray) -> Iterator[dict]:
    """Score every clue on some rows of a cohort, by cross-validation."""
    part = on.cohort.iloc[rows].reset_index(drop=True)
    parts = splits(part, 1, FOLDS)
    clues = [*shortcuts.IMAGE_SHORTCUTS, shortcuts.THUMBNAIL, shortcuts.FILE]
    if shortcuts.patient_facts(part) is not None:
        clues.append(shortcuts.PATIENT)
    for clue in clues:
        tabular = clue in (shortcuts.FILE, shortcuts.PATIENT)
        model = shortcuts.FOREST if tabular else shortcuts.LINEAR
        table = shortcuts.cross_validate(part, features(on, clue)[rows], parts, model)
        name = FOREST if tabular else THUMB if clue == shortcuts.THUMBNAIL else FROZEN
        yield {"model": name, "clue": clue, "folds": FOLDS} | shortcuts.scores(table)


def carried(on: Bench, to: Bench, clue: str) -> dict:
    """Fit a probe to a cohort and score it on another hospital's patients."""
    truth = on.cohort["label"] == "P"
    fitted = clone(shortcuts.LINEAR).fit(features(on, clue), truth)
    guess = fitted.predict_proba(features(to, clue))[:, 1]
    scored = shortcuts.scores(shortcuts.predictions(to.cohort, guess))
    return {"model": FROZEN, "clue": clue, "folds": 1} | scored


def fine_tuned(on: Bench, to: Bench, clue: str, part: Split) -> dict[str, np.ndarray]:
    """Train the paper's classifier on one fold; return P's probability at home (test part) and elsewhere."""

    def make() -> dict[str, np.ndarray]:
        shown = pixels(on, clue)
        network = classifier.learner(on.cohort, part.train, part.valid, profile=on.profile, pixels=shown)
        classifier.fit(network, on.profile)
        home = classifier.predict(network, on.cohort.iloc[part.test], pixels=shown[part.test])
        away = classifier.predict(network, to.cohort, pixels=pixels(to, clue))
        return {"home": home[:, 1], "away": away[:, 1]}

    return _keep(on.folder / f"fine-tuned-{_slug(on, clue)}-{part.fold}.npz", make)


def fine_tuned_rows(on: Bench, to: Bench, clue: str, folds: int) -> Iterator[dict]:
    """Score the paper's classifier at home, over `folds` test folds, and elsewhere.

    Elsewhere each fold's network sees all images; their probabilities are averaged, and `auc_lowest` and
    `auc_highest` say how far single networks lie apart.
    """
    parts = splits(on.cohort, 1, FOLDS)[:folds]
    found = [fine_tuned(on, to, clue, part) for part in parts]
    home = [
        shortcuts.predictions(on.cohort.iloc[part.test], one["home"], part.fold)
        for part, one in zip(parts, found, strict=True)
    ]
    shared = {"model": TRAINED, "clue": clue}
    yield {"away": False, **shared, "folds": folds} | shortcuts.scores(pd.concat(home, ignore_index=True))
    away = np.stack([one["away"] for one in found])
    single = [curves.area_under_roc(to.cohort["label"] == "P", one) for one in away]
    apart = {"auc_lowest": min(single), "auc_highest": max(single)}
    averaged = shortcuts.scores(shortcuts.predictions(to.cohort, away.mean(0)))
    yield {"away": True, **shared, "folds": folds} | averaged | apart


def experiments(data: str, profile: Profile, folds: int) -> Iterator[dict]:
    """Run everything, cheap before dear; yield one row of the table an experiment."""
    for label, (name, query) in COHORTS.items():
        on = bench(name, data, profile)
        rows = np.flatnonzero(on.cohort.eval(query)) if query else np.arange(len(on.cohort))
        for row in audited(on, rows):
            yield {"trained_on": label, "tested_on": label} | row
    for name, other in ELSEWHERE:
        on, to = bench(name, data, profile), bench(other, data, profile)
        for clue in TWICE:
            yield {"trained_on": name, "tested_on": other} | carried(on, to, clue)
    for name, other in ELSEWHERE[:2]:
        on, to = bench(name, data, profile), bench(other, data, profile)
        for clue in TWICE if folds else ():
            for row in fine_tuned_rows(on, to, clue, folds):
                yield {"trained_on": name, "tested_on": other if row.pop("away") else name} | row


def provenance(data: str, profile: Profile) -> dict:
    """Say what made the table: code, cohorts, sizes, versions."""
    cohorts = {}
    for name in dict.fromkeys(name for name, _ in COHORTS.values()):
        on = bench(name, data, profile)
        counts = on.cohort["label"].value_counts().to_dict()
        origin = {"fingerprint": fingerprint(on.cohort), "lung_networks": networks_key(on.cohort)}
        cohorts[name] = counts | origin
    seconds = sum(
        float(np.load(file)["seconds"])
        for name in cohorts
        for file in bench(name, data, profile).folder.glob("*.npz")
    )
    libraries = ("sdnet-lib", "torch", "torchvision", "timm", "fastai", "scikit-learn", "numpy")
    return {
        "made": time.strftime("%Y-%m-%d"),
        "command": "python -m sdnet_lib.studies.published_shortcuts --data DIR -o FILE",
        "code": code_hash(),
        "cohorts": cohorts,
        "profile": dataclasses.asdict(profile),
        "folds": FOLDS,
        "seed": 0,
        "hours_of_computing": round(seconds / 3600, 2),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in libraries},
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the experiments and write FILE (CSV) and, beside it, its provenance (JSON)."""
    parser = argparse.ArgumentParser(
        prog="python -m sdnet_lib.studies.published_shortcuts", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", required=True, help="folder that holds the public data sets")
    parser.add_argument("-o", "--out", type=Path, default=TABLE, help="CSV file to write")
    parser.add_argument("--profile", default="quick", help="sizes of the run")
    parser.add_argument("--folds", type=int, default=FOLDS, help="test folds of the fine-tuned classifier")
    options = parser.parse_args(arguments)
    try:
        profile = get_profile(options.profile)
        table = pd.DataFrame(list(tqdm(experiments(options.data, profile, options.folds), disable=None)))
        origin = provenance(options.data, profile)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for file, text in (
        (options.out, table.round(4).to_csv(index=False)),
        (options.out.with_suffix(".json"), json.dumps(origin, indent=1) + "\n"),
    ):
        part = file.with_suffix(".part")
        part.write_text(text)
        os.replace(part, file)


if __name__ == "__main__":
    main()
