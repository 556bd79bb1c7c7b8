"""Probabilities at every threshold: ROC and precision-recall curves and their areas, with intervals.

The functions take *image tables*: one row per image, with its probability averaged over repetitions, made by
`per_image`. Areas are scikit-learn's; only the bootstrap has its own, which takes all samples at once.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from sdnet_lib.evaluation.bootstrap import DRAWS, interval
from sdnet_lib.evaluation.learned import only_learned
from sdnet_lib.evaluation.metrics import RUN, called
from sdnet_lib.files import InputError

FACTS = ["patient_id", "label", "severity"]
AREAS = ("auc", "average_precision")


def per_image(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Average the runs that tested an image and have learned.

    Returns
    -------
    dict of str to DataFrame
        An image table for each approach that has such a run: ``image_id, patient_id, label, severity,
        prob_P`` (mean over the runs), ``called_P`` (fraction of the runs that predict P) and ``tests`` (their
        number), by image_id.

    Raises
    ------
    InputError
        If an image has two patients, labels or severities.
    """
    predictions = only_learned(predictions)
    facts = predictions[["image_id", *FACTS]].drop_duplicates()
    twice = facts["image_id"].duplicated()
    if twice.any():
        raise InputError(f"image {facts.loc[twice, 'image_id'].iloc[0]}: two patients, labels or severities")
    facts = facts.set_index("image_id")
    table = predictions[["approach", "image_id", "prob_P"]].assign(called_P=called(predictions) == "P")
    groups = table.groupby(["approach", "image_id"])
    means = groups.mean().assign(tests=groups.size())
    tables = {}
    for approach in predictions["approach"].unique():
        known = means.loc[approach]
        tables[approach] = facts.loc[known.index].join(known).reset_index()
    return tables


def _truth_and_score(images: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    truth = (images["label"] == "P").to_numpy()
    if truth.all() or not truth.any():
        raise InputError("a curve needs images of both classes")
    return truth, images["prob_P"].to_numpy(float)


def _cumulate(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count positives and negatives at or above each distinct score, from the highest down.

    Parameters
    ----------
    truth, score : arrays, (n,)
    weights : int array, (b, n)

    Returns
    -------
    int arrays, (b, distinct scores + 1)
        True and false positives; the first column, above all scores, is 0.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    sorted_weights, positive = weights[:, order], truth[order]
    return tuple(
        np.pad(np.cumsum(sorted_weights * members, axis=1)[:, ends], ((0, 0), (1, 0)))
        for members in (positive, ~positive)
    )


def _rates(true: np.ndarray, false: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true and false positive rates, NaN in samples without a class, and precision, 1 at the start."""
    with np.errstate(invalid="ignore"):
        tpr, fpr = true / true[:, -1:], false / false[:, -1:]
    called = true + false
    return tpr, fpr, np.where(called > 0, true / np.maximum(called, 1), 1.0)


def _areas(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve and the average precision, (b, 2)."""
    tpr, fpr, precision = _rates(true, false)
    roc = (np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1)
    return np.stack([roc, (np.diff(tpr, axis=1) * precision[:, 1:]).sum(axis=1)], axis=1)


def areas(images: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> dict[str, float]:
    """Return the area under the ROC curve and the average precision, with 95 % intervals.

    Returns
    -------
    dict
        ``auc, auc_low, auc_high, average_precision, average_precision_low, average_precision_high``.

    Raises
    ------
    InputError
        If a class is missing.
    """
    truth, score = _truth_and_score(images)
    values = roc_auc_score(truth, score), average_precision_score(truth, score)
    bounds = interval(
        images["patient_id"], lambda weights: _areas(*_cumulate(truth, score, weights)), draws, seed
    )
    found = {}
    for name, value, low, high in zip(AREAS, values, *bounds, strict=True):
        found |= {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
    return found


def area_under_roc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return scikit-learn's area under the ROC curve; NaN where a class is missing.

    The area of a run is a simple fraction, because there are few pairs. Its last bits, which are noise of the
    sum, are rounded away: they would decide how a value such as 0.2725 is printed with three decimals.
    """
    return round(roc_auc_score(truth, score), 12) if len(np.unique(truth)) == 2 else np.nan


def areas_of_runs(predictions: pd.DataFrame) -> pd.Series:
    """Return the area under the ROC curve of each run that has learned; NaN where a class is missing."""
    runs = only_learned(predictions).groupby(list(RUN), sort=False)
    areas = {name: area_under_roc(run["label"] == "P", run["prob_P"]) for name, run in runs}
    return pd.Series(areas.values(), pd.MultiIndex.from_tuples(areas, names=RUN), float, "auc")


def roc(images: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Return the ROC curve, from (0, 0) to (1, 1), with a 95 % band of the sensitivity at each point.

    Returns
    -------
    DataFrame
        ``false_positive_rate, sensitivity, low, high``.
    """
    truth, score = _truth_and_score(images)
    tpr, fpr, _ = _rates(*_cumulate(truth, score, np.ones((1, len(truth)), int)))

    def at_points(weights: np.ndarray) -> np.ndarray:
        sampled_tpr, sampled_fpr, _ = _rates(*_cumulate(truth, score, weights))
        # Where a sample's curve rises straight up np.interp gives the top of the step.
        return np.stack([np.interp(fpr[0], x, y) for x, y in zip(sampled_fpr, sampled_tpr, strict=True)])

    low, high = interval(images["patient_id"], at_points, draws, seed)
    columns = {"false_positive_rate": fpr[0], "sensitivity": tpr[0], "low": low, "high": high}
    return pd.DataFrame(columns)


def precision_recall(images: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Return the precision where each recall is first reached, with a 95 % band.

    Between two recalls the curve is a step, not a line, which would promise too much.

    Returns
    -------
    DataFrame
        ``recall`` (rising, up to 1), ``precision, low, high``.
    """
    truth, score = _truth_and_score(images)
    tpr, _, precision = _rates(*_cumulate(truth, score, np.ones((1, len(truth)), int)))
    recall, first = np.unique(tpr[0, 1:], return_index=True)
    recall, first = recall[recall > 0], first[recall > 0] + 1

    def at_points(weights: np.ndarray) -> np.ndarray:
        sampled_tpr, _, sampled = _rates(*_cumulate(truth, score, weights))
        # A sample without positives has no recall; its place would be past the end.
        places = [np.minimum(np.searchsorted(row, recall), len(row) - 1) for row in sampled_tpr]
        reached = np.take_along_axis(sampled, np.stack(places), axis=1)
        return np.where(np.isnan(sampled_tpr[:, -1:]), np.nan, reached)

    low, high = interval(images["patient_id"], at_points, draws, seed)
    return pd.DataFrame({"recall": recall, "precision": precision[0, first], "low": low, "high": high})
