"""Who trains, who decides when to stop, and who is tested: a patient is always on one side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.files import InputError


class Split(NamedTuple):
    """Who trains, who decides when to stop, and who is tested: positions of rows, sorted int arrays."""

    repeat: int
    fold: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def splits(cohort: pd.DataFrame, repeats: int, folds: int, seed: int = 0) -> list[Split]:
    """Split a cohort for repeated cross-validation, keeping a patient on one side.

    Folds are stratified by label and severity; severity levels with fewer patients than folds are joined. A
    tenth of the training part, drawn the same way, becomes the validation part. The order of the rows does
    not matter.

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
        If a label has too few patients to be on every side.
    """
    if folds < 2 or repeats < 1:
        raise InputError(f"{repeats} repeats of {folds} folds: at least 1 repeat and 2 folds are needed")
    order = np.argsort(cohort["image_id"].to_numpy(str), kind="stable")
    table = cohort.iloc[order].reset_index(drop=True)
    result = []
    for repeat in range(repeats):
        for fold, (rest, test) in enumerate(_grouped_folds(table, folds, seed + repeat)):
            part = table.iloc[rest].reset_index(drop=True)
            tenths = _grouped_folds(part, min(10, max(2, _fewest_patients(part))), seed + repeat)
            train, valid = min(tenths, key=lambda sides: abs(len(sides[1]) - len(part) / 10))
            sides = (rest[train], rest[valid], test)
            result.append(Split(repeat, fold, *(np.sort(order[side]) for side in sides)))
    return result


def _fewest_patients(table: pd.DataFrame) -> int:
    return int(table.groupby("label")["patient_id"].nunique().min())


def _strata(table: pd.DataFrame, folds: int) -> np.ndarray:
    """Return label and severity of each row; small levels of a label are joined to its smallest large one."""
    strata = table["label"] + " " + table["severity"]
    for label in table["label"].unique():
        patients = (
            table[table["label"] == label].groupby(strata)["patient_id"].nunique().sort_values(kind="stable")
        )
        small = [level for level, count in patients.items() if count < folds]
        if small:
            joined = [*small, next((level for level in patients.index if level not in small), label)]
            strata = strata.where(~strata.isin(joined), joined[-1])
    return strata.to_numpy(str)


def _grouped_folds(table: pd.DataFrame, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if _fewest_patients(table) < folds:
        counts = table.groupby("label")["patient_id"].nunique()
        said = ", ".join(f"{count} with label {label}" for label, count in counts.items())
        raise InputError(f"{folds} folds need {folds} patients of each label; there are {said}")
    options = {"shuffle": True, "random_state": seed}
    strata = _strata(table, folds)
    if not table["patient_id"].duplicated().any():  # the same without groups, a hundred times as fast
        return list(StratifiedKFold(folds, **options).split(table, strata))
    return list(
        StratifiedGroupKFold(folds, **options).split(table, strata, table["patient_id"].to_numpy(str))
    )
