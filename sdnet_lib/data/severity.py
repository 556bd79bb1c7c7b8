"""Radiographic severity: eight lung parts -> score 0 to 8 -> Normal, Mild, Moderate or Severe.

Section 1 of the COVIDGR paper, after the RALE score of Warren et al. (2018) as simplified by Wong et al.
(2020): each lung scores 0 to 4 by how much of it is affected, and the two scores are added. Here a lung has
four parts of equal height, 1 at the apex to 4 at the base; R and L are the patient's right and left lung.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, label

from sdnet_lib.files import InputError

PARTS = tuple(f"{side}{level}" for side in "RL" for level in range(1, 5))
LEVELS = ("Normal", "Mild", "Moderate", "Severe")
NORMAL_PCR = "Normal-PCR+"
POSITIVE_LEVELS = (NORMAL_PCR, *LEVELS[1:])


def score(parts: str | Iterable[str]) -> int:
    """Count the affected lung parts.

    Parameters
    ----------
    parts : str or iterable of str
        Part names such as ``["R3", "L4"]``, or one string with spaces between them: ``"R3 L4"``.

    Returns
    -------
    int
        0 (no part) to 8 (all parts).

    Raises
    ------
    InputError
        A name that is not one of `PARTS`, or one that comes twice.
    """
    names = _names(parts)
    for name in names:
        if name not in PARTS:
            raise InputError(f"lung part {name!r} is unknown: the parts are {', '.join(PARTS)}")
        if names.count(name) > 1:
            raise InputError(f"lung part {name!r} is given {names.count(name)} times")
    return len(names)


def score_from_extent(extent: float) -> int:
    """Round a mean of several raters' 0 to 8 extents to a score, halves up.

    The COVID-19 Image Data Collection gives the mean of three raters, so its values are thirds (2.3, 2.7) and
    a half never occurs. Rounding puts the borders between the levels at 0.5, 2.5 and 5.5: a part that one
    rater of three saw (0.3) leaves the lungs Normal, two of three (0.7) make them Mild, 2.3 is Mild and 2.7
    Moderate, 5.3 is Moderate and 5.7 Severe. Halves go up because a missed opacity costs more than a
    doubtful one.

    Raises
    ------
    InputError
        An extent that is not a number from 0 to 8.
    """
    return math.floor(_number(extent, 8, "geographic extent") + 0.5)


def severity(total: float) -> str:
    """Name the level of a score: 0 Normal, 1-2 Mild, 3-5 Moderate, 6-8 Severe (Section 1 of the paper).

    Raises
    ------
    InputError
        A score that is not a whole number from 0 to 8.
    """
    total = _whole(total, 8, "severity score")
    return LEVELS[(total > 0) + (total > 2) + (total > 5)]


def positive_severity(total: float) -> str:
    """Name the level of a patient with a positive RT-PCR, whose Normal is `NORMAL_PCR` in a cohort."""
    level = severity(total)
    return NORMAL_PCR if level == "Normal" else level


def from_extent(extent: float) -> str:
    """Name the level of a 0 to 8 extent, rounded by `score_from_extent`."""
    return severity(score_from_extent(extent))


def scores(parts: pd.Series) -> pd.Series:
    """Apply `score` to each row; the index is kept."""
    return parts.map(score).astype("int64")


def severities(totals: pd.Series) -> pd.Series:
    """Apply `severity` to each row; the index is kept and the result is an ordered categorical."""
    return totals.map(severity).astype(pd.CategoricalDtype(LEVELS, ordered=True))


def extent_severities(extents: pd.Series) -> pd.Series:
    """Apply `from_extent` to each row; the index is kept and the result is an ordered categorical."""
    return extents.map(from_extent).astype(pd.CategoricalDtype(LEVELS, ordered=True))


def part_masks(lung_mask: np.ndarray) -> dict[str, np.ndarray]:
    """Cut a lung mask into the eight parts: each lung into four of equal height.

    Parameters
    ----------
    lung_mask : array of bool, (H, W)
        Both lungs, apart from each other; the patient's right lung is left in the picture.

    Returns
    -------
    dict of str to array of bool, (H, W)
        A mask for each of `PARTS`.

    Raises
    ------
    InputError
        A mask in which there are not two separate lungs.
    """
    regions, count = label(lung_mask)
    if count < 2:
        raise InputError(f"a lung mask must show two separate lungs, not {count}")
    largest = np.argsort(np.bincount(regions.flat)[1:])[-2:] + 1
    boxes = find_objects(regions)
    masks = {}
    for side, number in zip(
        "RL", sorted(largest, key=lambda region: boxes[region - 1][1].start), strict=True
    ):
        rows = boxes[number - 1][0]
        edges = np.linspace(rows.start, rows.stop, 5).round().astype(int)
        for level in range(1, 5):
            mask = masks[f"{side}{level}"] = np.zeros(lung_mask.shape, bool)
            band = slice(edges[level - 1], edges[level])
            mask[band] = regions[band] == number
    return masks


def place_opacities(
    image: np.ndarray, lung_mask: np.ndarray, parts: str | Iterable[str], seed: int = 0
) -> np.ndarray:
    """Paint opacities into parts of the lungs of any radiograph.

    Clouds brighten the lung towards the tissue around it and fade out at the edge of their part. Those of a
    part depend on `seed` only, not on the other parts.

    Parameters
    ----------
    image : array of float, (H, W)
    lung_mask : array of bool, (H, W)
        As for `part_masks`.
    parts : str or iterable of str
        As for `score`.
    seed : int

    Returns
    -------
    array of float32, (H, W)

    Raises
    ------
    InputError
        A part or a mask that `score` or `part_masks` refuse.
    """
    score(parts)
    masks, wanted = part_masks(lung_mask), _names(parts)
    grain = max(image.shape) / 40
    tissue = np.quantile(image[~lung_mask], 0.8)
    painted = image.astype(np.float32)
    for number, (name, mask) in enumerate(masks.items()):
        if name in wanted:
            noise = gaussian_filter(np.random.default_rng([seed, number]).normal(size=image.shape), grain)
            clouds = (0.5 + (noise - noise[mask].mean()) / (3 * noise[mask].std())).clip(0, 1)
            fade = (distance_transform_edt(mask) / (1.5 * grain)).clip(0, 1)
            painted += 0.65 * clouds * fade * np.maximum(tissue - image, 0)
    return painted.astype(np.float32)


def _names(parts: str | Iterable[str]) -> list[str]:
    if isinstance(parts, str):
        return parts.split()
    if not isinstance(parts, Iterable):
        raise InputError(f"lung parts must be names such as 'R1 L4', not {parts!r}")
    return list(parts)


def _number(value: float, top: int, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= top:
        raise InputError(f"{what} must be a number from 0 to {top}, not {value!r}")
    return float(value)


def _whole(value: float, top: int, what: str) -> int:
    number = _number(value, top, what)
    if not number.is_integer():
        raise InputError(f"{what} must be a whole number from 0 to {top}, not {value!r}")
    return int(number)
