"""Lesions in named lung parts: which parts a severity affects, where in them a lesion lies, and its shape.

A new kind of lesion is a function like `ground_glass` and a line in `LESIONS`; truth by construction (mask,
parts) follows from what it fills. `lobar_pneumonia` is another disease: one lobe, and no level of severity.
"""

from __future__ import annotations

import numpy as np

from sdnet_lib.data.severity import NORMAL_PCR, PARTS
from sdnet_lib.phantom.frame import Frame, smooth, texture

# Affected parts (fewest, most) of each level: Section 1 of the paper; negatives ("") have no level.
AFFECTED = {"Normal": (0, 0), "Mild": (1, 2), "Moderate": (3, 5), "Severe": (6, 8)}
AFFECTED |= {"": AFFECTED["Normal"], NORMAL_PCR: AFFECTED["Normal"]}
_LIKELY = np.array([0.5, 0.9, 1.5, 1.8] * 2) / 9.4  # R1 to R4, L1 to L4: the bases first
_DENSITY = {"Mild": 0.75, "Moderate": 1.0, "Severe": 1.25}
_PATCHES = 3  # per part
_VISIBLE = 0.025  # fraction of filled air from which a pixel counts as lesion

Window = tuple[slice, slice]


def ground_glass(
    frame: Frame, ragged: np.ndarray, centre: tuple[int, int], draws: list[float], density: float
) -> tuple[Window, np.ndarray]:
    """Fill an oval cloud with a ragged rim, from a thin veil to consolidation.

    Parameters
    ----------
    ragged : numpy.ndarray
        float32 noise, shape of the frame, one for the patient.
    centre : tuple of int
        Row and column of the lesion's middle.
    draws : list of float
        Three uniform random numbers: what a lesion of this kind varies.
    density : float
        Higher in severe disease.

    Returns
    -------
    tuple
        The window of the frame that the lesion touches, and float32 in it: the fraction of the air it fills.
    """
    size, flat, solid = draws
    wide, tall = 1.3 + 1.6 * size, 1.1 + 1.5 * size * (0.4 + 0.6 * flat)
    window = frame.around(*centre, 2.6 * max(wide, tall))
    dx = (frame.x[window] - frame.x[centre]) / wide
    dy = (frame.y[window[0]] - frame.y[centre[0]]) / tall
    cloud = smooth(1.35 - 0.75 * np.sqrt(dx * dx + dy * dy) + 0.16 * ragged[window])
    return window, np.float32(min(density * (0.06 + 0.28 * solid**2), 0.8)) * cloud


GROUND_GLASS = "ground glass"
LESIONS = {GROUND_GLASS: ground_glass}


