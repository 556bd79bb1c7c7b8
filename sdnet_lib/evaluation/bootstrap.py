"""The bootstrap over patients: the one definition of an interval that does not come from a t distribution.

It draws patients, not images, since two images of a patient are not two independent observations. An interval
covers the choice of patients, not the training of the networks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

DRAWS = 1000
BLOCK = 2_000_000  # numbers of a bootstrap that are held at a time

# Takes integer weights (b, n), how often each image is in each of b samples, and returns (b, ...).
Statistic = Callable[[np.ndarray], np.ndarray]


def samples(patients: pd.Series, statistic: Statistic, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Compute a statistic of many samples of patients, drawn with replacement.

    Parameters
    ----------
    patients : Series, (n,)
        Whose each image is.
    statistic : callable
        From the weights of images to one value, or one array, a sample; see `Statistic`.
    draws, seed : int
        Number of samples, and where the random numbers start.

    Returns
    -------
    array, (draws, ...)
    """
    code, names = pd.factorize(patients)
    number, rng, parts = len(names), np.random.default_rng(seed), []
    block = max(1, BLOCK // len(code))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = rng.integers(number, size=(size, number)) + number * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * number).reshape(size, number)
        parts.append(statistic(times[:, code]))
    return np.concatenate(parts)


def interval(
    patients: pd.Series, statistic: Statistic, draws: int = DRAWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a statistic: percentiles over samples of patients; see `samples`.

    Returns
    -------
    pair of arrays, (...)
        Lower and upper bounds. Samples without a value, such as those that lack a class, are left out; NaN
        where no sample has one.
    """
    values = samples(patients, statistic, draws, seed)
    undefined = np.isnan(values).all(axis=0)
    low, high = np.nanpercentile(np.where(undefined, 0, values), [2.5, 97.5], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
