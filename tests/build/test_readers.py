"""Weighted kappa against scikit-learn's, and its interval."""

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from sdnet_lib.build.readers import agreement, kappa


def test_kappa_is_scikit_learns_also_when_films_are_weighted():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 4, 60)
    two = np.clip(one + rng.integers(-1, 2, 60), 0, 3)
    times = rng.integers(0, 3, (5, 60))
    found = kappa(one, two, 4, times)
    for row, value in zip(times, found, strict=True):
        expected = cohen_kappa_score(one, two, weights="quadratic", sample_weight=row, labels=range(4))
        assert abs(value - expected) < 1e-12


def test_one_single_grade_has_no_kappa():
    assert np.isnan(kappa(np.zeros(5, int), np.zeros(5, int), 4))[0]


def given(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, n)
    rows = [(f"s{k}", "A", score) for k, score in enumerate(scores)]
    rows += [
        (f"s{k}", "B", np.clip(score + rng.integers(-noise, noise + 1), 0, 8))
        for k, score in enumerate(scores)
    ]
    table = pd.DataFrame(rows, columns=["study_id", "reader", "score"]).astype({"score": float})
    return table, pd.Series([f"p{k // 2}" for k in range(n)], [f"s{k}" for k in range(n)])


def test_readers_who_agree_more_have_a_higher_kappa_inside_its_interval():
    close, far = (agreement(*given(80, noise)).iloc[0] for noise in (1, 6))
    assert close["kappa"] > far["kappa"] and close["low"] < close["kappa"] < close["high"]
    assert close["films"] == 80 and far["high"] - far["low"] > close["high"] - close["low"]


def test_readers_without_common_films_are_not_compared():
    table, owners = given(9, 1)
    assert agreement(table, owners).empty
    assert agreement(table.iloc[:0], owners).empty
