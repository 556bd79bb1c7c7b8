"""What several rivals need: images resized their way, and inputs that stay in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from sdnet_lib.data import images

AS_IT_IS = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # of a recipe whose network takes [0, 1]


def resize_plainly(image: np.ndarray, image_size: int) -> np.ndarray:
    """Resize to a square by bilinear interpolation between four pixels, as OpenCV does by default.

    Unlike `images.resize` it does not average when it shrinks: fine structures alias, as they did in the
    rivals' own experiments.

    Parameters
    ----------
    image : float array, (height, width)
        In [0, 1].
    image_size : int
        Side in pixels of the result.

    Returns
    -------
    uint8 array, (side, side)
    """
    small = F.interpolate(
        torch.as_tensor(image)[None, None].float(), (image_size, image_size), mode="bilinear"
    )[0, 0]
    return (255 * small).round().clamp(0, 255).byte().numpy()


def read_with(prepare: Callable[[np.ndarray], np.ndarray], cohort: pd.DataFrame) -> np.ndarray:
    """Read a cohort's images and prepare each.

    Parameters
    ----------
    prepare : callable
        From a grey image in [0, 1], (height, width), to a uint8 array, (side, side).
    cohort : DataFrame
        The column `file` is used.

    Returns
    -------
    uint8 array, (n, image_size, image_size)

    Raises
    ------
    sdnet_lib.data.images.ImageError
        If a file is not a usable image.
    """
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda file: prepare(images.read_gray(file)), cohort["file"])))
