"""How far readers agree: weighted kappa with its interval over patients."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from sdnet_lib.data import severity
from sdnet_lib.evaluation.bootstrap import interval

FEWEST = 10  # films that two readers must share for a kappa of their own


def kappa(one: np.ndarray, two: np.ndarray, grades: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Compute Cohen's kappa with quadratic weights (Cohen 1968).

    Parameters
    ----------
    one, two : int array, (n,)
        Grades, from 0, that two readers gave.
    grades : int
        How many grades there are.
    weights : array, (b, n), optional
        How often each film is in each of b samples; each once by default.

    Returns
    -------
    array, (b,)
        1 for full agreement, 0 for chance's; NaN where all grades of a sample are one.
    """
    weights = np.ones((1, len(one))) if weights is None else weights
    total = weights.sum(axis=1)
    first, second = (weights @ np.eye(grades)[given] / total[:, None] for given in (one, two))
    apart = (np.arange(grades)[:, None] - np.arange(grades)) ** 2
    seen = (weights * apart[one, two]).sum(axis=1) / total
    expected = np.einsum("bi,ij,bj->b", first, apart, second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - seen / expected, np.nan)


def agreement(readings: pd.DataFrame, patients: pd.Series, seed: int = 0) -> pd.DataFrame:
    """Compare every two readers on the films that both have read, on the levels of severity.

    Parameters
    ----------
    readings : DataFrame
        ``study_id, reader, score``; a reader's first reading of a film counts.
    patients : Series
        By ``study_id``: whose the film is.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        ``first, second`` (numbers of the readers in the order of their names, for names stay in the house),
        ``films, same_level, kappa, low, high``: quadratic weights on four levels, 95 % interval over
        patients. Pairs with fewer than `FEWEST` films in common are left out.
    """
    given = readings.dropna(subset=["score"]).drop_duplicates(["study_id", "reader"])
    levels = given.assign(level=given["score"].map(severity.severity).map(severity.LEVELS.index))
    table = levels.pivot(index="study_id", columns="reader", values="level")
    rows, grades = [], len(severity.LEVELS)
    for first, second in combinations(range(table.shape[1]), 2):
        both = table.iloc[:, [first, second]].dropna().astype(int)
        if len(both) < FEWEST:
            continue
        one, two = both.to_numpy().T
        owners = patients.loc[both.index]
        low, high = interval(owners, lambda w, one=one, two=two: kappa(one, two, grades, w), seed=seed)
        found = float(kappa(one, two, grades)[0])
        rows.append(
            (first + 1, second + 1, len(both), float((one == two).mean()), found, float(low), float(high))
        )
    return pd.DataFrame(rows, columns=["first", "second", "films", "same_level", "kappa", "low", "high"])
