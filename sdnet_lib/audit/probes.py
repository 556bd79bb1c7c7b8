"""How well features guess a label: cross-validated, patients kept together, beside what chance would reach.

One model for every question, so that answers can be compared: ridge regression on ranks. It has a closed form
that takes many labellings at once, so a permutation null costs little more than the answer itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sdnet_lib.data.splits import Split, splits
from sdnet_lib.evaluation.bootstrap import DRAWS, interval

FOLDS = 5
PERMUTATIONS = 200
FEW = 12  # different values: a column with no more is a set of names, not a measure
STRATA = 8  # in which one question is held fixed while another is asked
RARE = 3  # images: a name that fewer have is counted among the others


class Answer(NamedTuple):
    """What some features know of the label.

    Attributes
    ----------
    auc, low, high : float
        Area under the ROC curve and its 95 % interval, over patients.
    chance, spread : float
        Mean and standard deviation of the area when the labels of the patients are permuted.
    p : float
        Of an area as large under that normal distribution, one-sided; permutations alone would end at
        1 / `PERMUTATIONS`, too coarse for twenty questions.
    scores : array, (n,)
        How positive each image looks, by a model that has not seen its patient.
    """

    auc: float
    low: float
    high: float
    chance: float
    spread: float
    p: float
    scores: np.ndarray

    def numbers(self) -> dict[str, float]:
        """Return all but the scores."""
        return {name: float(value) for name, value in self._asdict().items() if name != "scores"}


class Trial(NamedTuple):
    """What all questions of an audit share.

    Attributes
    ----------
    patients : Series, (n,)
        Whose each image is.
    parts : list of Split
        One repeat of a cross-validation; the validation part is learned from too.
    labels : float array, (n, 1 + PERMUTATIONS)
        1 for P: the truth, then the permuted labels.
    seed, draws : int
        Of the bootstrap.
    """

    patients: pd.Series
    parts: list[Split]
    labels: np.ndarray
    seed: int
    draws: int


def trial(cohort: pd.DataFrame, seed: int = 0, draws: int = DRAWS) -> Trial:
    """Draw the folds of a cohort and deal its labels anew; raise `InputError` if it cannot be split."""
    label = (cohort["label"] == "P").to_numpy(float)
    anew = permuted_labels(label, cohort["patient_id"], PERMUTATIONS, seed)
    parts = splits(cohort, 1, FOLDS, seed)
    return Trial(cohort["patient_id"], parts, np.column_stack([label, anew]), seed, draws)


def encode(table: pd.DataFrame) -> np.ndarray:
    """Turn facts to numbers: names to columns of 0 and 1, measures to ranks and their squares.

    Ranks do not care for units and outliers, and the squares see what is far from the middle on either side.
    A missing measure takes the middle rank and is a name of its own.

    Returns
    -------
    float array, (n, features)
    """
    columns = [np.zeros(len(table))]
    for name in table:
        measured = pd.to_numeric(table[name], errors="coerce")
        values = table[name].fillna("").astype(str)
        if values.nunique() <= FEW or measured.isna().mean() > 0.5:
            common = values.map(values.value_counts()) >= RARE
            names = values.where(common, "(rare)")
            columns += [(names == one).to_numpy(float) for one in sorted(set(names))[1:]]
        else:
            rank = 2 * measured.rank(pct=True).fillna(0.5).to_numpy() - 1
            columns += [rank, rank**2, measured.isna().to_numpy(float)]
    return np.column_stack(columns)


def permuted_labels(label: np.ndarray, patients: pd.Series, times: int, seed: int) -> np.ndarray:
    """Deal labels to patients again and again; the images of a patient keep theirs together.

    Returns
    -------
    float array, (n, times), of 0 and 1
    """
    code = pd.factorize(patients)[0]
    order, rng = np.argsort(code, kind="stable"), np.random.default_rng(seed)
    drawn = np.empty((len(label), times))
    for number in range(times):
        keys = rng.random(code.max() + 1)[code]
        drawn[order, number] = label[np.argsort(keys, kind="stable")]
    return drawn


def probe(features: np.ndarray, trial: Trial) -> Answer:
    """Ask what features know of the label.

    Only images of one fold are compared with each other, for their scores come from one model. Pooled over
    folds, a feature of two values would rank its equals by whichever model happened to judge them.

    Parameters
    ----------
    features : float array, (n, k)
        Of `encode`, or grey levels.
    trial : Trial
    """
    scores = np.zeros(trial.labels.shape)
    for part in trial.parts:
        seen = np.concatenate([part.train, part.valid])
        scaler, model = StandardScaler(copy=False), Ridge(max(1, features.shape[1] / 4), copy_X=False)
        model.fit(scaler.fit_transform(features[seen]), trial.labels[seen])  # one copy, not three
        scores[part.test] = model.predict(scaler.transform(features[part.test])).round(9)
    folds = [part.test for part in trial.parts]
    by_chance = null_areas(trial.labels[:, 1:], scores[:, 1:], folds)
    chance, spread = float(by_chance.mean()), max(float(by_chance.std()), 1e-3)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return area(trial.labels[:, 0] > 0, scores[:, 0], folds, weights)

    auc = float(statistic(np.ones((1, len(scores))))[0])
    low, high = interval(trial.patients, statistic, trial.draws, trial.seed)
    p = float(norm.sf((auc - chance) / spread))
    return Answer(auc, float(low), float(high), chance, spread, p, scores[:, 0])


def area(
    positive: np.ndarray, score: np.ndarray, folds: Sequence[np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """Return the fraction of pairs of one fold, a positive and a negative, that are in the right order.

    Parameters
    ----------
    positive : bool array, (n,)
    score : float array, (n,)
    folds : sequence of int array
        The rows of each fold.
    weights : array, (b, n)
        How often each image counts, in each of b samples.

    Returns
    -------
    float array, (b,)
        Pairs with equal scores count half; NaN for a sample without pairs.
    """
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for rows in folds:
        rows = rows[np.argsort(score[rows], kind="stable")]
        starts = np.flatnonzero(np.append(True, np.diff(score[rows]) != 0))
        above = np.add.reduceat(weights[:, rows] * positive[rows], starts, axis=1)
        other = np.add.reduceat(weights[:, rows] * ~positive[rows], starts, axis=1)
        below = np.cumsum(other, axis=1) - other
        right += (above * (below + other / 2)).sum(axis=1)
        pairs += above.sum(axis=1) * other.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return right / pairs


def null_areas(labels: np.ndarray, scores: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Return `area` of many labellings at once, each with scores of its own, all images counted once.

    Parameters
    ----------
    labels, scores : float arrays, (n, k)
    folds : sequence of int array
    """
    right, pairs = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    for rows in folds:
        count = labels[rows].sum(axis=0)
        ranks = rankdata(scores[rows], axis=0)  # equal scores share their mean rank, as pairs they count half
        right += (ranks * labels[rows]).sum(axis=0) - count * (count + 1) / 2
        pairs += count * (len(rows) - count)
    return right / np.maximum(pairs, 1)


