"""``sdnet train``: one model from a whole cohort, with a card that says what it is worth.

The metrics in the card are not the model's own, for no image is left to test it. They are those of
cross-validation: models that were trained in the same way on a part of the cohort, tested on the rest.
``python -m sdnet_lib.studies.final --data DIR`` makes the models that come with the package.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sdnet_lib.config import cache_dir
from sdnet_lib.data.cohort import LABELS, fingerprint
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.data.splits import splits
from sdnet_lib.evaluation import curves, metrics, statistics, tables
from sdnet_lib.explain import input_checks
from sdnet_lib.files import InputError
from sdnet_lib.models.registry import Approach, find
from sdnet_lib.models.task import Task
from sdnet_lib.studies import crossval, model_file, study

TENTHS = 10  # one of them decides when to stop, the others are learned from
LIMITS = (
    "Tested by cross-validation on the cohort it was trained on: another hospital, device, view or age group "
    "may be read much worse.",
    "It tells P from N and knows nothing else: any other disease may look like either.",
    "Its probabilities hold for the share of P in its training images.",
)
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
        See `approaches`.
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
    chosen = find(approach)
    asked = crossval.study_of(cohort, Path(), profile=profile, changes=changes, seed=seed, data=data)
    asked = asked._replace(folder=_place(asked, approach))
    crossval.run_study(asked, [approach], jobs)
    start = time.monotonic()
    task = whole(asked, chosen)
    with crossval.one_thread():
        predictor, said = chosen.fit(task)
    card = describe(asked, chosen, task) | {
        "cross_validation": validated(tables.read_runs(asked.folder)),
        "training": said,
        "seconds": round(time.monotonic() - start),
        "command": command or shlex.join(["sdnet", "train", cohort, "--approach", approach, "-o", out.name]),
    }
    card["limits"] = [remark, *card["limits"]] if remark else card["limits"]
    model = model_file.Model(predictor, card)
    model_file.write(model, out)
    return model


def _place(asked: study.Study, approach: str) -> Path:
    """Return where the cross-validation is kept; studies that differ in anything are kept apart."""
    sizes = hashlib.sha256(repr((dataclasses.astuple(asked.profile), asked.seed)).encode()).hexdigest()[:8]
    return cache_dir() / "train" / f"{approach}-{fingerprint(asked.cohort)}-{sizes}"


def whole(asked: study.Study, approach: Approach) -> Task:
    """Return the task to learn from a whole cohort, of which a tenth decides when to stop."""
    joined = asked.cohort.assign(patient_id=same_pictures(asked.cohort))
    part = splits(joined, 1, TENTHS, asked.seed)[0]
    profile = dataclasses.replace(asked.profile, image_size=crossval.image_size_of(approach, asked.profile))
    return Task(
        cohort=asked.cohort,
        pixels=crossval.pixels_of(asked.cohort, approach, profile.image_size),
        train=np.sort(np.concatenate([part.train, part.valid])),
        valid=part.test,
        profile=profile,
        seed=asked.seed,
        shared=asked.folder / ".shared" / "whole",
        data=asked.data,
    )


def describe(asked: study.Study, approach: Approach, task: Task) -> dict:
    """Return what a card says of a model before anybody has tested it."""
    cohort = asked.cohort
    origin = study.provenance(asked, study.Run(approach.name, 0, 0), task.profile, {}, 0)
    facts = {key: origin[key] for key in ("code", "cohort", "device", "versions", "seed", "profile")}
    counts = {label: int((cohort["label"] == label).sum()) for label in LABELS}
    levels = cohort.loc[cohort["severity"] != "", "severity"].value_counts()
    facts["cohort"] |= counts | {"patients": int(cohort["patient_id"].nunique())}
    facts["cohort"] |= {"severity": {name: int(count) for name, count in levels.items()}}
    return {
        "warning": model_file.NO_DEVICE,
        "approach": approach.name,
        "labels": list(LABELS),
        "crops": approach.crops,
        **facts,
        "ordinary": input_checks.ranges(task.pixels),
        "limits": list(LIMITS),
    }


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the models that come with the package, all or those named."""
    parser = argparse.ArgumentParser(prog="python -m sdnet_lib.studies.final", description=main.__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *SHIPPED], help="models; all by default")
    parser.add_argument("--data", required=True, type=Path, help="folder that holds the public data sets")
    parser.add_argument("--jobs", type=int, default=crossval.default_jobs(), help="runs at a time")
    parser.add_argument("--out", type=Path, default=model_file.SHIPPED, help="folder to write")
    given = parser.parse_args(arguments)
    for name in given.names or SHIPPED:
        cohort, approach, changes = SHIPPED[name]
        train(
            cohort,
            approach,
            given.out / f"{name}.safetensors",
            changes=changes,
            jobs=given.jobs,
            data=given.data,
            remark=REMARKS[name],
            command=f"python -m sdnet_lib.studies.final --data DIR {name}",
        )


if __name__ == "__main__":
    main()
