"""What an audit notes down of each film, in one pass: facts by name, a miniature, where the lungs are.

Facts are named after the question that they belong to: ``marker top left`` belongs to *marker*. They are
made so that one thing moves one group most: grey levels are read after a blur, sharpness is a ratio of
contrasts that a display curve leaves alone, and both look past the border and the lungs. What still moves
along is separated later (`findings.Finding.goes_with`). Nothing here knows a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from sdnet_lib.audit.marks import marks
from sdnet_lib.data import images
from sdnet_lib.data.duplicates import signature
from sdnet_lib.lungs import crop, segmentation

SQUARE = 32  # height and width of the miniatures that image probes see
SMALL, LARGE = 128, 512  # longest side where border, markers and grey levels are read, and where sharpness is
FLAT = 0.04  # of the grey scale: a line that varies less is border
WIDEST = 0.2  # of a side: border beyond it is no longer looked for
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BLOCK = 500  # films: their facts become a table, which is smaller, before the next are looked at
GROUPS = ("size", "aspect", "format", "header", "border", "marker", "grey levels", "sharpness", "file")


class Evidence(NamedTuple):
    """What is known of the films of a cohort, row for row.

    Attributes
    ----------
    facts : DataFrame
        A column a fact, named after its group in `GROUPS`.
    squares : uint8 array, (n, SQUARE, SQUARE)
        The films, squeezed.
    lungs : bool array, (n, SQUARE, SQUARE)
        Where their lungs are.
    signatures : float16 array, (n, 1024)
        From `data.duplicates.signature`.
    """

    facts: pd.DataFrame
    squares: np.ndarray
    lungs: np.ndarray
    signatures: np.ndarray

    def of(self, group: str) -> pd.DataFrame:
        """Return the facts of one group."""
        return self.facts[[name for name in self.facts if name.startswith(f"{group} ")]]

    def rows(self, chosen: np.ndarray) -> Evidence:
        """Return what is known of some rows."""
        facts = self.facts.iloc[chosen].reset_index(drop=True)
        return Evidence(facts, self.squares[chosen], self.lungs[chosen], self.signatures[chosen])


def look(cohort: pd.DataFrame) -> Evidence:
    """Read every film of a cohort once and note down what an audit asks for.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort. Lungs are the truth in a synthetic one, our U-Net's answer in any other: masks that
        people drew are not used, for in some sets having one, or its style, gives the class away.

    Raises
    ------
    ImageError
        For the first film that cannot be read.
    """
    place = {name: row for row, name in enumerate(cohort["image_id"])}
    squares = np.empty((len(cohort), SQUARE, SQUARE), np.uint8)
    lungs, signatures = np.empty(squares.shape, bool), np.empty((len(cohort), 1024), np.float16)
    tables: list[pd.DataFrame] = []
    seen = iter(tqdm(_notes(cohort), "looking at films", len(cohort), disable=None, leave=False))
    while noted := dict(islice(seen, BLOCK)):
        rows = [place[name] for name in noted]
        table, *arrays = zip(*noted.values(), strict=True)
        tables.append(pd.DataFrame(list(table), index=rows))
        squares[rows], lungs[rows], signatures[rows] = arrays
    return Evidence(pd.concat(tables).sort_index(), squares, lungs, signatures)


def _notes(cohort: pd.DataFrame) -> Iterator[tuple[str, tuple]]:
    """Yield image ids and what is noted of each, in any order."""
    if "lesion_mask" in cohort:  # only synthetic cohorts know their lesions
        with ThreadPoolExecutor(segmentation.THREADS) as pool:
            yield from segmentation.in_turn(pool, _read_and_note, cohort.to_dict("records"))
        return
    for row, image, lungs in segmentation.segment(cohort):
        if lungs is None:
            raise image  # the error that it is instead
        yield _note(row, image, lungs)


def _read_and_note(row: dict) -> tuple[str, tuple]:
    image = images.read_gray(row["file"])
    return _note(row, image, images.read_mask(row["lung_mask"], image.shape))


def _note(row: dict, image: np.ndarray, lungs: np.ndarray) -> tuple[str, tuple]:
    square = images.resize(image, (SQUARE, SQUARE))
    return row["image_id"], (
        facts(row["file"], image, lungs),
        np.rint(255 * square).clip(0, 255).astype(np.uint8),
        images.resize(lungs, (SQUARE, SQUARE)) > 0.5,
        signature(image).astype(np.float16),
    )


def facts(file: str, image: np.ndarray, lungs: np.ndarray) -> dict[str, float | str]:
    """Return the facts of one film, in the order of `GROUPS`; text for a word, a number for a measure.

    Parameters
    ----------
    file : str
    image : float array, (height, width), in [0, 1]
    lungs : bool array, (height, width)
    """
    height, width = image.shape
    small = _shrunk(image, SMALL)
    margins = border(small)
    inside = _inside(small.shape, margins)
    box = _outside_lungs(_shrunk(lungs, SMALL) > 0.5)
    by_zone, plates = marks(small, inside, box)
    bare = ~ndimage.binary_dilation(plates, iterations=3)  # where nothing lies on the film, nor its edge
    return {
        "size width": width,
        "size height": height,
        "aspect ratio": round(width / height, 3),
        **_stored(file, width * height),
        **{f"border {side}": value for side, value in margins.items()},
        **{f"marker {zone}": value for zone, value in by_zone.items()},
        **_grey_levels(image, small, inside & box, bare),
        **_sharpness(_shrunk(image, LARGE), inside & box & bare),
    }


def _shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """Return an image whose longest side is at most `longest`; it is never enlarged."""
    factor = min(1, longest / max(image.shape))
    return images.resize(image, tuple(max(8, round(factor * side)) for side in image.shape))


def _stored(file: str, pixels: int) -> dict[str, float | str]:
    try:
        header = images.header(file)
    except images.ImageError:  # its pixels could be read: a damaged header is a fact too
        header = {"format": "damaged header"}
    kept = {"format kind": header.pop("format"), "format suffix": Path(file).suffix.lower()}
    for name in ("mode", "quality"):
        kept[f"format {name}"] = header.pop(name, "")
    tags = {f"header {name}": value for name, value in header.items()}
    return kept | tags | {"file bytes per pixel": Path(file).stat().st_size / pixels}


def border(image: np.ndarray) -> dict[str, float]:
    """Measure the uniform border of a film, in fractions of each side; and its grey level, 0 without one."""
    found, levels = {}, []
    sides = {"left": image.T, "top": image, "right": image.T[::-1], "bottom": image[::-1]}
    for side, lines in sides.items():
        lines = lines[: int(WIDEST * len(lines))]
        low, middle, high = np.quantile(lines, [0.1, 0.5, 0.9], axis=1)
        flat = (high - low < FLAT) & (np.abs(middle - middle[0]) < FLAT)
        wide = len(lines) if flat.all() else int(np.argmin(flat))
        found[side] = wide / len(lines) * WIDEST
        levels += [float(middle[0])] if wide else []
    return found | {"grey": float(np.mean(levels)) if levels else 0.0}


def _inside(shape: tuple[int, int], margins: dict[str, float]) -> np.ndarray:
    """Return where a film is neither its border nor, one pixel wide, the border's edge."""
    height, width = shape
    inside = np.zeros(shape, bool)
    top, bottom = (int(np.ceil(margins[side] * height)) + 1 for side in ("top", "bottom"))
    left, right = (int(np.ceil(margins[side] * width)) + 1 for side in ("left", "right"))
    inside[top : height - bottom, left : width - right] = True
    return inside


