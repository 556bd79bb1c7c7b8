"""What somebody laid on a film: letters and words, and plates, discs or holes, wherever they stand.

All is sought at `films.SMALL` pixels, in the outer part of a film and off the lungs, in `ZONES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy import ndimage

ZONES = [f"{y} {x}" for y in ("top", "middle", "bottom") for x in ("left", "centre", "right")]
ZONES.remove("middle centre")
OUTER = 0.25  # of a side: where markers and burnt-in words stand
LETTER = 25  # pixels of ink
STROKE = 9  # pixels: brighter than all around within that reach is a stroke
CONTRAST = 0.12  # of a stroke to what lies around it
LARGEST = 40  # pixels of a plate's side
LONGEST = 4  # times its width: air beside the chest is longer
LEVELS = np.arange(0.9, 0.1, -0.1)  # of grey, at which plates are looked for
SMALLEST = {"bright": 8, "dark": 4}  # a smaller bright one is a stroke
STEP = 0.15  # of grey, from a plate to the film around it, all along its edge
FULL = 0.75  # of its box that a plate fills: a disc fills 0.79, a letter less
EVEN = 0.06  # of grey: half of a plate lies as near to one level


def marks(image: np.ndarray, inside: np.ndarray, outside_lungs: np.ndarray) -> tuple[dict, np.ndarray]:
    """Return how much was laid on a film in each of `ZONES`, and where its plates are.

    Parameters
    ----------
    image : float array, (height, width), in [0, 1]
    inside : bool array, (height, width)
        False on the border.
    outside_lungs : bool array, (height, width)

    Returns
    -------
    by_zone : dict of float
        Area of strokes and plates, in letters of `LETTER` pixels.
    plates : bool array, (height, width)
    """
    by_zone, covered = dict.fromkeys(ZONES, 0.0), np.zeros(image.shape, bool)
    found = [(place, piece, False) for place, piece in _strokes(image, inside)]
    found += [(place, piece, True) for place, piece in _plates(image, inside)]
    for place, piece, is_plate in found:
        zone = _zone(place, image.shape)
        if zone is not None and outside_lungs[place][piece].mean() > 0.5:
            by_zone[zone] += piece.sum() / LETTER
            covered[place] |= piece & is_plate
    return by_zone, covered


def _zone(place: tuple[slice, slice], shape: tuple[int, int]) -> str | None:
    """Return the zone in which the middle of something lies; None if that is no outer part of the film."""
    middle = [(part.start + part.stop) / 2 for part in place]
    row, column = (at / side for at, side in zip(middle, shape, strict=True))
    if min(row, 1 - row, column, 1 - column) >= OUTER:
        return None
    y, x = (min(2, int(3 * at / side)) for at, side in zip(middle, shape, strict=True))
    return f"{('top', 'middle', 'bottom')[y]} {('left', 'centre', 'right')[x]}"


def _strokes(image: np.ndarray, inside: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Find what is brighter than all around it, hangs together, and is as large as a letter or a word."""
    above = ndimage.white_tophat(image, STROKE)
    parts, _ = ndimage.label((above > CONTRAST) & inside, np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        tall, wide = (part.stop - part.start for part in place)
        piece = parts[place] == number
        if 3 <= tall <= 14 and 2 <= wide <= 60 and above[place][piece].max() > 2 * CONTRAST:
            yield place, piece


def _plates(image: np.ndarray, inside: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Find what fills a box, is mostly of one grey, and ends in a step all around; writing is part of it.

    Nothing in a body does all three. Several levels are tried: a plate may touch what is brighter than some.
    """
    found = np.zeros(image.shape, bool)
    for kind, level in product(SMALLEST, LEVELS):
        picture = image if kind == "bright" else 1 - image
        parts, _ = ndimage.label((picture > level) & inside)
        for number, place in enumerate(ndimage.find_objects(parts), start=1):
            sides = [part.stop - part.start for part in place]
            if not SMALLEST[kind] <= min(sides) or max(sides) > min(LARGEST, LONGEST * min(sides)):
                continue
            if found[place].any():
                continue
            piece = ndimage.binary_fill_holes(parts[place] == number)
            if piece.mean() >= FULL and _is_plate(picture, inside, place, piece):
                found[place] |= piece
                yield place, piece


def _is_plate(picture: np.ndarray, inside: np.ndarray, place: tuple[slice, slice], piece: np.ndarray) -> bool:
    level = np.median(picture[place][piece])
    if np.mean(np.abs(picture[place][piece] - level) <= EVEN) < 0.5:
        return False
    whole = np.zeros(picture.shape, bool)
    whole[place] = piece
    # one pixel on either side of the edge belongs to both: films were shrunk
    around = ndimage.binary_dilation(whole, iterations=3) & ~ndimage.binary_dilation(whole, iterations=1)
    around &= inside
    return bool(around.any() and level - np.quantile(picture[around], 0.9) >= STEP)
