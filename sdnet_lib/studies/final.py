"""``sdnet train``: one model from a whole cohort, with a card that says what it is worth.

The metrics in the card are not the model's own, for no image is left to test it. They are those of
cross-validation: models that were trained in the same way on a part of the cohort, tested on the rest.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdnet_lib.config import cache_dir
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.evaluation import curves, metrics, statistics, tables
from sdnet_lib.files import InputError, digest
from sdnet_lib.models import registry
from sdnet_lib.studies import crossval, model_file
from sdnet_lib.studies.study import Study

# How the models that come with the package were made; what is not said is the quick profile's.
SHIPPED = {
    "synthetic": ("phantom", "covid-sdnet", {"image_size": 96, "generator_epochs": 1}),
    "biased-demo": ("covidx-mini", "resnet50", {"image_size": 128}),
}
REMARKS = {
    "synthetic": "Trained on radiographs that a program drew. It has never seen a patient, and what it says "
    "of one means nothing.",
    "biased-demo": "Trained on a mixture that gives the label away by its source: it is here to be caught "
    "cheating, not to be used.",
}


def train(
    cohort: str,
    approach: str,
    out: Path,
    *,
    profile: str = "quick",
    changes: dict[str, int | None] | None = None,
    seed: int = 0,
    jobs: int = 1,
    data: Path | None = None,
    remark: str = "",
    command: str = "",
) -> model_file.Model:
    """Cross-validate an approach on a cohort, then train it on all of it and write the model.

    Interrupted, the next call goes on with the cross-validation where it was.

    Parameters
    ----------
    cohort : str
        A name, a CSV or a folder; see `data_scripts.registry.load_cohort`.
    approach : str
        See `sdnet_lib.models.registry`.
    out : Path
        The file, ``.safetensors``; the card goes beside it.
    profile, changes, seed, jobs, data
        As in `crossval.study_of` and `crossval.run_study`.
    remark : str
        A first limit for the card.
    command : str
        What the card gives as the command that made it.

    Raises
    ------
    InputError
        If the cohort or an option cannot be used, or `out` has another suffix.
    """
    if Path(out).suffix != ".safetensors":
        raise InputError(f"{out}: a model's name ends in .safetensors")
    chosen = registry.find(approach)
    study = crossval.study_of(cohort, Path(), profile=profile, changes=changes, seed=seed, data=data)
    study = dataclasses.replace(study, folder=_folder(study, approach))
    crossval.run_study(study, [approach], jobs)
    start, task = time.monotonic(), study.whole_task(approach)
    with crossval.one_thread():
        predictor, training = chosen.fit(task)
    card = model_file.describe(study, chosen, task) | {
        "cross_validation": validated(tables.read_runs(study.folder)),
        "training": training,
        "seconds": round(time.monotonic() - start),
        "command": command or shlex.join(["sdnet", "train", cohort, "--approach", approach, "-o", out.name]),
    }
    card["limits"] = [remark, *card["limits"]] if remark else card["limits"]
    model = model_file.Model(predictor, card)
    model_file.write(model, out)
    return model


def _folder(study: Study, approach: str) -> Path:
    """Return where the cross-validation is kept; studies that differ in anything are kept apart."""
    sizes = digest(repr((dataclasses.astuple(study.profile), study.seed)), digits=8)
    return cache_dir() / "train" / f"{approach}-{fingerprint(study.cohort)}-{sizes}"


def train_shipped(name: str, data: Path, jobs: int) -> tuple[model_file.Model, Path]:
    """Make one of the models that come with the package, a key of `SHIPPED`; return it and its file."""
    if name not in SHIPPED:
        raise InputError(f"unknown model {name!r}: choose from {', '.join(SHIPPED)}")
    cohort, approach, changes = SHIPPED[name]
    file = model_file.SHIPPED / f"{name}.safetensors"
    command = f"sdnet maintain models {name} --data DIR"
    options = {"changes": changes, "jobs": jobs, "data": data, "remark": REMARKS[name], "command": command}
    return train(cohort, approach, file, **options), file


def validated(predictions: pd.DataFrame) -> dict:
    """Return what cross-validation found, ready for JSON: in per cent, with 95 % intervals."""
    bounds = statistics.intervals(predictions).iloc[0]
    images = next(iter(curves.per_image(predictions).values()))
    areas = curves.areas(images)
    runs = metrics.per_run(predictions)
    found = {
        "runs": len(runs),
        "accuracy": [round(100 * float(value), 1) for value in bounds],
        "auc": [round(areas[name], 3) for name in ("auc", "auc_low", "auc_high")],
    }
    for name in ("sensitivity", "specificity"):
        found[name] = round(100 * float(runs[name].mean()), 1)
    if (predictions["severity"] != "").any():
        levels = metrics.by_severity(predictions).mean(0)
        found["severity"] = {str(name): round(100 * float(value), 1) for name, value in levels.items()}
    return found


def summary(model: model_file.Model, file: Path) -> str:
    """Say in a few lines what was trained and what cross-validation found."""
    found, cohort = model.card["cross_validation"], model.card["cohort"]
    lines = [
        model_file.NO_DEVICE,
        f"{file}: {model.card['approach']}, {cohort['images']} images ({cohort['N']} N, {cohort['P']} P)",
        f"cross-validation, {found['runs']} runs: accuracy {_with_bounds(found['accuracy'], 1)} %, "
        f"area under the ROC curve {_with_bounds(found['auc'], 3)}",
        *(f"limit: {text}" for text in model.card["limits"]),
    ]
    return "\n".join(lines)


def _with_bounds(values: Sequence[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean} [{low} to {high}]"
