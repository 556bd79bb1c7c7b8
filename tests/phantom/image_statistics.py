"""Numbers that a chest X-ray can be compared by, and their ranges over the real sets.

``python -m tests.phantom.image_statistics DIR`` measures every fourth image of the public sets below DIR (the
layout with ``lung_segmentation``, ``chestxray8_subset`` and ``cxr_collection``) and prints `REAL`.
"""

import json
import sys
from pathlib import Path

import numpy as np

from sdnet_lib.data.images import read_gray, resize

SIZE = 256
# 5th and 95th percentile over Shenzhen (142 images), Montgomery (35), ChestX-ray8 subset (250) and COVID-19
# Image Data Collection (139), each set with the same weight; the lung's part of the picture over Shenzhen
# and Montgomery, whose masks leave the heart out. Printed by the command above.
REAL = {
    "grey 5": (0.0, 0.342),
    "grey 25": (0.018, 0.584),
    "grey 50": (0.304, 0.749),
    "grey 75": (0.532, 0.867),
    "grey 95": (0.691, 0.98),
    "spectrum slope": (-3.664, -3.004),
    "lung area": (0.167, 0.355),
}


def statistics(image, lung=None):
    """Quantiles of the grey level, slope of the log power spectrum over log frequency, lung's area."""
    small = resize(image, (SIZE, SIZE))
    found = {f"grey {q}": float(np.quantile(small, q / 100)) for q in (5, 25, 50, 75, 95)}
    found["spectrum slope"] = spectrum_slope(small)
    if lung is not None:
        found["lung area"] = float(np.mean(lung))
    return found


def spectrum_slope(image):
    """Fit the radially averaged power between 4 and 0.4 x size cycles a picture."""
    size = len(image)
    window = np.hanning(size)
    power = np.abs(np.fft.fft2((image - image.mean()) * np.outer(window, window))) ** 2
    frequency = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(frequency[:, None], frequency).astype(int).ravel()
    mean = np.bincount(radius, power.ravel()) / np.bincount(radius)
    fitted = np.arange(4, int(0.4 * size) + 1)
    return float(np.polyfit(np.log(fitted), np.log(mean[fitted]), 1)[0])


def _weighted_range(sets):
    values = np.concatenate(sets)
    weights = np.concatenate([np.full(len(s), 1 / len(s)) for s in sets])
    order = np.argsort(values)
    rank = (np.cumsum(weights[order]) - weights[order] / 2) / len(sets)
    return [round(float(np.interp(q, rank, values[order])), 3) for q in (0.05, 0.95)]


def measure(data):
    """Return the ranges over the real sets below `data`."""
    lungs = data / "lung_segmentation"
    shenzhen, montgomery = (sorted(lungs.glob(f"images/{name}_*.jpg"))[::4] for name in ("CHNCXR", "MCUCXR"))
    found = [
        [statistics(read_gray(f), read_gray(lungs / "masks" / f"{f.stem}.png") > 0.5) for f in files]
        for files in (shenzhen, montgomery)
    ]
    for folder in ("chestxray8_subset", "cxr_collection"):
        found.append([statistics(read_gray(f)) for f in sorted((data / folder / "images").iterdir())[::4]])
    return {
        name: _weighted_range([np.array([s[name] for s in group]) for group in found if name in group[0]])
        for name in found[0][0]
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1])), indent=4))
