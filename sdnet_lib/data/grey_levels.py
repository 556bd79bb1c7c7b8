"""From stored numbers to grey levels between 0 and 1: one rule for every kind of file.

The range is found from the values that are there. Padding takes no part in it, and neither do a few extreme
pixels: a burnt-in marker of 65535 on a film of 12 bits would leave the film nearly black. Everything is done
some rows at a time, so that a picture needs little more memory than its numbers and its grey levels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, Pillow's weights for red, green and blue
DEPTHS = (8, 10, 12, 14, 16)  # bits of usual detectors, found inside files that store more
FEW = 1.0  # per cent at either end that may be extreme
LEAST_INNER = 0.1  # of the pixels that must be neither the darkest nor the brightest to say what is extreme
SAMPLE = 1_000_000  # pixels that are enough to know a percentile
ROWS = 64  # at a time


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Return the darkest and the brightest value of a film, without what is extreme.

    At most `FEW` per cent of the pixels at either end are extreme, besides any number that have the darkest
    or the brightest value of all (padding that nobody declared), and only those that lie further from the
    others than these spread. So an ordinary film has its minimum and maximum.

    Parameters
    ----------
    values : array
        Finite numbers of any shape, without padding; at least one.

    Returns
    -------
    low, high : float
    """
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE)]
    inner = sample[(sample > flat.min()) & (sample < flat.max())]
    low, high = np.percentile(inner if inner.size >= LEAST_INNER * sample.size else sample, [FEW, 100 - FEW])
    spread = high - low
    if spread == 0:  # a mask, or a film that is nearly all padding: there is no telling what is extreme
        return float(flat.min()), float(flat.max())
    lowest = flat.min(where=flat >= low - spread, initial=flat.max())
    return float(lowest), float(flat.max(where=flat <= high + spread, initial=flat.min()))


def unit(values: np.ndarray) -> np.ndarray:
    """Return numbers of a picture file as grey levels.

    - bool, and integers of 8 bits: 0 to 1, or divided by 255.
    - other integers: divided by the range of the smallest usual detector depth (8, 10, 12, 14 or 16 bits)
      that holds the brightest pixel, because many 16-bit files hold 8 or 12 bits; beyond, by that pixel.
    - floats, and integers with negative values: as they are if all lie in [0, 1], else the darkest pixel to 0
      and the brightest to 1.

    Parameters
    ----------
    values : array, (height, width) or (height, width, colours)
        Finite.

    Returns
    -------
    float32 array of that shape, in [0, 1]
    """
    return scaled(values, *ends(values))


def ends(values: np.ndarray) -> tuple[float, float]:
    """Return which numbers of a picture file are black and white; see `unit`."""
    if values.dtype.kind == "b" or values.dtype == np.uint8:
        return 0, 1 if values.dtype.kind == "b" else 255
    low, high = bounds(values)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return 0, 1
    if values.dtype.kind == "f" or low < 0:
        return low, high
    return 0, next((2**bits - 1 for bits in DEPTHS if high < 2**bits), high)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as float32 with `low` at 0 and `high` at 1, clipped beyond; zeros if they are equal."""

    def grey_level(numbers: np.ndarray) -> np.ndarray:
        return np.clip((numbers.astype(float) - low) / ((high - low) or 1), 0, 1)

    if values.dtype == np.uint8:  # each of the few numbers is computed once
        levels = grey_level(np.arange(256)).astype(np.float32)
        return by_rows(values, lambda rows: levels[rows])
    return by_rows(values, grey_level)


def grey(colours: np.ndarray) -> np.ndarray:
    """Return colours (height, width, 3) as the eye weighs them, (height, width); float32 stays float32."""
    return by_rows(colours, lambda rows: rows @ GREY)


def by_rows(values: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return what a function makes of some rows after others, as one float32 array."""
    first = change(values[:ROWS])
    whole = np.empty((len(values), *first.shape[1:]), np.float32)
    whole[:ROWS] = first
    for top in range(ROWS, len(values), ROWS):
        whole[top : top + ROWS] = change(values[top : top + ROWS])
    return whole
