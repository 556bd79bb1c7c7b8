"""Quanta: as many as Poisson says, and the same on every processor."""

import numpy as np
import pytest
from scipy import stats

from sdnet_lib.phantom.acquisition import count_quanta

SHAPE = (128, 128)


@pytest.mark.parametrize("expected", [5, 30, 1_000, 200_000])
def test_quanta_are_poisson_s_to_a_quantum(expected):
    drawn = count_quanta(np.full(SHAPE, expected, np.float32), np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(expected, rel=0.01)
    assert drawn.var() == pytest.approx(expected, rel=0.05)
    # by rank, for the draws themselves have an error
    chances = stats.norm.cdf(np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32))
    inner = (chances > 1e-3) & (chances < 1 - 1e-3)
    assert np.abs(drawn - stats.poisson.ppf(chances, expected))[inner].max() <= 1 + 5e-6 * expected


def moved(draw, seed):
    """Draw twice, once with other last digits of what is expected; return how far each number moved."""
    rng = np.random.default_rng(seed)
    expected = np.exp(rng.uniform(3, 12, SHAPE)).astype(np.float32)
    other = np.nextafter(expected, expected * rng.choice([0, 2], SHAPE).astype(np.float32))
    before, after = (draw(each, np.random.default_rng(seed)) for each in (expected, other))
    return np.abs(before - after)


def test_a_last_digit_does_not_change_the_noise():
    for seed in range(30):
        assert moved(count_quanta, seed).max() <= 1
    assert max(moved(lambda expected, rng: rng.poisson(expected), seed).max() for seed in range(30)) > 100
