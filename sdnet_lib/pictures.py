"""The same picture twice, even after a re-export: a hash that changes little when the picture does."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from sdnet_lib.images import resize


def picture_hash(image: np.ndarray) -> np.ndarray:
    """Hash a picture into 256 bits: is each cell of its 16 x 17 miniature darker than the next one.

    Compression, a new size or a new brightness hardly change which cell is darker, so a re-exported picture
    differs in few bits, another patient's in many.

    Parameters
    ----------
    image : array, (H, W)

    Returns
    -------
    array of bool, (256,)
    """
    return (np.diff(resize(image, (16, 17)), axis=1) > 0).ravel()


def picture_groups(hashes: np.ndarray, distance: int = 16) -> np.ndarray:
    """Give one number to pictures whose hashes differ in at most `distance` bits, chains included.

    Parameters
    ----------
    hashes : array of bool, (images, bits)
    distance : int

    Returns
    -------
    array of int, (images,)
    """
    near = cdist(hashes, hashes, "cityblock") <= distance
    return connected_components(near, directed=False)[1]
