"""What predictions are worth to whoever must decide: calibration, predictive values, net benefit.

The functions take image tables, see `evaluation.curves.per_image`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss

from sdnet_lib.evaluation.bootstrap import DRAWS, interval
from sdnet_lib.files import InputError

BINS = 10
PREVALENCES = (0.01, 0.05, 0.2, 0.5)


def brier_score(images: pd.DataFrame) -> float:
    """Return the mean squared difference between prob_P and the truth, 0 to 1; one half always has 0.25."""
    return float(brier_score_loss(images["label"] == "P", images["prob_P"]))


def _bins(images: pd.DataFrame, bins: int) -> np.ndarray:
    """Return the number of each image's bin; a probability of 1 belongs to the last."""
    return np.minimum((images["prob_P"].to_numpy(float) * bins).astype(int), bins - 1)


def reliability(images: pd.DataFrame, bins: int = BINS, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Compare what is predicted with what happens, in bins of prob_P of one width.

    Returns
    -------
    DataFrame
        One row per bin that is not empty: ``images, mean_prob, fraction_positive`` and its 95 % interval
        ``low, high`` (bootstrap over patients).
    """
    truth, place = (images["label"] == "P").to_numpy(int), _bins(images, bins)
    inside = (place[:, None] == np.unique(place)).astype(int)
    count = inside.sum(axis=0)

    def fraction(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return (weights * truth) @ inside / (weights @ inside)

    low, high = interval(images["patient_id"], fraction, draws, seed)
    columns = {
        "images": count,
        "mean_prob": images["prob_P"].to_numpy(float) @ inside / count,
        "fraction_positive": truth @ inside / count,
        "low": low,
        "high": high,
    }
    return pd.DataFrame(columns)


def calibration_error(images: pd.DataFrame, bins: int = BINS) -> float:
    """Return the expected calibration error of prob_P.

    That is the mean over images of the distance between mean probability and fraction of positives in
    their bin (Naeini, Cooper and Hauskrecht, AAAI 2015, here for two classes). It depends on the bins, and
    with few images it is above 0 even for a perfect model.
    """
    off = images["prob_P"] - (images["label"] == "P")
    return float(off.groupby(_bins(images, bins)).sum().abs().sum() / len(images))


def predictive_values(
    sensitivity: np.ndarray, specificity: np.ndarray, prevalence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often a positive and a negative result are right, by Bayes' rule (all fractions).

    NaN where there would be no such result.
    """
    true_P, false_P = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_N, false_N = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(true_P, true_P + false_P), np.divide(true_N, true_N + false_N)


def predictive_table(
    images: pd.DataFrame,
    prevalences: Sequence[float] = PREVALENCES,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the predictive values where the disease is as common as you say.

    A cohort of half positives flatters the positive predictive value. Sensitivity and specificity are means
    over the networks (``called_P``), not those of averaged probabilities. They depend on severity, hence
    carry over only to patients like these.

    Returns
    -------
    DataFrame
        One row per prevalence: ``prevalence, ppv, ppv_low, ppv_high, npv, npv_low, npv_high``; 95 % intervals
        by bootstrap over patients.

    Raises
    ------
    InputError
        If a prevalence is not between 0 and 1, exclusive.
    """
    for prevalence in prevalences:
        if not 0 < prevalence < 1:
            raise InputError(f"prevalence {prevalence}: not between 0 and 1")
    truth, called = (images["label"] == "P").to_numpy(), images["called_P"].to_numpy(float)
    among = np.asarray(prevalences, float)

    def values(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            sensitivity = weights @ (truth * called) / (weights @ truth)
            specificity = weights @ (~truth * (1 - called)) / (weights @ ~truth)
        return np.stack(predictive_values(sensitivity[:, None], specificity[:, None], among), axis=1)

    ppv, npv = values(np.ones((1, len(truth)), int))[0]
    low, high = interval(images["patient_id"], values, draws, seed)
    columns = {
        "prevalence": among,
        "ppv": ppv,
        "ppv_low": low[0],
        "ppv_high": high[0],
        "npv": npv,
        "npv_low": low[1],
        "npv_high": high[1],
    }
    return pd.DataFrame(columns)


def net_benefit(images: pd.DataFrame, prevalence: float | None = None, steps: int = 99) -> pd.DataFrame:
    """Return the decision curve (Vickers and Elkin, Medical Decision Making 26, 2006).

    Whoever acts from a probability t on holds one needless act to cost t / (1 - t) of a patient rightly
    treated. Net benefit counts the rightly treated less the needless acts at that price, for each patient.

    Parameters
    ----------
    images : DataFrame
        An image table with both classes.
    prevalence : float, optional
        How common the disease is where decisions are made; as in the table by default, which a cohort of
        half positives makes too common for most clinics.
    steps : int
        Thresholds, evenly between 0 and 1, both left out.

    Returns
    -------
    DataFrame
        ``threshold, model, treat_all, treat_none``.
    """
    truth = (images["label"] == "P").to_numpy()
    if truth.all() or not truth.any():
        raise InputError("net benefit needs images of both classes")
    prevalence = truth.mean() if prevalence is None else prevalence
    threshold = np.arange(1, steps + 1) / (steps + 1)
    acts = images["prob_P"].to_numpy(float)[:, None] >= threshold
    price = (1 - prevalence) * threshold / (1 - threshold)
    return pd.DataFrame(
        {
            "threshold": threshold,
            "model": prevalence * acts[truth].mean(axis=0) - price * acts[~truth].mean(axis=0),
            "treat_all": prevalence - price,
            "treat_none": 0.0,
        }
    )
