"""The pixel grid in the patient's own coordinates, and what is drawn on it.

Seen from the front: the origin is the carina, x grows to the patient's left (the right side of the picture),
y grows downwards; lengths are cm at the detector. Big organs are closed formulas on this grid. Thin ones
(ribs, collar bones, vessels, airways) are swept tubes: sample points that carry a volume, projected by
`Frame.splat`, so a tube that runs towards the X-ray source is as bright as it should be, at any pixel size.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from sdnet_lib.phantom.patient import Patient

SIDES = (("R", -1.0), ("L", 1.0))


class Frame:
    """The pixel grid in the patient's coordinates.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    pixel : float
        Side of a pixel in patient cm.
    x, y : numpy.ndarray
        float32 patient coordinates of the pixel centres, shapes (rows, columns) and (rows, 1).
    mid : numpy.ndarray
        x of the spine's axis in each row, shape (rows, 1).
    """

    def __init__(self, patient: Patient, shape: tuple[int, int], field: float) -> None:
        rows, columns = shape
        self.patient, self.shape = patient, shape
        self.pixel = field / max(shape) / patient.scale
        self._left = -(columns - 1) / 2 * self.pixel - patient.shift[0]
        self._top = -(rows - 1) / 2 * self.pixel - patient.shift[1]
        self.y = (self._top + self.pixel * np.arange(rows, dtype=np.float32))[:, None]
        across = (self._left + self.pixel * np.arange(columns, dtype=np.float32))[None]
        self.x = across - np.float32(patient.tilt) * self.y
        amplitude, phase = patient.sway
        self.mid = (amplitude * np.sin(self.y / 7 + phase) + patient.turn * 5).astype(np.float32)

    def axis(self, y: np.ndarray) -> np.ndarray:
        """Return x of the spine at heights `y`."""
        amplitude, phase = self.patient.sway
        return amplitude * np.sin(y / 7 + phase) + self.patient.turn * 5

    def splat(self, x: np.ndarray, y: np.ndarray, volume: np.ndarray) -> np.ndarray:
        """Project points that carry volumes (cm^3) to a path length image (cm), four pixels a point."""
        rows, columns = (n + 3 for n in self.shape)  # a margin takes what falls outside
        scale = np.float32(1 / self.pixel)
        u = np.float32(self.patient.tilt) * y
        u += x
        u, v = (u - np.float32(self._left)) * scale, (y - np.float32(self._top)) * scale
        u, v = np.clip(u + 1, 0, columns - 2, out=u), np.clip(v + 1, 0, rows - 2, out=v)
        column, row = np.floor(u), np.floor(v)
        u -= column
        v -= row
        index = row.astype(np.intp) * columns + column.astype(np.intp)
        weight = volume.astype(np.float64) * float(scale) ** 2
        lower = weight * v
        weight -= lower
        flat = np.zeros(rows * columns)
        for step, left in ((0, weight), (columns, lower)):
            right = left * u
            left -= right
            flat += np.bincount(index + step, left, minlength=flat.size)
            flat += np.bincount(index + (step + 1), right, minlength=flat.size)
        return flat.reshape(rows, columns)[1:-2, 1:-2].astype(np.float32)

    def columns(self, low: float, high: float) -> slice:
        """Return the columns in which x lies between `low` and `high` in some row."""
        near = np.flatnonzero((self.x.max(0) >= low) & (self.x.min(0) <= high))
        return slice(near[0], near[-1] + 1) if near.size else slice(0, 0)

    def around(self, row: int, column: int, reach: float) -> tuple[slice, slice]:
        """Return the window of all pixels up to `reach` cm from one, sideways and up and down."""
        reach = int(reach / self.pixel)
        return np.s_[max(0, row - reach) : row + reach, max(0, column - reach) : column + reach]


def sphere(u: np.ndarray) -> np.ndarray:
    """Return the half chord of a unit ball whose squared distance from the centre is `u`."""
    return np.sqrt(np.maximum(1 - u, 0))


def smooth(u: np.ndarray) -> np.ndarray:
    """Go smoothly from 0 (u <= 0) to 1 (u >= 1)."""
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def texture(frame: Frame, rng: np.random.Generator, coarse: float, octaves: int, gain: float) -> np.ndarray:
    """Sum noise on grids of `coarse` cm, half of it, and so on; what is finer than a pixel is left out."""
    rows, columns = frame.shape
    cells, spacing = int(50 / coarse) + 3, coarse
    total = np.zeros((1, 1), np.float32)
    for octave, child in enumerate(rng.spawn(octaves)):  # own streams: the image size must not shift them
        if octave and spacing < 1.6 * frame.pixel:
            break
        if octave:
            cells, spacing = cells * 2, spacing / 2
        finer = Image.fromarray(total).resize((cells, cells), Image.Resampling.BICUBIC)
        total = finer + np.float32(gain**octave) * child.standard_normal((cells, cells), dtype=np.float32)
    box = (1, 1, 1 + columns * frame.pixel / spacing, 1 + rows * frame.pixel / spacing)
    return np.asarray(Image.fromarray(total).resize((columns, rows), Image.Resampling.BICUBIC, box=box))
