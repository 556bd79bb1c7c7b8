"""Impossible numbers in a table of results, found by arithmetic: no data are needed (models: Tables 4 to 8).

What is checked holds for means over runs too, because it is linear (accuracy), because a harmonic mean is
concave (F1, by Jensen's inequality), or because spreads obey the triangle inequality. Percentages throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import numpy as np
import pandas as pd

from sdnet_lib.evaluation.metrics import harmonic_mean

HALF = 0.005  # two decimals: a printed number stands for this much more or less
Finding = tuple[str, float, str]  # measure, expected (%), why
COLUMNS = ["approach", "measure", "printed", "expected", "why"]


def implied_precision(recall: float, other_recall: float, size: int, other_size: int) -> float:
    """Return the precision (%) of a class from its recall, the other's (%) and the sizes of both.

    Exact for one run; for means over runs about right, because a ratio of means is not the mean of ratios.
    """
    right, wrong = recall * size, (100 - other_recall) * other_size
    return 100 * right / (right + wrong) if right + wrong else float("nan")


def smallest_sd(mean: float, sizes: Sequence[int], runs: int) -> float:
    """Return the smallest standard deviation (%, ddof 1) that accuracies with this mean (%) can have.

    With few images in a run an accuracy takes few values. If a and b are the two possible values around the
    mean m, no value lies between them, so each has (x - a)(x - b) >= 0 and the variance is at least
    (m - a)(b - m).

    Parameters
    ----------
    mean : float
        As printed, hence known to 0.005.
    sizes : sequence of int
        The sizes that a run may have, such as 15 and 16 for a fifth of 79 images.
    runs : int
        How many runs were averaged.
    """
    values = np.unique(np.concatenate([100 * np.arange(size + 1) / size for size in sizes]))
    low, high = max(mean - HALF, 0), min(mean + HALF, 100)
    if ((values >= low) & (values <= high)).any():
        return 0.0
    a, b = values[values < low].max(), values[values > high].min()
    return float(np.sqrt(min((m - a) * (b - m) for m in (low, high)) * runs / (runs - 1)))


def f1_sd_at_least(recall: float, other: float, recall_sd: float, other_sd: float) -> float:
    """Return the least sd (%) of a class's F1 in classes of one size, to first order in the recalls (%).

    With recall t and q = 1 - other recall, F1 = 2t / (1 + t + q); its slopes in t and in the other recall
    have the same sign, so the two spreads cancel best when the recalls move against each other.
    """
    t, q = recall / 100, 1 - other / 100
    slope, other_slope = 2 * (1 + q) / (1 + t + q) ** 2, 2 * t / (1 + t + q) ** 2
    return abs(slope * recall_sd - other_slope * other_sd)


def audit(table: pd.DataFrame, negatives: int, positives: int) -> pd.DataFrame:
    """Find numbers in the layout of Tables 4, 5 and 7 that contradict each other.

    Parameters
    ----------
    table : DataFrame of str
        As from `evaluation.tables.printed`: in %, ``<measure>`` and ``<measure>_sd``, indexed by approach.
    negatives, positives : int
        The sizes of the classes that are said to have been tested.

    Returns
    -------
    DataFrame
        One row per finding: ``approach, measure, printed`` (text), ``expected`` (number, %) and ``why``. The
        printed number need not be the wrong one: it does not fit its neighbours.
    """
    rows = []
    for approach, text in table.drop(columns="model", errors="ignore").iterrows():
        row = {name: float(value) for name, value in text.items() if value}
        checks = [*_odd_digits(text)]
        for check in (_accuracy, _precisions, _f1s, _spreads):
            checks += check(row, negatives, positives)
        rows += [(approach, measure, text[measure], value, why) for measure, value, why in checks]
    return pd.DataFrame(rows, columns=COLUMNS)


def _odd_digits(text: pd.Series) -> Iterator[Finding]:
    for name, value in text.items():
        if value and -Decimal(value).as_tuple().exponent > 2:
            yield name, round(float(value), 2), "printed with more decimals than the rest"


def _accuracy(row: Mapping[str, float], negatives: int, positives: int) -> Iterator[Finding]:
    right = row["specificity"] * negatives + row["sensitivity"] * positives
    expected = right / (negatives + positives)
    if abs(expected - row["accuracy"]) > 2 * HALF + 1e-9:
        yield "accuracy", expected, f"mean of the recalls, weighted {negatives} : {positives}"


def _precisions(row: Mapping[str, float], negatives: int, positives: int) -> Iterator[Finding]:
    recalls = {"N": (row["specificity"], negatives), "P": (row["sensitivity"], positives)}
    for name, other in (("N", "P"), ("P", "N")):
        (recall, size), (other_recall, other_size) = recalls[name], recalls[other]
        expected = implied_precision(recall, other_recall, size, other_size)
        measure = f"precision_{name}"
        # For a single run rounding is all that may be between them; for means their own spread.
        allowed = row.get(f"{measure}_sd", 4 * HALF)
        if abs(expected - row[measure]) > allowed:
            yield measure, expected, f"from the recalls, in classes of {negatives} : {positives}"


def _f1s(row: Mapping[str, float], _negatives: int, _positives: int) -> Iterator[Finding]:
    for name, recall in (("N", "specificity"), ("P", "sensitivity")):
        measure, precision = f"f1_{name}", row[f"precision_{name}"]
        if measure not in row:
            continue
        expected = float(harmonic_mean(pd.Series([precision]), pd.Series([row[recall]]))[0])
        single = f"{measure}_sd" not in row
        if row[measure] > expected + 2 * HALF or (single and row[measure] < expected - 2 * HALF):
            yield measure, expected, "a mean F1 is at most the harmonic mean of mean precision and recall"


def _spreads(row: Mapping[str, float], negatives: int, positives: int) -> Iterator[Finding]:
    if "accuracy_sd" not in row or negatives != positives:
        return
    spreads = row["specificity_sd"], row["sensitivity_sd"]
    low, high = abs(spreads[0] - spreads[1]) / 2, sum(spreads) / 2  # triangle inequality, classes of one size
    if not low - 2 * HALF <= row["accuracy_sd"] <= high + 2 * HALF:
        least = row["accuracy_sd"] < low
        yield (
            "accuracy_sd",
            low if least else high,
            f"{'least' if least else 'most'} with recalls' sd {spreads}",
        )
    recalls = row["specificity"], row["sensitivity"]
    for name, step in (("N", 1), ("P", -1)):
        measure = f"f1_{name}_sd"
        least = f1_sd_at_least(*recalls[::step], *spreads[::step])
        # Half of it, because the bound is of first order only and spreads of 10 points are not small.
        if measure in row and row[measure] < least / 2:
            yield measure, least, "least with these recalls and their sd, to first order"
