"""The same picture twice: byte for byte, or after a re-export, when miniatures are compared instead."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components

from sdnet_lib.data.images import resize
from sdnet_lib.files import content_hash

MINIATURE = 32  # pixels of its side; details finer than an eleventh of it tell patients apart
BLUR = 2.0


def signature(image: np.ndarray) -> np.ndarray:
    """Describe a picture by the details of its miniature, whatever its size, brightness and contrast.

    Chest radiographs look alike from afar, so what a blur leaves over is taken away; the rest has length 1.

    Parameters
    ----------
    image : array, (H, W)

    Returns
    -------
    array of float, (1024,)
    """
    small = resize(image, (MINIATURE, MINIATURE)).astype(float)
    details = small - gaussian_filter(small, BLUR)
    details -= details.mean()
    return (details / max(np.linalg.norm(details), 1e-12)).ravel()


def likeness(images: Sequence[np.ndarray]) -> np.ndarray:
    """Correlate every picture with every other; 1 is the same picture.

    Parameters
    ----------
    images : sequence of n arrays, (H, W) of any sizes

    Returns
    -------
    array of float, (n, n)
    """
    signatures = np.array([signature(image) for image in images])
    return signatures @ signatures.T


def groups(alike: np.ndarray, threshold: float = 0.98) -> np.ndarray:
    """Give one number to pictures whose likeness reaches `threshold`, chains included.

    Parameters
    ----------
    alike : array of float, (n, n)
        From `likeness`.
    threshold : float
        On synthetic radiographs re-exports reach 0.99 and other patients stay below 0.95.

    Returns
    -------
    array of int, (n,)
    """
    return connected_components(alike >= threshold, directed=False)[1]


def same_pictures(cohort: pd.DataFrame) -> list[str]:
    """Return each row's patient, where patients who share a picture, byte for byte, count as one.

    A picture that was filed under two patients would otherwise be learned and tested.
    """
    joined = {name: name for name in cohort["patient_id"]}

    def first(name: str) -> str:
        while joined[name] != name:
            name = joined[name]
        return name

    seen: dict[str, str] = {}
    for row in same_size(cohort).itertuples():
        owner = seen.setdefault(content_hash(row.file), row.patient_id)
        joined[first(row.patient_id)] = first(owner)
    return [first(name) for name in cohort["patient_id"]]


def same_size(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose file is as large as another's: the same picture has the same size."""
    return cohort[cohort["file"].map(os.path.getsize).duplicated(keep=False)]
