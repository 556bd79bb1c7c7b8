"""The body that the synthetic radiograph is taken of: organs as path lengths along parallel rays, in cm.

The frame is the patient's, seen from the front: the origin is the carina, x grows to the patient's left (the
right side of the picture), y grows downwards; lengths are cm at the detector. Big organs are closed formulas
on the pixel grid. Thin ones (ribs, clavicles, vessels, airways) are swept tubes: sample points that carry a
volume, projected on the grid by `splat`, so a tube that runs towards the X-ray source is as bright as it
should be, at any pixel size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

SIDES = (("R", -1.0), ("L", 1.0))
_LEVELS = np.arange(-5, 13)  # vertebrae around T5 (0), which lies at the carina


@dataclass(frozen=True)
class Patient:
    """What makes one chest differ from the next; lengths in cm, angles in radians.

    Attributes
    ----------
    sex : str
        ``F`` or ``M``.
    age : int
        Years.
    scale : float
        Body size; 1 is an average adult.
    depth : float
        Thickness of the chest from front to back.
    fat : float
        Soft tissue around the rib cage.
    width : float
        Half the width of the rib cage's inside at its widest.
    apex, dome : float
        Height of the lung tops and of the right diaphragm dome (inspiration moves it).
    dome_step : float
        How much lower the left dome is.
    heart : float
        Size of the heart; 1 is a cardiothoracic ratio of about 0.45.
    knob : float
        Radius of the aortic knob; grows with age.
    turn : float
        Rotation about the long axis: what lies in front moves this share of its depth to the left.
    tilt : float
        Lean in the picture plane.
    sway : tuple of float
        Amplitude and phase of the spine's sideways curve.
    shift : tuple of float
        Where the carina lies off the detector's centre, x and y.
    breast : float
        Thickness of the breasts (or chest muscles).
    shoulder : float
        How far the shoulders are raised.
    gas : float
        Size of the stomach bubble, 0 for none.
    """

    sex: str
    age: int
    scale: float
    depth: float
    fat: float
    width: float
    apex: float
    dome: float
    dome_step: float
    heart: float
    knob: float
    turn: float
    tilt: float
    sway: tuple[float, float]
    shift: tuple[float, float]
    breast: float
    shoulder: float
    gas: float


def draw_patient(rng: np.random.Generator, sex: str | None = None, view: str = "PA") -> Patient:
    """Draw the traits of a patient; AP (bedside) views breathe in less, magnify the heart and turn more."""
    draw = rng.normal(size=16).clip(-2.2, 2.2).tolist()  # plain floats keep the float32 grids float32
    flat = rng.random(8).tolist()
    sex = sex or ("F" if flat[0] < 0.5 else "M")
    male, bed = float(sex == "M"), float(view == "AP")
    age = int(min(max(56 + 16 * draw[0], 18), 94))
    fat = min(max(2.4 + 0.8 * draw[3] - 0.2 * male, 1.2), 4.8)
    return Patient(
        sex=sex,
        age=age,
        scale=0.955 + 0.06 * male + 0.035 * draw[1],
        depth=21.0 + 1.3 * male + 1.5 * draw[2] + 1.2 * (fat - 2.4),
        fat=fat,
        width=13.0 + 0.5 * draw[4] - 0.2 * bed,
        apex=-10.8 + 0.6 * draw[5] + 0.6 * bed,
        dome=10.2 + 1.1 * draw[6] - 1.6 * bed,
        dome_step=1.2 + 0.5 * draw[7],
        heart=(0.98 + 0.07 * draw[8] + 0.0015 * (age - 56)) * (1 + 0.1 * bed),
        knob=1.35 + 0.012 * (age - 40) + 0.12 * draw[9],
        turn=(0.02 + 0.03 * bed) * draw[10],
        tilt=(0.014 + 0.012 * bed) * draw[11],
        sway=(0.12 + 0.35 * flat[1] ** 3, 6.28 * flat[2]),
        shift=(0.5 * draw[12], -2.0 + 0.9 * draw[13]),
        breast=float(np.clip((0.6 if male else 2.0) + (0.2 + 0.6 * (1 - male)) * draw[14], 0.1, 4.0)),
        shoulder=0.8 * draw[15] + 0.8 * bed,
        gas=max(0.0, flat[3] - 0.3) * 1.6,
    )


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
        for step, share in ((0, weight), (columns, lower)):
            right = share * u
            share -= right
            flat += np.bincount(index + step, share, minlength=flat.size)
            flat += np.bincount(index + (step + 1), right, minlength=flat.size)
        return flat.reshape(rows, columns)[1:-2, 1:-2].astype(np.float32)

    def columns(self, low: float, high: float) -> slice:
        """Return the columns in which x lies between `low` and `high` in some row."""
        near = np.flatnonzero((self.x.max(0) >= low) & (self.x.min(0) <= high))
        return slice(near[0], near[-1] + 1) if near.size else slice(0, 0)


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
    side, spacing = int(50 / coarse) + 3, coarse
    total = np.zeros((1, 1), np.float32)
    for octave, child in enumerate(rng.spawn(octaves)):  # own streams: the image size must not shift them
        if octave and spacing < 1.6 * frame.pixel:
            break
        if octave:
            side, spacing = side * 2, spacing / 2
        finer = Image.fromarray(total).resize((side, side), Image.Resampling.BICUBIC)
        total = finer + np.float32(gain**octave) * child.standard_normal((side, side), dtype=np.float32)
    box = (1, 1, 1 + columns * frame.pixel / spacing, 1 + rows * frame.pixel / spacing)
    return np.asarray(Image.fromarray(total).resize((columns, rows), Image.Resampling.BICUBIC, box=box))


def _curve(frame: Frame, points: list[tuple[float, float]]) -> np.ndarray:
    """Interpolate over the rows through (y, value) points, rounding the corners; shape (rows, 1)."""
    at, value = np.array(points).T
    line = np.interp(frame.y[:, 0], at, value)
    return ndimage.gaussian_filter1d(line, 0.7 / frame.pixel, mode="nearest")[:, None].astype(np.float32)


def body(frame: Frame) -> np.ndarray:
    """Path through everything inside the skin: neck, shoulders, trunk, arms and breasts."""
    p, x, y = frame.patient, frame.x, frame.y
    up = -p.shoulder
    chest = p.width + p.fat + 1.2
    half = _curve(
        frame,
        [
            (-26, 5.8),
            (-17, 5.1 + 0.2 * p.fat),
            (-15 + up, 7.0),
            (-13.6 + up, 10.5),
            (-12.4 + up, 15),
            (-10.8 + up, 19),
            (-8 + up, 20.3),
            (-5 + up, 20),
            (-1, chest + 1.2),
            (4, chest + 0.2),
            (11, chest - 0.2),
            (18, chest - 0.6),
            (26, chest + 0.3),
        ],
    )
    thick = _curve(
        frame,
        [(-26, 11), (-15, 11.5), (-12, 14), (-7, 18), (0, p.depth), (12, p.depth), (24, p.depth * 1.02)],
    )
    square = thick * thick * np.maximum(1 - (x / half) ** 2, 0)
    hanging = smooth((y + 12.5 - up) / 5)
    along = np.clip((y + 8 - up) / 26, 0, 1)
    for _, side in SIDES:
        arm = (side * x - 18.6 - 6.0 * along) / (4.4 - 0.7 * along)
        square += (9.4 * hanging) ** 2 * np.maximum(1 - arm * arm, 0)
    return np.sqrt(square) + breasts(frame)


def breasts(frame: Frame) -> np.ndarray:
    """Path through breasts, or through the pectoral muscles of men; the lower edge is the sharp one."""
    p, out = frame.patient, np.zeros(frame.shape, np.float32)
    female = p.sex == "F"
    for _, side in SIDES:
        u = (side * frame.x - (8.2 if female else 8.8)) / (6.4 + 0.4 * p.breast)
        level = (6.5 + 0.8 * p.breast if female else -2.0) - side * 0.25
        v = (frame.y - level) / (4.8 + 0.5 * p.breast if female else 6.5)
        v = np.where(v < 0, v * 0.55, v * 1.25)
        inside = np.maximum(1 - u * u - v * v, 0)
        fade = np.where(v < 0, 1 - v * v, 1)  # no edge above
        out += 1.6 * p.breast * (np.sqrt(inside) if female else inside) * fade * fade
    return out


def lung_border(frame: Frame, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far from the midline a lung begins and ends in each row, shape (rows, 1)."""
    p = frame.patient
    t = np.maximum((frame.y - p.apex + 0.15 * side) / (12.0 - p.apex), 0)
    rise = (1 - np.maximum(1 - t, 0) ** 3.2) ** 0.52
    outer = 5.0 + (p.width - 5.0) * rise * (1 - 0.8 * np.maximum(t - 1.05, 0) ** 2)
    inner = 5.0 - 3.9 * (1 - np.maximum(1 - 4.5 * t, 0) ** 2.2) ** 0.6
    return inner, outer


