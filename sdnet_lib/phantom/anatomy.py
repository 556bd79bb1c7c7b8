"""The organs that the synthetic radiograph is taken of, as path lengths along parallel rays, in cm."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from sdnet_lib.phantom.frame import SIDES, Frame, smooth, sphere
from sdnet_lib.phantom.patient import Patient


def _curve(frame: Frame, points: list[tuple[float, float]]) -> np.ndarray:
    """Interpolate over the rows through (y, value) points, rounding the corners; shape (rows, 1)."""
    at, value = np.array(points).T
    line = np.interp(frame.y[:, 0], at, value)
    return ndimage.gaussian_filter1d(line, 0.7 / frame.pixel, mode="nearest")[:, None].astype(np.float32)


def body(frame: Frame) -> np.ndarray:
    """Path through everything inside the skin: neck, shoulders, chest and belly, arms and breasts."""
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
