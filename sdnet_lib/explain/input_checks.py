"""Is an image like those that a model was trained on? A few statistics of images, and their usual ranges.

They catch an inverted film, a photograph or a side view. They do not catch an unfamiliar disease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

MARGIN = 0.1  # of the range of the training images, at each end
QUANTILES = {"dark grey levels": 0.05, "middle grey levels": 0.5, "bright grey levels": 0.95}
NAMES = (*QUANTILES, "contrast", "detail")  # of all statistics
SIDE_BY_SIDE = 0.5  # of a lung's width: two lungs seen from the front are at least this far apart


def statistics(pixels: np.ndarray) -> pd.DataFrame:
    """Return quantiles, contrast and detail of images, one row per image.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
    """
    scaled = pixels.astype(np.float32) / 255
    found = {name: np.quantile(scaled, quantile, (1, 2)) for name, quantile in QUANTILES.items()}
    found["contrast"] = scaled.std((1, 2))
    found["detail"] = np.abs(np.diff(scaled, axis=2)).mean((1, 2))
    return pd.DataFrame(found)


def ranges(pixels: np.ndarray) -> dict[str, list[float]]:
    """Return the lowest and highest value of each of `statistics` over training images, plus a margin."""
    found = statistics(pixels)
    low, high = found.min(), found.max()
    margin = MARGIN * (high - low)
    low, high = low - margin, high + margin
    return {name: [round(float(low[name]), 4), round(float(high[name]), 4)] for name in found}


def unlike(pixels: np.ndarray, usual: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Say for each image which statistics are outside the ranges of the training images.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
    usual : mapping
        From `ranges`.

    Returns
    -------
    list of list of str
        Empty for an image with nothing unusual.
    """
    found = statistics(pixels)
    warnings = [[] for _ in pixels]
    for name, (low, high) in usual.items():
        for row, value in enumerate(found[name]):
            if not low <= value <= high:
                warnings[row].append(f"unusual {name} ({value:.2f}, in training {low:.2f} to {high:.2f})")
    return warnings


def looks_frontal(mask: np.ndarray) -> bool:
    """Say whether a lung mask, bool (height, width), shows two lungs side by side, as from front or back.

    From the side both lungs lie over each other and make one region. A lung that is white all over leaves one
    region as well, so the answer is only a reason to look.
    """
    parts, count = ndimage.label(mask)
    if count != 2:
        return False
    spans = [where[1] for where in ndimage.find_objects(parts)]
    left, right = sorted((span.start + span.stop) / 2 for span in spans)
    return right - left > SIDE_BY_SIDE * max(span.stop - span.start for span in spans)
