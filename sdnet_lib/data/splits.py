"""Which images train, validate and test; a patient is in one of the three parts only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.data.cohort import LABELS, SEVERITIES
from sdnet_lib.files import InputError


class Split(NamedTuple):
    """One fold of one repeat.

    Attributes
    ----------
    repeat, fold : int
        Counted from 0.
    train, valid, test : array of int
        Positions of rows, sorted: what a network learns from, what decides when it stops, what tests it.
    """

    repeat: int
    fold: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def splits(cohort: pd.DataFrame, repeats: int, folds: int, seed: int = 0) -> list[Split]:
    """Split a cohort for repeated cross-validation, keeping a patient in one part.

    Patients are drawn, not images, stratified by the label and severity of their worst image; severity levels
    with fewer patients than folds are joined. A tenth of the training part, drawn the same way, becomes the
    validation part. The order of the rows does not matter.

    Parameters
    ----------
    cohort : pandas.DataFrame
        A checked cohort.
    repeats, folds : int
        The paper takes 5 and 5 (Section 5). Repeat r is drawn with the seed `seed` + r.
    seed : int
        Same seed, same splits.

    Raises
    ------
    InputError
        If a label has too few patients to be in every part.
    """
    if folds < 2 or repeats < 1:
        raise InputError(f"{repeats} repeats of {folds} folds: at least 1 repeat and 2 folds are needed")
    _check_patients(_worst_images(cohort.reset_index(drop=True)), folds)
    order = np.argsort(cohort["image_id"].to_numpy(str), kind="stable")
    table = cohort.iloc[order].reset_index(drop=True)
    result = []
    for repeat in range(repeats):
        for fold, (rest, test) in enumerate(_patient_folds(table, folds, seed + repeat)):
            part = table.iloc[rest].reset_index(drop=True)
            fewest = _worst_images(part)["label"].value_counts().min()
            tenths = _patient_folds(part, min(10, max(2, fewest)), seed + repeat)
            train, valid = min(tenths, key=lambda fold: abs(len(fold[1]) - len(part) / 10))
            parts = (rest[train], rest[valid], test)
            result.append(Split(repeat, fold, *(np.sort(order[indices]) for indices in parts)))
    return result


def matched_splits(cohort: pd.DataFrame, repeats: int, folds: int, seed: int = 0) -> list[Split]:
    """Split as `splits` does, each repetition a cohort with as many negative as positive images.

    Negatives that are too many are drawn anew for each repetition and then are in no part: what is learned,
    what decides when to stop and what is tested are matched alike, as in the paper's Table 7. Parameters and
    errors are those of `splits`.
    """
    result = []
    for repeat in range(repeats):
        rows = matched_rows(cohort, seed + repeat)
        for one in splits(cohort.iloc[rows].reset_index(drop=True), 1, folds, seed + repeat):
            parts = (rows[part] for part in (one.train, one.valid, one.test))
            result.append(Split(repeat, one.fold, *parts))
    return result


def matched_rows(cohort: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the rows of a cohort, sorted, without the negatives that are more than the positives.

    Which are left out does not depend on the order of the rows.
    """
    order = np.argsort(cohort["image_id"].to_numpy(str), kind="stable")
    negative = order[(cohort["label"] == "N").to_numpy()[order]]
    surplus = max(0, 2 * len(negative) - len(cohort))
    out = np.random.default_rng(seed).choice(negative, surplus, replace=False)
    return np.setdiff1d(np.arange(len(cohort)), out)


def _check_patients(patients: pd.DataFrame, folds: int) -> None:
    """Refuse now, in the cohort's own counts, what cannot be split into training, validation and test."""
    counts = patients["label"].value_counts().reindex(LABELS, fill_value=0)
    needed = max(folds, 4 if folds == 2 else 3)  # two of each label must be left to learn and to validate
    if counts.min() < needed:
        found = ", ".join(f"{count} with label {label}" for label, count in counts.items())
        raise InputError(f"{folds} folds need {needed} patients of each label; there are {found}")


def _patient_folds(table: pd.DataFrame, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows outside and inside of each fold.

    scikit-learn's StratifiedGroupKFold would balance images too, but up to version 1.7, the last for
    Python 3.10, it does not stratify when it shuffles.
    """
    from sklearn.model_selection import StratifiedKFold

    patients = _worst_images(table)
    drawn = StratifiedKFold(folds, shuffle=True, random_state=seed).split(patients, _strata(patients, folds))
    number = pd.Index(patients["patient_id"]).get_indexer(table["patient_id"])
    tested = [np.isin(number, test) for _, test in drawn]
    return [(np.flatnonzero(~rows), np.flatnonzero(rows)) for rows in tested]


def _worst_images(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per patient, the image of the highest label and severity, in the order of the table."""
    rank = table["label"].map(LABELS.index) * 10 + table["severity"].map(("", *SEVERITIES).index)
    worst = rank.sort_values(ascending=False, kind="stable").index
    return table.loc[worst].drop_duplicates("patient_id").sort_index().reset_index(drop=True)


def _strata(patients: pd.DataFrame, folds: int) -> np.ndarray:
    """Return label and severity of each patient; small levels of a label join its smallest large one."""
    strata = patients["label"] + " " + patients["severity"]
    for label in patients["label"].unique():
        counts = strata[patients["label"] == label].value_counts().sort_index().sort_values(kind="stable")
        small = [level for level, count in counts.items() if count < folds]
        if small:
            joined = [*small, next((level for level in counts.index if level not in small), label)]
            strata = strata.where(~strata.isin(joined), joined[-1])
    return strata.to_numpy(str)
