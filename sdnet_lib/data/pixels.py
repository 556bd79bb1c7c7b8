"""The images of a cohort as one array of small squares: what networks are given."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import cpu_count
from tqdm import tqdm

from sdnet_lib.data import images

Prepare = Callable[[np.ndarray, int], np.ndarray]


def squeezed(image: np.ndarray, image_size: int) -> np.ndarray:
    """Resize an image to a square; one that is none is squeezed, as the authors' code squeezes test images.

    Parameters
    ----------
    image : float array, (height, width)
        In [0, 1].
    image_size : int
        Height and width of the result in pixels.

    Returns
    -------
    uint8 array, (image_size, image_size)
    """
    return images.eight_bits(images.resize(image, (image_size, image_size)))


def read_pixels(cohort: pd.DataFrame, image_size: int, prepare: Prepare = squeezed) -> np.ndarray:
    """Return the images of a cohort as one array; files that were read before come from memory.

    Parameters
    ----------
    cohort : DataFrame
        The column `file` is used.
    image_size : int
        Height and width of the result in pixels.
    prepare : callable
        From an image, float (height, width) in [0, 1], and `image_size` to uint8 (image_size, image_size).

    Returns
    -------
    uint8 array, (n, image_size, image_size)

    Raises
    ------
    sdnet_lib.data.images.ImageError
        If a file is not a usable image.
    """

    def read(file: str) -> np.ndarray:
        path = Path(file)
        return _read(file, image_size, prepare, path.stat().st_mtime_ns if path.exists() else 0)

    with ThreadPoolExecutor(cpu_count()) as pool:  # each thread has a decoder of its own to start
        rows = pool.map(read, cohort["file"])
        return np.stack(list(tqdm(rows, "reading images", len(cohort), disable=None, leave=False)))


@lru_cache(maxsize=4096)
def _read(file: str, image_size: int, prepare: Prepare, changed: int) -> np.ndarray:
    return prepare(images.read_gray(file), image_size)