def opacities(
    frame: Frame, fields: dict[str, np.ndarray], severity: str, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Fill some of the lung's air, peripheral and basal parts first, as COVID-19 does.

    Parameters
    ----------
    fields : dict of numpy.ndarray
        Visible lung of the sides R and L, bool, shape of the frame.
    severity : str
        A cohort's severity; empty for negatives.
    kind : str
        One of `LESIONS`.

    Returns
    -------
    extent : numpy.ndarray
        float32 in [0, 0.9], fraction of the air that is replaced by fluid.
    mask : numpy.ndarray
        bool, where that is to be seen, inside the visible lung.
    parts : tuple of str
        The affected parts: exactly those in which `mask` has pixels.
    """
    extent = np.zeros(frame.shape, np.float32)
    low, high = AFFECTED[severity]
    if high == 0:
        return extent, extent > 0, ()
    chosen = rng.choice(8, int(rng.integers(low, high + 1)), replace=False, p=_LIKELY)
    parts = tuple(PARTS[i] for i in sorted(chosen))
    patches = dict(zip(PARTS, rng.random((8, _PATCHES, 5)).tolist(), strict=True))
    ragged = texture(frame, rng, 2.6, 4, 0.65)
    for side, field in fields.items():
        quarter = part_of_row(field)
        filled = np.zeros(frame.shape, np.float32)
        for part in parts:
            if part[0] == side:
                for down, inward, *draws in patches[part]:
                    centre = _place(frame, field, quarter - int(part[1]) + 1, down, inward)
                    window, fraction = LESIONS[kind](frame, ragged, centre, draws, _DENSITY[severity])
                    filled[window] = 1 - (1 - filled[window]) * (1 - fraction)
        extent += filled * _gate(quarter, [f"{side}{level}" in parts for level in (1, 2, 3, 4)])[:, None]
    extent = np.clip(extent * (1 + 0.15 * ragged), 0, 0.9)
    return extent, (extent > _VISIBLE) & (fields["R"] | fields["L"]), parts


LOBAR = "lobar pneumonia"
# Side of each lobe that pneumonia may fill, where on the lung its fissure meets the spine (in quarters from
# the top), how far it falls per cm outwards, and on which side of it the lobe lies: -1 above, 1 below.
_LOBES = {
    "right upper": ("R", 2.1, 0.0, -1),
    "right middle": ("R", 2.1, 0.0, 1),
    "right lower": ("R", 1.9, 0.3, 1),
    "left lower": ("L", 1.9, 0.3, 1),
}


def lobar_pneumonia(
    frame: Frame, fields: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Fill one lobe: dense, with a sharp edge where it meets its fissure, and fading away from there.

    COVID-19 does the opposite: many thin patches, near the outer border of both lungs. The horizontal fissure
    bounds the right upper and middle lobe, the oblique one the lower lobes; on a frontal film it falls
    outwards. Parameters and result as of `opacities`.
    """
    side, height, slope, below = _LOBES[str(rng.choice(list(_LOBES)))]
    height, slope = height + 0.2 * float(rng.normal()), slope + 0.05 * float(rng.normal())
    reach, dense = float(rng.uniform(7, 13)), float(rng.uniform(0.3, 0.65))
    quarter = part_of_row(fields[side])
    start = frame.y[int(np.argmin(np.abs(quarter - height))), 0]
    beyond = below * (frame.y - start - slope * np.abs(frame.x - frame.mid))  # cm from the fissure
    air_filled = 1 + 0.12 * texture(frame, rng, 1.5, 3, 0.7)  # bronchi, and acini that are not yet full
    extent = dense * smooth(beyond / 0.25 + 0.5) * smooth(1.6 - 1.6 * beyond / reach) * air_filled
    own_side = frame.x < frame.mid if side == "R" else frame.x >= frame.mid
    extent = np.where(own_side, np.clip(extent, 0, 0.9), 0).astype(np.float32)
    mask = (extent > _VISIBLE) & fields[side]
    inside = {level: ((quarter >= level - 1) & (quarter < level))[:, None] & mask for level in (1, 2, 3, 4)}
    return extent, mask, tuple(f"{side}{level}" for level, part in inside.items() if part.any())


def part_of_row(field: np.ndarray) -> np.ndarray:
    """Return for each row where in the lung it lies: 0 at the top of part 1 to 4 at the bottom of part 4."""
    rows = np.flatnonzero(field.any(1))
    return 4 * (np.arange(field.shape[0]) + 0.5 - rows[0]) / (rows[-1] + 1 - rows[0])


def _place(
    frame: Frame, field: np.ndarray, height: np.ndarray, down: float, inward: float
) -> tuple[int, int]:
    """Return row and column of a lesion's middle, near the lung's outer border.

    Parameters
    ----------
    field : numpy.ndarray
        Visible lung of one side, bool.
    height : numpy.ndarray
        0 to 1 over the rows of the lesion's part.
    down, inward : float
        Uniform draws: how low in the part, how far from the outer border.
    """
    row = int(np.argmin(np.abs(height - 0.25 - 0.5 * down)))
    columns = np.flatnonzero(field[row])
    x = frame.x[row, columns]
    outer = np.argsort(-np.abs(x - (0 if abs(x.mean()) > 2 else x.mean())))
    return row, columns[outer[int(0.65 * inward**1.5 * (columns.size - 1))]]


def _gate(quarter: np.ndarray, affected: list[bool]) -> np.ndarray:
    """1 in the rows of affected parts, fading to 0 towards parts that are not."""
    gate = np.zeros(quarter.size, np.float32)
    for level, here in enumerate(affected):
        if here:
            above, below = level > 0 and not affected[level - 1], level < 3 and not affected[level + 1]
            u = quarter - level
            edge = np.minimum(u / 0.15 if above else 1, (1 - u) / 0.15 if below else 1)
            gate += np.where((u >= 0) & (u < 1), smooth(edge), 0).astype(np.float32)
    return gate
