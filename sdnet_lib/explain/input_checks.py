"""Is an image like those that a model was trained on? A few plain facts of images, and their usual ranges.

These catch an inverted film, a photograph or a side view. They do not catch an unfamiliar disease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

WIDER = 0.1  # of the range of the training images, on each side
LEVELS = {"dark grey levels": 0.05, "middle grey levels": 0.5, "bright grey levels": 0.95}
SIDE_BY_SIDE = 0.5  # of a lung's width: centres nearer to each other are not two lungs from the front


def facts(pixels: np.ndarray) -> pd.DataFrame:
    """Return what is looked at, a row an image of uint8 (n, image_size, image_size): quantiles, contrast and detail."""
    scaled = pixels.astype(np.float32) / 255
    found = {name: np.quantile(scaled, share, (1, 2)) for name, share in LEVELS.items()}
    found["contrast"] = scaled.std((1, 2))
    found["detail"] = np.abs(np.diff(scaled, axis=2)).mean((1, 2))
    return pd.DataFrame(found)


def ranges(pixels: np.ndarray) -> dict[str, list[float]]:
    """Return the lowest and highest value of each of `facts` over training images, somewhat widened."""
    low, high = facts(pixels).agg(["min", "max"]).to_numpy()
    room = WIDER * (high - low)
    columns = zip(facts(pixels[:1]).columns, low - room, high + room, strict=True)
    return {name: [round(float(least), 4), round(float(most), 4)] for name, least, most in columns}


def unlike(pixels: np.ndarray, usual: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Say for each image which facts are outside the ranges of the training images.

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
    found = facts(pixels)
    said = [[] for _ in pixels]
    for name, (low, high) in usual.items():
        for row, value in enumerate(found[name]):
            if not low <= value <= high:
                said[row].append(f"unusual {name} ({value:.2f}, in training {low:.2f} to {high:.2f})")
    return said


def looks_frontal(mask: np.ndarray) -> bool:
    """Say whether a lung mask, bool (height, width), shows two lungs side by side, as from front or back.

    From the side both lungs lie over each other and make one patch. One lung that is white all over makes one
    patch as well, so the answer is a reason to look, no more.
    """
    parts, count = ndimage.label(mask)
    if count != 2:
        return False
    spans = [where[1] for where in ndimage.find_objects(parts)]
    left, right = sorted((span.start + span.stop) / 2 for span in spans)
    return right - left > SIDE_BY_SIDE * max(span.stop - span.start for span in spans)