def _outside_lungs(lungs: np.ndarray) -> np.ndarray:
    """Return where there is neither lung nor what lies between the lungs."""
    outside, box = np.ones(lungs.shape, bool), crop.bounding_box(lungs)
    if box is not None:
        left, top, right, bottom = box
        outside[top:bottom, left:right] = False
    return outside


def _grey_levels(
    image: np.ndarray, small: np.ndarray, where: np.ndarray, bare: np.ndarray
) -> dict[str, float]:
    smooth = ndimage.uniform_filter(small, 5)
    where = where & bare
    seen = smooth[where] if where.sum() > 50 else smooth.ravel()
    shown = image if bare.all() else image[images.resize(bare, image.shape) > 0.99]
    used = np.unique(np.rint(255 * shown).astype(np.uint8))
    gaps = 1 - len(used) / (int(used[-1]) - int(used[0]) + 1)  # a display curve on 8 bits leaves them
    quantiles = np.quantile(seen, QUANTILES)
    named = {f"grey levels {q:.0%}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)}
    return named | {"grey levels skipped": gaps}


def _sharpness(image: np.ndarray, where: np.ndarray) -> dict[str, float]:
    """Return how much of the contrast is fine: ratios of neighbouring bands, off the lungs.

    Medians, so that a marker or an edge, which have all their contrast in few pixels, do not count.
    """
    blurred = [image, *(ndimage.gaussian_filter(image, sigma) for sigma in (0.7, 1.4, 2.8))]
    wide = images.resize(where, image.shape) > 0.99
    wide = wide if wide.sum() > 500 else np.ones(image.shape, bool)
    bands = [
        np.median(np.abs(fine - coarse)[wide]) for fine, coarse in zip(blurred, blurred[1:], strict=False)
    ]
    names = ("finest", "fine")
    return {
        f"sharpness {name}": float(np.log((one + 1e-5) / (next_ + 1e-5)))
        for name, one, next_ in zip(names, bands, bands[1:], strict=False)
    }