def within(scores: np.ndarray, by: np.ndarray, trial: Trial) -> tuple[float, float]:
    """Ask what scores know where other scores are the same: a Mann-Whitney test in strata (van Elteren).

    Parameters
    ----------
    scores, by : float arrays, (n,)
        Of two questions. Images of one fold and of one eighth of `by` are a stratum; where many have the
        same value of `by`, they are one of their own.
    trial : Trial

    Returns
    -------
    area : float
        Fraction of a stratum's pairs that are in the right order; one half if no stratum has both labels.
    p : float
        One-sided, images taken as independent; 1 if no stratum has both labels.
    """
    positive = trial.labels[:, 0] > 0
    right = pairs = variance = 0.0
    for part in trial.parts:
        edges = np.unique(np.quantile(by[part.test], np.arange(1, STRATA) / STRATA))
        stratum = sum(np.searchsorted(edges, by[part.test], side) for side in ("left", "right"))
        for number in np.unique(stratum):
            rows = part.test[stratum == number]
            up, down = int(positive[rows].sum()), int((~positive[rows]).sum())
            ranks = rankdata(scores[rows])
            right += ranks[positive[rows]].sum() - up * (up + 1) / 2
            pairs += up * down
            variance += up * down * (up + down + 1) / 12
    if not pairs:
        return 0.5, 1.0
    return float(right / pairs), float(norm.sf((right - pairs / 2) / np.sqrt(variance)))
