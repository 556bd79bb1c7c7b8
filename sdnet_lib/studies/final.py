"""``sdnet train``: one model from a whole cohort, with a card that says what it is worth.

The metrics in the card are not the model's own, for no image is left to test it. They are those of
cross-validation: models that were trained in the same way on a part of the cohort, tested on the rest.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sdnet_lib.config import cache_dir, one_thread
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.evaluation import curves, metrics, statistics, tables, thresholds
from sdnet_lib.evaluation.learned import count
from sdnet_lib.files import InputError, digest
from sdnet_lib.models import registry
from sdnet_lib.models.task import Task
from sdnet_lib.studies import card as cards
from sdnet_lib.studies import crossval, side_by_side
from sdnet_lib.studies import third_class as third_classes
from sdnet_lib.studies.study import Study

if TYPE_CHECKING:  # torch takes seconds to load: what cannot be trained is said before
    from sdnet_lib.studies import model_file

# The model that comes with the package beside `synthetic_model`; what is not said is the quick profile's.
BIASED = "biased-demo"
BIASED_SIZES = {"image_size": 128}
BIASED_REMARK = (
    "Trained on a mixture that gives the label away by its source: it is here to be caught cheating, not to "
    "be used."
)
SHIPPED = (cards.DEFAULT, BIASED)


def train(
    cohort: str,
    approach: str,
    out: Path,
    *,
    profile: str = "quick",
    changes: dict[str, int | str | None] | None = None,
    seed: int = 0,
    jobs: int | None = 1,
    data: Path | None = None,
    labels: Mapping[str, str] | None = None,
    third_class: str | None = None,
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
    profile, changes, seed, jobs, data, labels, third_class
        As in `crossval.study_of` and `crossval.run_study`.
    remark : str
        A first limit for the card.
    command : str
        What the card gives as the command that made it.

    Raises
    ------
    InputError
        If the cohort or an option cannot be used, or `out` has another suffix; if there is a third class and
        the approach has no place for it.
    """
    if Path(out).suffix != ".safetensors":
        raise InputError(f"{out}: a model's name ends in .safetensors")
    chosen = registry.find(approach)
    registry.check_start([approach], (changes or {}).get("weights"))
    if third_class and not chosen.third_class:
        able = ", ".join(name for name, one in registry.APPROACHES.items() if one.third_class)
        raise InputError(f"--third-class: {approach} tells N from P only; these learn a third: {able}")
    options = {"profile": profile, "changes": changes, "seed": seed, "data": data, "labels": labels}
    options["third_class"] = third_class
    study = crossval.study_of(cohort, Path(), **options)
    study = dataclasses.replace(study, folder=_folder(study, approach))
    crossval.run_study(study, [approach], jobs or side_by_side.at_a_time(study, [approach]))
    from sdnet_lib.studies import model_file

    start, task = time.monotonic(), study.whole_task(approach)
    with one_thread():
        predictor, training = chosen.fit(_with_third_class(task, study, chosen))
    predictions = tables.read_runs(study.folder)
    (images,) = curves.per_image(predictions.assign(learned=True)).values()
    card = model_file.describe(study, chosen, task) | {
        "cross_validation": validated(predictions),
        "thresholds": thresholds.table(images, images),
        "training": training,
        "seconds": round(time.monotonic() - start),
        "command": command or shlex.join(["sdnet", "train", cohort, "--approach", approach, "-o", out.name]),
    }
    first = [remark] if remark else []
    if third_class:
        first.append(
            f"Taught {third_class} as a third class: its probability of P is that among N and P alone."
        )
    card["limits"] = [*first, *card["limits"]]
    model = model_file.Model(predictor, card)
    model_file.write(model, out)
    return model


def _with_third_class(task: Task, study: Study, approach: registry.Approach) -> Task:
    """Add all images of the third class, if the study has one, to what is learned from."""
    if study.third_class is None:
        return task
    images = study.pixels(approach, study.third_class)
    return third_classes.added(task, study.third_class, images, folds=1, fold=None)


def _folder(study: Study, approach: str) -> Path:
    """Return where the cross-validation is kept; studies that differ in anything are kept apart."""
    third = "" if study.third_class is None else fingerprint(study.third_class)
    sizes = digest(repr((dataclasses.astuple(study.profile), study.seed, third)), digits=8)
    return cache_dir() / "train" / f"{approach}-{fingerprint(study.cohort)}-{sizes}"


def train_shipped(name: str, data: Path | None, jobs: int | None) -> tuple[model_file.Model, Path]:
    """Make one of the models that come with the package, see `SHIPPED`; return it and its file."""
    if name == cards.DEFAULT:
        from sdnet_lib.studies import synthetic_model

        return synthetic_model.make()
    if name != BIASED:
        raise InputError(f"unknown model {name!r}: choose from {', '.join(SHIPPED)}")
    file = cards.SHIPPED / f"{name}.safetensors"
    options = {"changes": BIASED_SIZES, "jobs": jobs, "data": data, "remark": BIASED_REMARK}
    options["command"] = f"sdnet maintain models {name} --data DIR"
    return train("covidx-mini", "resnet50", file, **options), file


def validated(predictions: pd.DataFrame) -> dict:
    """Return what cross-validation found, ready for JSON: in per cent, with 95 % intervals.

    All runs count here, those too that have not learned: a model made in the same way may be one of these.
    """
    counted = count(predictions).sum()
    predictions = predictions.assign(learned=True)
    bounds = statistics.intervals(predictions).iloc[0]
    images = next(iter(curves.per_image(predictions).values()))
    areas = curves.areas(images)
    runs = metrics.per_run(predictions)
    found = {
        "runs": len(runs),
        "not_learned": int(counted["runs"] - counted["learned"]),
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
    """Say in a few lines what was trained and what it is worth."""
    cohort = model.card["cohort"]
    lines = [
        cards.NO_DEVICE,
        f"{file}: {model.card['approach']}, {cohort['images']} images ({cohort['N']} N, {cohort['P']} P)",
        _found(model.card),
        *(f"left out: {count} {what}" for what, count in cohort.get("left_out", {}).items()),
        *(
            f"P from {row['threshold']:.3f} on, for a specificity of {100 * row['specificity']:.0f} %: "
            + ", ".join(f"{name} {group['percent'][0]:.1f} %" for name, group in row["found"].items())
            for row in model.card["thresholds"]
        ),
        *(f"limit: {text}" for text in model.card["limits"]),
    ]
    return "\n".join(lines)


def _found(card: dict) -> str:
    """Say what cross-validation, or the test on other patients, found."""
    if "tested" in card:
        tested = card["tested"]
        return (
            f"tested on {tested['images']} others: area under the ROC curve {_with_bounds(tested['auc'], 3)}"
        )
    found = card["cross_validation"]
    return (
        f"cross-validation, {found['runs']} runs ({found['not_learned']} not learned): "
        f"accuracy {_with_bounds(found['accuracy'], 1)} %, "
        f"area under the ROC curve {_with_bounds(found['auc'], 3)}"
    )


def _with_bounds(values: Sequence[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean} [{low} to {high}]"
