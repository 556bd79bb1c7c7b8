"""Is one approach better than another? Tests and intervals that know the runs are not independent.

The 25 runs share their training images, so a plain t-test over them finds differences that are not there.
Nadeau and Bengio ("Inference for the generalization error", Machine Learning 52, 2003) add to 1/n the ratio
of test to training images; Bouckaert and Frank ("Evaluating the replicability of significance tests for
comparing learning algorithms", PAKDD 2004) use it with repeated k-fold cross-validation, where that ratio is
1 / (k - 1) and the degrees of freedom are one less than the runs.

Here a tenth of the training part decides when to stop. It counts as training: the ratio stands for what two
runs have in common, and what is trained, stopped and kept is decided by both parts together. Who counts only
the images that move weights divides by 0.9, for which `validation_effect` says how much wider all intervals
become.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from sdnet_lib.evaluation.learned import only_learned
from sdnet_lib.evaluation.metrics import RUN, per_run
from sdnet_lib.files import InputError

LEVEL = 0.95
VALIDATION = 0.1  # of the training part; see `data.splits`
TEST = ("mean", "low", "high", "t", "df", "p")  # what `corrected_t_test` returns


def standard_error(values: np.ndarray, folds: int) -> float:
    """Return the corrected standard error of a mean over the runs of a (repeated) cross-validation.

    Parameters
    ----------
    values : array, (runs,)
    folds : int
        Of one repetition, at least 2. Its term 1 / (k - 1) is what more repetitions cannot remove.

    Raises
    ------
    InputError
        With fewer than two runs or folds, which say nothing about the error.
    """
    if len(values) < 2 or folds < 2:
        raise InputError(f"{len(values)} runs of {folds} folds: a test needs at least two of both")
    return float(np.sqrt((1 / len(values) + 1 / (folds - 1)) * np.var(values, ddof=1)))


def validation_effect(runs: int, folds: int, validation: float = VALIDATION) -> float:
    """Return by which factor intervals grow if the validation part is not counted as training.

    Parameters
    ----------
    runs, folds : int
    validation : float
        Its fraction of the training part.
    """
    counted, not_counted = (1 / runs + 1 / ((folds - 1) * part) for part in (1, 1 - validation))
    return float(np.sqrt(not_counted / counted))


def corrected_t_test(values: np.ndarray, folds: int) -> dict[str, float]:
    """Test whether the mean of paired differences is 0, and give its 95 % interval.

    Parameters
    ----------
    values : array, (runs,)
        Differences, one per run; for an interval alone, the measure itself.
    folds : int
        Of one repetition.

    Returns
    -------
    dict
        ``mean, low, high, t, df, p`` (two-sided). If all differences are the same, p is 0, or 1 if they are
        0.
    """
    from scipy.special import stdtr, stdtrit

    values = np.asarray(values, float)
    mean, error, df = float(values.mean()), standard_error(values, folds), len(values) - 1
    reach = float(stdtrit(df, (1 + LEVEL) / 2)) * error
    t = mean / error if error else np.inf * np.sign(mean) if mean else 0.0
    p = 2 * float(stdtr(df, -abs(t)))
    return dict(zip(TEST, (mean, mean - reach, mean + reach, float(t), df, p), strict=True))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for testing several hypotheses (Holm 1979), in the order given.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none may fall below the one before it.
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def folds_of(predictions: pd.DataFrame) -> int:
    """Return how many folds a repetition has, counted from the numbers of the folds that were run.

    Of a study that did only the first folds this is too few, which makes its tests too strict, never too
    lenient.
    """
    return int(predictions["fold"].max()) + 1


def intervals(predictions: pd.DataFrame, measure: str = "accuracy", folds: int | None = None) -> pd.DataFrame:
    """Return each approach's mean over runs with its corrected 95 % interval.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table.
    measure : str
        One of `evaluation.metrics.METRICS`. Runs in which it is undefined, or that have not learned, are left
        out.
    folds : int, optional
        Of one repetition; from `folds_of` by default.

    Returns
    -------
    DataFrame
        ``mean, low, high`` by approach; NaN bounds where there are fewer than two runs. An interval may reach
        beyond [0, 1], where a t distribution is a poor picture of a fraction.
    """
    folds, rows = folds or folds_of(predictions), {}
    runs = per_run(only_learned(predictions))[measure]
    for approach in predictions["approach"].unique():
        known = runs[runs.index.get_level_values("approach") == approach].dropna().to_numpy()
        if len(known) < 2 or folds < 2:
            rows[approach] = {"mean": known.mean() if len(known) else np.nan, "low": np.nan, "high": np.nan}
        else:
            rows[approach] = corrected_t_test(known, folds)
    return pd.DataFrame.from_dict(rows, orient="index")[["mean", "low", "high"]].rename_axis("approach")


def pairwise(predictions: pd.DataFrame, measure: str = "accuracy", folds: int | None = None) -> pd.DataFrame:
    """Compare all pairs of approaches by the corrected resampled t-test, with Holm's correction.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table of two approaches or more. Each pair is compared on the runs that both have and in
        which both have learned, and in these it must have been tested on the same images.
    measure : str
        One of `evaluation.metrics.METRICS`.
    folds : int, optional
        Of one repetition; from `folds_of` by default.

    Returns
    -------
    DataFrame
        One row per pair: ``first, second, runs, mean`` (of first less second, over runs), ``low, high, t, df,
        p, p_holm``; NaN where a pair has fewer than two runs in common.

    Raises
    ------
    InputError
        If there is nothing to compare, two approaches were tested on different images in a run, a measure is
        undefined in a run, or a repetition has only one fold.
    """
    folds, predictions = folds or folds_of(predictions), only_learned(predictions)
    names = list(predictions["approach"].unique())
    if len(names) < 2:
        raise InputError("one approach alone, with runs that have learned, cannot be compared")
    images = predictions.groupby(list(RUN))["image_id"].agg(frozenset).unstack("approach")
    values = per_run(predictions)[measure].unstack("approach")
    rows = []
    for first, second in combinations(names, 2):
        tested = images[[first, second]].dropna()
        _check_paired(tested, measure, values.loc[tested.index, [first, second]])
        row = {"first": first, "second": second, "runs": len(tested)}
        if len(tested) > 1:
            row |= corrected_t_test((values[first] - values[second])[tested.index].to_numpy(), folds)
        rows.append(row)
    found = pd.DataFrame(rows, columns=["first", "second", "runs", *TEST])
    known = found["p"].notna()
    found.loc[known, "p_holm"] = holm(found.loc[known, "p"].to_numpy())
    return found


def _check_paired(tested: pd.DataFrame, measure: str, values: pd.DataFrame) -> None:
    """Refuse two approaches that in a run, a row here, differ in images or have no value of the measure."""
    first, second = tested
    different = tested[tested[first] != tested[second]]
    if len(different):
        (repeat, fold), (one, other) = different.index[0], different.iloc[0]
        raise InputError(
            f"{first} and {second} were not tested on the same images: see repeat {repeat}, fold {fold}, "
            f"image {min(one ^ other)}"
        )
    for approach in tested:
        undefined = values.index[values[approach].isna()]
        if len(undefined):
            repeat, fold = undefined[0]
            raise InputError(f"{measure} of {approach} is undefined in repeat {repeat}, fold {fold}")
