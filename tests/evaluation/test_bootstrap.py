import numpy as np
import pandas as pd

from sdnet_lib.evaluation import bootstrap


def weights(values: np.ndarray) -> np.ndarray:
    return values


def test_a_sample_repeats_patients_with_all_their_images():
    patients = pd.Series([f"p{number // 4}" for number in range(80)])
    drawn = bootstrap.samples(patients, weights, draws=300, seed=1)
    assert drawn.shape == (300, 80)
    assert (drawn.reshape(300, 20, 4) == drawn.reshape(300, 20, 4)[:, :, :1]).all()
    assert (drawn[:, ::4].sum(axis=1) == 20).all() and drawn.max() > 2


def test_blocks_do_not_show(monkeypatch):
    patients = pd.Series([f"p{number // 2}" for number in range(40)])
    at_once = bootstrap.samples(patients, weights, 50)
    monkeypatch.setattr(bootstrap, "BLOCK", 40 * 7)
    assert np.array_equal(bootstrap.samples(patients, weights, 50), at_once)


def test_the_seed_alone_decides():
    patients = pd.Series(list("aabbc"))
    once, again, other = (bootstrap.samples(patients, weights, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(once, again) and not np.array_equal(once, other)


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide():
    values = np.random.default_rng(0).normal(size=400)
    patients = pd.Series(np.arange(400))
    low, high = bootstrap.interval(patients, lambda times: times @ values / times.sum(axis=1))
    assert low < values.mean() < high
    assert abs((high - low) / (2 * 1.96 * values.std() / 20) - 1) < 0.1


def test_samples_without_a_value_are_left_out():
    table = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    low, high = bootstrap.interval(pd.Series([0]), lambda _: table, draws=1)
    assert np.allclose((low[0], high[0]), (1.05, 2.95)) and np.isnan([low[1], high[1]]).all()
