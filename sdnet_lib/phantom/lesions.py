"""Opacities of COVID-19 in named lung parts: ground glass to consolidation, peripheral and basal first."""

from __future__ import annotations

import numpy as np

from sdnet_lib.data import severity as rale
from sdnet_lib.phantom.anatomy import Frame, smooth, texture

# Affected parts (fewest, most) of each level: Section 1 of the paper. Normal-PCR+ has none by definition.
PARTS = {"": (0, 0), "Normal-PCR+": (0, 0), "Mild": (1, 2), "Moderate": (3, 5), "Severe": (6, 8)}
_LIKELY = np.array([0.5, 0.9, 1.5, 1.8] * 2) / 9.4  # R1 to R4, L1 to L4: the bases first
_DENSITY = {"Mild": 0.75, "Moderate": 1.0, "Severe": 1.25}
_PATCHES = 3  # a part
_VISIBLE = 0.025  # share of filled air from which a pixel counts as lesion


def opacities(
    frame: Frame, fields: dict[str, np.ndarray], severity: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Fill some of the lung's air.

    Parameters
    ----------
    fields : dict of numpy.ndarray
        Visible lung of the sides R and L, bool, shape of the frame.
    severity : str
        A cohort's severity; empty for negatives.

    Returns
    -------
    extent : numpy.ndarray
        float32 in [0, 0.9], share of the air that is replaced by fluid.
    mask : numpy.ndarray
        bool, where that is to be seen, inside the visible lung.
    parts : tuple of str
        The affected parts: exactly those in which `mask` has pixels.
    """
    extent = np.zeros(frame.shape, np.float32)
    low, high = PARTS[severity]
    if high == 0:
        return extent, extent > 0, ()
    chosen = rng.choice(8, int(rng.integers(low, high + 1)), replace=False, p=_LIKELY)
    parts = tuple(rale.PARTS[i] for i in sorted(chosen))
    patches = dict(zip(rale.PARTS, rng.random((8, _PATCHES, 5)), strict=True))
    ragged = texture(frame, rng, 2.6, 4, 0.65)
    for side, field in fields.items():
        quarter = part_of_row(field)
        filled = np.zeros(frame.shape, np.float32)
        for part in parts:
            if part[0] == side:
                for patch in patches[part]:
                    _add_patch(frame, filled, ragged, field, quarter - int(part[1]) + 1, patch, severity)
        extent += filled * _gate(quarter, [f"{side}{level}" in parts for level in (1, 2, 3, 4)])[:, None]
    extent = np.clip(extent * (1 + 0.15 * ragged), 0, 0.9)
    return extent, (extent > _VISIBLE) & (fields["R"] | fields["L"]), parts


def part_of_row(field: np.ndarray) -> np.ndarray:
    """Return for each row where in the lung it lies: 0 at the top of part 1 to 4 at the bottom of part 4."""
    rows = np.flatnonzero(field.any(1))
    return 4 * (np.arange(field.shape[0]) + 0.5 - rows[0]) / (rows[-1] + 1 - rows[0])


def _add_patch(
    frame: Frame,
    filled: np.ndarray,
    ragged: np.ndarray,
    field: np.ndarray,
    height: np.ndarray,
    patch: np.ndarray,
    severity: str,
) -> None:
    """Lay one cloud on `filled`; `height` is 0 to 1 over the rows of its part, `patch` five uniform draws."""
    at, inward, size, flat, solid = patch.tolist()
    row = int(np.argmin(np.abs(height - 0.25 - 0.5 * at)))
    columns = np.flatnonzero(field[row])
    middle = frame.x[row, columns].mean()
    outer = np.argsort(-np.abs(frame.x[row, columns] - (0 if abs(middle) > 2 else middle)))
    column = columns[outer[int(0.65 * inward**1.5 * (columns.size - 1))]]
    wide, tall = 1.3 + 1.6 * size, 1.1 + 1.5 * size * (0.4 + 0.6 * flat)
    reach = int(2.6 * max(wide, tall) / frame.pixel)
    window = np.s_[max(0, row - reach) : row + reach, max(0, column - reach) : column + reach]
    dx = (frame.x[window] - frame.x[row, column]) / wide
    dy = (frame.y[window[0]] - frame.y[row]) / tall
    cloud = smooth(1.35 - 0.75 * np.sqrt(dx * dx + dy * dy) + 0.16 * ragged[window])
    amount = min(_DENSITY[severity] * (0.06 + 0.28 * solid**2), 0.8)
    filled[window] = 1 - (1 - filled[window]) * (1 - np.float32(amount) * cloud)


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
