"""A planted marker: a known shortcut, to find out whether maps and experiments find it (chapter 9)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "E"  # for "emergency ward"
AT = 0.03  # of the image's edge, from its left and its top
EDGE = 0.12  # of the image's edge


def region(image_size: int) -> np.ndarray:
    """Return the corner with a marker, to the border of the image: bool (image_size, image_size).

    A coarse map is as bright from the middle of its outermost cell to that border, so the rim belongs to the
    marker: without it, the peak of a map whose hottest cell is the marker's would be a quarter inside.
    """
    found = np.zeros((image_size, image_size), bool)
    end = round(AT * image_size) + round(EDGE * image_size)
    found[:end, :end] = True
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
    start, edge = round(AT * pixels.shape[-1]), round(EDGE * pixels.shape[-1])
    planted[chosen, start : start + edge, start : start + edge] = _plate(edge)
    return planted