def dome(patient: Patient, s: np.ndarray, side: float) -> np.ndarray:
    """Return the height of the diaphragm's silhouette at distances `s` from the midline, cm outwards."""
    top, centre = patient.dome + patient.dome_step * (side > 0), 6.3 + 0.5 * (side > 0)
    s = s - centre
    reach, drop = np.where(s > 0, patient.width + 0.35 - centre, 10.5), np.where(s > 0, 5.6, 4.6)
    return top + drop.astype(np.float32) * (1 - sphere((s / reach.astype(np.float32)) ** 2))


def lungs(frame: Frame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the path through air-filled lung before any organ is taken out, and each side's silhouette.

    Below the dome's top some lung is left in front of and behind the liver; the silhouette stops at the dome.
    """
    p, y = frame.patient, frame.y
    depth = _curve(frame, [(p.apex, 6.0), (-7, 10.5), (-2, 14.0), (5, 15.6), (20, 16.2)])
    depth = depth * (p.depth / 21.5) ** 0.7
    path, fields = np.zeros(frame.shape, np.float32), {}
    for name, side in SIDES:
        near = frame.columns(*sorted((-1.5 * side, 19 * side)))
        s = side * (frame.x[:, near] - 0.4 * frame.mid)
        inner, outer = lung_border(frame, side)
        half = np.maximum((outer - inner) / 2, 1e-3)
        u = np.abs((s - inner - half) / half)
        below = y - dome(p, s, side)
        lateral = smooth((s - 2) / 5)  # next to the heart no lung reaches down to the dome
        behind = (1 - np.sqrt(np.clip(below / 6, 0, 1))) ** 2
        behind *= lateral + (1 - lateral) * (1 - smooth((below + 2.5) / 2.5))
        begun = y > p.apex - 0.15 * side
        path[:, near] += depth * np.sqrt(sphere(u * u * u)) * behind * begun
        fields[name] = np.zeros(frame.shape, bool)
        fields[name][:, near] = (u < 1) & begun & (below < 0)
    return path, fields


def heart(frame: Frame) -> np.ndarray:
    """Path through the heart: left ventricle, right atrium, and the left border's upper bulges."""
    p = frame.patient
    h, base = p.heart, p.dome + 1.5
    front = p.turn * -5
    parts = (  # centre x, centre y above the base, half-lengths, lean, half-depth
        (2.6, 3.9, 6.3, 4.15, 0.62, 4.6),  # left ventricle
        (-1.3, 4.2, 2.9, 4.0, -0.10, 4.0),  # right atrium
        (1.2, 7.4, 3.0, 3.6, 0.9, 3.6),  # pulmonary trunk and left atrial appendage
        (0.4, 2.4, 4.6, 2.6, 0.12, 4.0),  # right ventricle on the diaphragm
    )
    near = frame.columns(-8, 12)
    x = frame.x[:, near]
    square = np.zeros(x.shape, np.float32)
    for cx, up, long, short, lean, thick in parts:
        dx, dy = x - front - cx * h, frame.y - base + up * h
        a = (math.cos(lean) * dx + math.sin(lean) * dy) / (long * h)
        b = (math.cos(lean) * dy - math.sin(lean) * dx) / (short * h)
        square += (2 * thick * h) ** 2 * np.maximum(1 - a * a - b * b, 0)
    path = np.zeros(frame.shape, np.float32)
    path[:, near] = np.sqrt(square)
    return path


def mediastinum(frame: Frame) -> np.ndarray:
    """Path through great vessels and the tissue around them, aortic knob and hila included."""
    p, y, near = frame.patient, frame.y, frame.columns(-5.5, 5.5)
    x = frame.x[:, near] - 0.6 * frame.mid
    right = _curve(frame, [(-20, 4.0), (-11, 3.4), (-8, 2.8), (-3, 2.7), (3, 2.7), (20, 2.8)])
    left = _curve(frame, [(-20, 4.0), (-11, 3.4), (-7.5, 2.6), (-4, 2.4), (3, 2.7), (20, 2.8)])
    u = x / np.where(x < 0, right, left)
    square = 49 * np.maximum(1 - u * u, 0)
    aorta = _curve(frame, [(-4, 2.2), (2, 2.3), (10, 1.5), (20, 0.8)])
    for centre, half, thick in (
        (aorta, 1.25, 2.4 * smooth((y + 3.5) / 2)),
        (-1.5, 1.6, 2.6 * smooth((y + 5) / 3) * smooth((7 - y) / 4)),
    ):
        u = (x - centre) / half
        square += thick * thick * np.maximum(1 - u * u, 0)
    k = p.knob
    u, v = (x - 1.75 - 0.25 * k) / k, (y + 2.8) / (1.15 * k)
    square += (2.6 * k) ** 2 * np.maximum(1 - u * u - v * v, 0)
    path = np.zeros(frame.shape, np.float32)
    path[:, near] = np.sqrt(square)
    return path


def hila(frame: Frame) -> np.ndarray:
    """Path through the soft tissue of the lung roots, between which the big vessels leave."""
    total, across = np.zeros(frame.shape, np.float32), frame.x[frame.shape[0] // 2]
    for _, side in SIDES:
        u, v = (side * across - 3.6) / 1.5, (frame.y - 1.2 + 0.9 * (side > 0)) / 2.3
        total += np.exp(-u * u) * np.exp(-v * v)
    return total


def bowel_gas(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Path through the stomach bubble (and a colon loop) under the left dome."""
    p = frame.patient
    size = p.gas
    jitter = rng.normal(size=6)
    if size == 0:
        return np.zeros(frame.shape, np.float32)
    top = p.dome + p.dome_step
    x, y = frame.x - 7.0 - 0.8 * jitter[0], frame.y - top - 2.2 - 0.6 * size
    wobble = 1 + 0.15 * np.sin(1.7 * x + jitter[1]) + 0.1 * np.sin(2.3 * y + jitter[2])
    bubble = 3.2 * size * sphere(((x / (1.2 + 2.2 * size)) ** 2 + (y / (0.7 + 1.1 * size)) ** 2) * wobble)
    return bubble
