"""From a probability to a decision: thresholds that keep a specificity, and whom a test finds from each on.

One half is no threshold: what a decision costs on either side says where to cut. The functions take image
tables, see `evaluation.curves.per_image`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sdnet_lib.data.cohort import SEVERITIES
from sdnet_lib.evaluation.bootstrap import interval

SPECIFICITIES = (0.9, 0.95, 0.99)


def keeping(images: pd.DataFrame, specificity: float) -> float | None:
    """Return the lowest threshold that at most 1 - `specificity` of the negatives reach.

    It lies half way between two negatives, or where nothing is above just over the highest.

    Returns
    -------
    float or None
        An image is called P if its prob_P is at least this. None where the negatives are too few to say: not
        one of them may be called P.
    """
    scores = np.sort(images.loc[images["label"] == "N", "prob_P"].to_numpy(float))
    allowed = math.floor((1 - specificity) * len(scores) + 1e-9)
    if not allowed:
        return None
    below, above = scores[-allowed - 1], scores[-allowed]
    return float((below + above) / 2) if below < above else float(np.nextafter(below, np.inf))


def found(images: pd.DataFrame, threshold: float) -> dict[str, dict]:
    """Say how many are called P from a threshold on: of N, of P, and of each severity that there is.

    Returns
    -------
    dict of str to dict
        By group: `images`, `called` (their number that is called P), and `percent` of the group with the 95 %
        interval from samples of patients (`bootstrap`), which is a point where all or none are called.
    """
    groups = {label: images["label"] == label for label in ("N", "P")}
    groups |= {level: images["severity"] == level for level in SEVERITIES}
    called = (images["prob_P"] >= threshold).to_numpy(float)
    return {name: _counted(images, called, rows.to_numpy()) for name, rows in groups.items() if rows.any()}


def _counted(images: pd.DataFrame, called: np.ndarray, rows: np.ndarray) -> dict:
    own = called[rows]
    low, high = interval(images["patient_id"][rows], lambda weights: weights @ own / weights.sum(1))
    bounds = (float(own.mean()), float(low), float(high))
    percent = [round(100 * value, 1) for value in bounds]
    return {"images": int(rows.sum()), "called": int(own.sum()), "percent": percent}


def table(
    chosen_on: pd.DataFrame, tested_on: pd.DataFrame, specificities: Sequence[float] = SPECIFICITIES
) -> list[dict]:
    """Choose a threshold for each specificity on some images, and say whom it finds among others.

    Returns
    -------
    list of dict
        `specificity`, `threshold` and `found`, see `found`; a specificity that cannot be had is left out.
    """
    chosen = {wanted: keeping(chosen_on, wanted) for wanted in specificities}
    return [
        {"specificity": wanted, "threshold": cut, "found": found(tested_on, cut)}
        for wanted, cut in chosen.items()
        if cut is not None
    ]
