"""A third class beside N and P, as the paper gives COVID-Net: learned from in each fold, never tested."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.files import InputError
from sdnet_lib.models.task import THIRD, Task


def drawn(cohort: pd.DataFrame, images: int, seed: int) -> pd.DataFrame:
    """Return the positives of a cohort of another disease, at most so many, drawn at random.

    Raises
    ------
    InputError
        If it has none.
    """
    found = cohort[cohort["label"] == "P"]
    if found.empty:
        raise InputError("the cohort of the third class has no image with the label P")
    return found.sample(min(len(found), images), random_state=seed).sort_index().reset_index(drop=True)


def facts(third: pd.DataFrame) -> dict:
    """Say for the provenance of a run what its third class is."""
    sources = sorted(set(third["source"]))
    return {"third_class": {"fingerprint": fingerprint(third), "sources": sources, "images": len(third)}}


def added(task: Task, third: pd.DataFrame, pixels: np.ndarray, folds: int, fold: int | None) -> Task:
    """Add the third class's part in one fold to what a run may learn from.

    Parameters
    ----------
    task : Task
    third : DataFrame
        From `drawn`.
    pixels : uint8 array, (images of the third class, image_size, image_size)
    folds, fold : int
        How many there are, and which one this is; None leaves no part out.

    Raises
    ------
    InputError
        If the class has too few patients for both parts.
    """
    third = third.assign(patient_id=same_pictures(third), label=THIRD, severity="")
    train, valid = parts(third["patient_id"], folds, fold, task.seed)
    rows, first = np.concatenate([train, valid]), len(task.cohort)
    return task._replace(
        cohort=pd.concat([task.cohort, third.iloc[rows]], ignore_index=True),
        pixels=np.concatenate([task.pixels, pixels[rows]]),
        train=np.concatenate([task.train, first + np.arange(len(train))]),
        valid=np.concatenate([task.valid, first + np.arange(len(train), len(rows))]),
    )


def parts(patients: pd.Series, folds: int, fold: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that one fold trains and validates with; a fold's share of patients is in neither.

    So each fold learns from as large a part of the third class as of the others: of five folds four fifths,
    of which a tenth validates. Without a fold nobody is left out.
    """
    order = np.random.default_rng(seed).permutation(np.unique(patients.to_numpy(str)))
    if len(order) < 2 * folds:
        raise InputError(
            f"{folds} folds need {2 * folds} patients of the third class; there are {len(order)}"
        )
    place = pd.Index(order).get_indexer(patients.to_numpy(str))
    here, tenth = place % folds != fold, place // folds % 10 == 0
    return np.flatnonzero(here & ~tenth), np.flatnonzero(here & tenth)
