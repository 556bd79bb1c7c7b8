"""A planted marker: a known shortcut, to find out whether maps and experiments find it (chapter 9)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "E"  # for "emergency ward"
AT = 0.03  # of the image's edge, from its left and its top
EDGE = 0.12  # of the image's edge


def region(image_size: int) -> np.ndarray:
    """Return where a marker is: bool (image_size, image_size)."""
    found = np.zeros((image_size, image_size), bool)
    start, edge = round(AT * image_size), round(EDGE * image_size)
    found[start : start + edge, start : start + edge] = True
    return found


@lru_cache
def _plate(edge: int) -> np.ndarray:
    """Draw a white plate with a black letter, uint8 (edge, edge)."""
    plate = Image.new("L", (edge, edge), 255)
    font = ImageFont.load_default(max(4, round(0.8 * edge)))
    ImageDraw.Draw(plate).text((edge / 2, edge / 2), TEXT, fill=0, font=font, anchor="mm")
    return np.asarray(plate)


def plant(pixels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return copies of images, some with the marker of another ward in their upper left corner.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
    chosen : bool array, (n,)
        Which images get the marker.
    """
    planted = pixels.copy()
    where = region(pixels.shape[-1])
    edge = round(EDGE * pixels.shape[-1])
    planted[np.ix_(np.flatnonzero(chosen), *map(np.flatnonzero, (where.any(1), where.any(0))))] = _plate(edge)
    return planted
