"""Thin parts of the synthetic chest as swept tubes: bones, airways and vessels.

Each function returns a path length image in cm (see `frame.Frame`). Bones are shells of compact bone around
a spongy core and come as cm of compact bone.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import ndimage

from sdnet_lib.phantom.anatomy import lung_border
from sdnet_lib.phantom.frame import SIDES, Frame

_SPONGY = 0.28  # attenuation of spongy bone as a fraction of compact bone's, above soft tissue
# Ribs 1 to 12: where they leave the spine, how far they fall on the way to the front, where the bone ends in
# front (cm from the midline), half their height.
_HEAD = np.array([-10.2, -8.7, -6.6, -4.3, -2.0, 0.4, 2.9, 5.4, 7.9, 10.4, 12.9, 15.4])
_FALL = np.array([4.9, 7.6, 10.0, 12.1, 13.8, 14.8, 15.6, 15.9, 14.8, 12.8, 8.8, 5.4])
_END = np.array([3.6, 4.6, 5.4, 6.0, 6.7, 7.6, 8.8, 10.0, 11.0, 11.8, 12.6, 11.0])
_HEIGHT = np.array([0.56, 0.56, 0.58, 0.60, 0.62, 0.64, 0.66, 0.66, 0.64, 0.62, 0.56, 0.50])
# Shoulder blade and arm as strokes through points (cm from the midline, height): half width, half thickness,
# fraction of the radius that is compact.
_STROKES = (
    (((17.2, -8.2), (14.6, -4.5), (12.9, 0.5), (12.3, 5.0)), 0.40, 0.30, 0.6),  # outer border
    (((12.4, -9.4), (11.2, -6.0), (11.0, -1.0), (12.1, 5.0)), 0.22, 0.22, 0.9),  # inner border
    (((11.0, -6.2), (14.0, -8.4), (17.5, -10.2), (18.8, -10.2)), 0.55, 0.35, 0.35),  # spine and acromion
    (((12.4, -9.2), (14.6, -9.0), (16.2, -8.6)), 0.25, 0.25, 0.8),  # upper border
    (((15.6, -9.0), (16.4, -8.4), (15.2, -7.4)), 0.45, 0.50, 0.4),  # coracoid
    (((17.1, -9.3), (16.8, -8.0), (17.2, -6.8)), 0.45, 0.50, 0.5),  # socket
    (((19.0, -7.4), (20.4, -2.0), (22.6, 5.0), (24.5, 12.0)), 1.10, 1.00, 0.3),  # shaft of the arm
)
# Vessels that leave a lung root: degrees (0 outwards, 90 down), radius, length of the first piece.
_FIRST_VESSELS = np.array(
    [(-80, 0.34, 2.4), (-62, 0.36, 2.5), (-42, 0.32, 2.4), (-20, 0.26, 2.3), (0, 0.27, 2.2), (18, 0.30, 2.4)]
    + [(36, 0.34, 2.6), (52, 0.42, 2.9), (66, 0.50, 3.1), (80, 0.42, 3.0), (-72, 0.24, 2.3), (28, 0.24, 2.4)]
    + [(60, 0.30, 2.7), (-10, 0.22, 2.4)]
)
_GENERATIONS = 7

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


def _offsets(count: int) -> np.ndarray:
    return ((np.arange(count, dtype=np.float32) + 0.5) / count) * 2 - 1


def _steps(pixel: float, length: float) -> int:
    """Points one pixel apart: then the splat's triangle kernel cancels the ripple between them."""
    return max(3, int(np.ceil(length / pixel)))


def _rounded_down(pixel: float) -> float:
    """Round a pixel size down, eight values an octave, so that fixed shapes are sampled once for all."""
    return 2 ** (math.floor(8 * math.log2(pixel)) / 8)


def _shell(v: np.ndarray, wall: float) -> np.ndarray:
    """Chord through a hollow round bone at offset `v` (of the radius): wall full, core spongy."""
    whole = np.sqrt(np.maximum(1 - v * v, 0))
    core = np.sqrt(np.maximum((1 - wall) ** 2 - v * v, 0))
    return 2 * (whole - (1 - _SPONGY) * core)


def _ribbon(
    pixel: float, x: np.ndarray, y: np.ndarray, half: np.ndarray, thick: np.ndarray, wall: float
) -> Points:
    """Sample strips of bone: centre lines (lines, points), half widths, half thicknesses along the ray."""
    dx, dy = _slope(x), _slope(y)
    length = np.hypot(dx, dy) + 1e-9
    v = _offsets(_steps(pixel, 2 * float(np.max(half))))
    across = (half / length)[..., None] * v
    volume = (length * half * thick * (2 / v.size))[..., None] * _shell(v, wall)
    px, py = x[..., None] - dy[..., None] * across, y[..., None] + dx[..., None] * across
    return px.ravel(), py.ravel(), volume.ravel()


def _slope(line: np.ndarray) -> np.ndarray:
    """Differences along the last axis, centred but at the ends."""
    step = np.empty_like(line)
    step[:, 1:-1] = (line[:, 2:] - line[:, :-2]) / 2
    step[:, 0], step[:, -1] = line[:, 1] - line[:, 0], line[:, -1] - line[:, -2]
    return step


def _join(parts: list[Points]) -> Points:
    return tuple(np.concatenate(each, dtype=np.float32) for each in zip(*parts, strict=True))


@lru_cache(maxsize=32)
def _stroke(points: tuple[tuple[float, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lay 200 points along a line through a few and round its corners."""
    at, t = np.linspace(0, 1, len(points)), np.linspace(0, 1, 200)
    return tuple(
        ndimage.gaussian_filter1d(np.interp(t, at, line), 12, mode="nearest")
        for line in zip(*points, strict=True)
    )


def _along(points: tuple[tuple[float, float], ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    at, t = np.linspace(0, 1, 200), np.linspace(0, 1, count)
    return tuple(np.interp(t, at, line)[None] for line in _stroke(points))


def bones(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Bone of ribs, collar bones, shoulders and spine."""
    parts = [*_ribs(frame, rng), *_clavicles(frame, rng), *_shoulders(frame, rng)]
    return frame.splat(*_join(parts)) + _spine(frame, rng)


def _ribs(frame: Frame, rng: np.random.Generator) -> list[Points]:
    """Sample twelve pairs of ribs, each half an oblique ellipse from the spine round to the front.

    Where a rib turns towards the source (at the side) its path is longer; towards the front it grows flat
    and fades into cartilage, which casts no shadow of its own.
    """
    p = frame.patient
    slope = 0.82 + 0.16 * rng.normal() - 0.1 * (p.dome - 10.2)
    t = np.linspace(0, 1, _steps(frame.pixel, 30), dtype=np.float32)[None]
    strips = []
    for _, side in SIDES:
        wobble = rng.normal(size=(6, 12)).clip(-2, 2)
        head = _HEAD + (p.apex + 10.8) * np.linspace(0.9, 0.1, 12) + 0.12 * wobble[0] + 0.1 * side
        fall = _FALL * slope + 0.4 * wobble[1]
        outer = lung_border(frame, side)[1][:, 0]
        reach = np.interp(head + fall / 2, frame.y[:, 0], outer) + 0.35 + 0.08 * wobble[2]
        reach[0] = 7.0 + 0.3 * wobble[2, 0]
        start = np.arcsin(2.0 / reach)
        stop = np.pi - np.arcsin(np.clip((_END + 0.4 * wobble[3]) / reach, 0.1, 0.97))
        stop[10:] = 1.75, 1.2
        head, fall, reach, start, stop, wave = (
            a.astype(np.float32)[:, None] for a in (head, fall, reach, start, stop, wobble[4])
        )
        phi = start + (stop - start) * t
        sine, cosine = np.sin(phi), np.cos(phi)
        s = reach * sine**0.93
        y = head + fall * ((1 - cosine) / 4 + phi / (2 * np.pi)) + 0.05 * wave * np.sin(3 * phi)
        front = np.clip((phi - 1.6) / 0.8, 0, 1)
        run, drop = np.abs(_slope(s)), np.abs(_slope(y))
        flat = np.hypot(reach * cosine, fall * (sine / 4 + 0.16))
        oblique = np.minimum(np.hypot(flat, 0.36 * p.depth * sine) / flat, 2.0)
        oblique[:2] = np.minimum(oblique[:2], 1.5)
        height = (_HEIGHT * (0.84 + 0.08 * (p.sex == "M"))).astype(np.float32)[:, None]
        half = height * (0.42 + 0.58 * run / np.hypot(run, drop)) * (1 + 0.3 * front)
        thick = 0.44 * oblique * (1 - 0.55 * front) * np.clip((1 - t) / 0.12, 0, 1) * np.clip(t / 0.06, 0, 1)
        thick[0] *= 0.75
        x = side * s + frame.axis(y) * cosine**2 * (phi < 1.6)
        strips.append(_ribbon(frame.pixel, x, y, half, thick, 0.3))
    return strips


def _clavicles(frame: Frame, rng: np.random.Generator) -> list[Points]:
    """Sample the collar bones, from the breast bone up and out to the shoulders."""
    p = frame.patient
    t = np.linspace(0, 1, _steps(frame.pixel, 18), dtype=np.float32)[None]
    strips = []
    for _, side in SIDES:
        wobble = rng.normal(size=4).clip(-2, 2).tolist()
        x = side * (1.6 + 15.4 * t) - p.turn * 9
        rise = 2.6 + 0.5 * wobble[0] + 0.9 * p.shoulder
        bow = (0.85 + 0.2 * wobble[2]) * np.sin(6 * t) * (0.4 + 0.6 * t)
        y = -6.1 - 0.25 * wobble[1] - 0.35 * p.shoulder - rise * t + bow
        half = 0.60 + 0.42 * np.exp(-((t / 0.13) ** 2)) + 0.1 * t + np.clip(t - 0.8, 0, 1)
        fade = np.clip(t / 0.04, 0, 1) * np.clip((1 - t) / 0.05, 0, 1)
        strips.append(_ribbon(frame.pixel, x, y, half, 0.85 * fade, 0.3))
    return strips


def _shoulders(frame: Frame, rng: np.random.Generator) -> list[Points]:
    """Sample shoulder blades and upper arms; in a good PA view the blades clear most of the lungs."""
    x, y, volume = _shoulder(_rounded_down(frame.pixel))
    y = y - np.float32(0.9 * frame.patient.shoulder)
    inward = 0.5 * rng.standard_normal(2, dtype=np.float32)
    return [(side * (x + move), y, volume) for (_, side), move in zip(SIDES, inward, strict=True)]


@lru_cache(maxsize=16)
def _shoulder(pixel: float) -> Points:
    parts = []
    for points, half, thick, wall in _STROKES:
        x, y = _along(points, _steps(pixel, float(np.abs(np.diff(np.array(points), axis=0)).sum())))
        solid = thick * np.clip(np.linspace(0.3, 6, x.size), 0, 1)[None]
        parts.append(_ribbon(pixel, x, y, np.full(x.shape, half), solid, wall))
    v = _offsets(_steps(pixel, 4.4))
    v, w = np.meshgrid(v, v)
    chord = (0.8 * np.sqrt(np.maximum(1 - v * v - w * w, 0)) + 0.3) * (v * v + w * w < 1)
    parts.append((18.7 + 2.2 * v.ravel(), 2.2 * w.ravel() - 8.2, chord.ravel() * (4.4 / v.shape[0]) ** 2))
    a, b = np.meshgrid((_offsets(_steps(pixel, 14)) + 1) / 2, (_offsets(_steps(pixel, 5)) + 1) / 2)
    x = 12.2 + (4.9 * b - 0.5 * (1 - b)) * a  # the blade: a thin triangle, tip below
    y = 5.0 - (13.0 * b + 14.4 * (1 - b)) * a
    parts.append((x.ravel(), y.ravel(), (0.16 * 72 * a / a.size).ravel()))
    return _join(parts)


def _spine(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Bone of the vertebral column: bodies with end plates, pedicles, spinous and transverse processes."""
    near = frame.columns(-5, 5)
    y, x = frame.y, frame.x[:, near] - frame.mid
    half = np.interp(y, [-20, -8, 4, 20], [1.25, 1.5, 1.75, 2.2]).astype(np.float32)
    gap = np.interp(y, [-20, -8, 4, 20], [1.75, 2.05, 2.35, 2.75])
    phase = np.cumsum(frame.pixel / gap, axis=0)
    phase = phase - np.interp(0.4 + 0.1 * rng.normal(), y[:, 0], phase[:, 0])
    part = (phase - np.floor(phase)).astype(np.float32)  # 0 is the middle of a body, 0.5 a disc
    clear = np.interp(y, [-11, -5], [0.45, 1]).astype(np.float32)  # seen slantwise in the neck
    disc, plate = clear * _bell((part - 0.5) / 0.11), clear * _bell((np.abs(part - 0.5) - 0.2) / 0.06)
    place = part - np.floor(part + 0.5)
    span = np.abs(x)
    u = span / (half * (1 - 0.08 * np.cos(2 * np.pi * part) ** 2 + 0.1 * plate))
    body = np.sqrt(np.maximum(1 - u * u, 0)) * (0.6 - 0.26 * disc + 0.22 * plate) + 0.2 * _bell(
        (u - 0.95) / 0.08
    )
    pedicle = _bell((span - 0.62 * half) / 0.28) * _bell((place + 0.12) / 0.16)
    process = _bell(x / 0.28) * _bell((place - 0.28) / 0.16)
    wing = (span > half) * np.clip((half + 1.6 - span) / 0.4, 0, 1) * _bell((place + 0.14) / 0.13)
    path = np.zeros(frame.shape, np.float32)
    path[:, near] = body + 0.35 * pedicle + 0.35 * process + 0.15 * wing
    return path


def _bell(u: np.ndarray) -> np.ndarray:
    return np.exp(-(u * u))


def airways(frame: Frame) -> np.ndarray:
    """Path through the air of the windpipe and the two main bronchi."""
    x, y, volume = _airway(_rounded_down(frame.pixel))
    middle = float(frame.axis(np.zeros(1))[0]) - frame.patient.turn * 3
    return frame.splat(x + np.float32(middle), y, volume)


@lru_cache(maxsize=16)
def _airway(pixel: float) -> Points:
    strips = []
    for points, radius in (
        (((0.0, -26.0), (0.05, -14.0), (0.25, -5.0), (0.1, -0.5)), 1.1),
        (((0.1, -0.9), (-1.2, 0.8), (-2.3, 2.4), (-3.2, 4.4)), 0.62),
        (((0.1, -0.9), (1.6, 0.6), (3.2, 1.6), (4.4, 2.6)), 0.55),
    ):
        x, y = _along(points, _steps(pixel, 26 if radius > 1 else 7))
        size, t = np.full(x.shape, radius), np.linspace(0, 1, x.size)
        ends = np.clip((1 - t) / 0.08, 0, 1)  # bronchi open where the windpipe ends
        ends *= 1 if radius > 1 else np.clip(t / 0.3, 0, 1)
        strips.append(_ribbon(pixel, x, y, size, size * ends, 1.0))
    return _join(strips)


def vessels(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Path through the blood of a branching tree in each lung, from the root outwards.

    Both branches of a fork divide the flow, and radii follow Murray's law with exponent 2.7. Pieces that run
    along the ray look short and bright.
    """
    p, parts = frame.patient, []
    side = np.repeat(np.array([-1, 1], np.float32), len(_FIRST_VESSELS))
    angle, radius, length = np.tile(_FIRST_VESSELS, (2, 1)).T.astype(np.float32)
    noise = rng.standard_normal((5, side.size), dtype=np.float32)
    angle = np.deg2rad(angle) + 0.14 * noise[0]
    radius, length = 0.88 * radius * (1 + 0.08 * noise[1]), length * (1 + 0.15 * noise[2])
    x, y = 3.3 + 0.5 * noise[3], 1.2 * np.sin(angle) + 0.5 * noise[4] - 0.6 * side
    for _ in range(_GENERATIONS):
        noise = rng.standard_normal((6, side.size), dtype=np.float32)
        reach = length * np.clip(1 - np.abs(0.35 * noise[0]), 0.35, 1)
        end_x, end_y, thin = x + reach * np.cos(angle), y + reach * np.sin(angle), radius * np.float32(0.84)
        bend = angle + 0.35 * noise[1]
        middle_x, middle_y = x + reach / 2 * np.cos(bend), y + reach / 2 * np.sin(bend)
        px, py, volume = _piece(
            frame.pixel, (x, middle_x, end_x), (y, middle_y, end_y), (radius, thin), length
        )
        parts.append(((side[:, None, None] * px).ravel(), py.ravel(), volume.ravel()))
        fork, part = 0.30 + 0.13 * noise[2], np.clip(0.5 + 0.13 * noise[3], 0.22, 0.78)
        angle = np.concatenate([angle + fork * (1.3 - part), angle - fork * (0.3 + part)])
        radius = np.concatenate([thin * part ** (1 / 2.7), thin * (1 - part) ** (1 / 2.7)])
        length = np.tile(length, 2) * 0.87 * np.clip(1 + 0.2 * noise[4:].ravel(), 0.5, 1.5)
        side, x, y = np.tile(side, 2), np.tile(end_x, 2), np.tile(end_y, 2)
        kept = (x < p.width) & (x > 1.5) & (y < p.dome + 5) & (y > p.apex)
        side, angle, radius, length, x, y = (a[kept] for a in (side, angle, radius, length, x, y))
    return frame.splat(*_join(parts))


def _piece(
    pixel: float, x: tuple[np.ndarray, ...], y: tuple[np.ndarray, ...], radii: tuple, length: np.ndarray
) -> Points:
    """Sample one generation of vessels: bends through three points, tapering, of true volume."""
    wide, thin = (r[:, None] for r in radii)
    run, rise = x[2] - x[0], y[2] - y[0]
    reach = np.maximum(np.hypot(run, rise), 1e-6)
    count = _steps(pixel, 1.3 * float(np.median(reach)))
    t = (np.arange(count, dtype=np.float32) + 0.5) / count
    weight = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t * t])
    line_x, line_y = (sum(np.multiply.outer(at, w) for at, w in zip(c, weight, strict=True)) for c in (x, y))
    r = wide + (thin - wide) * t
    v = _offsets(max(1, round(2 * float(wide.max()) / pixel)))
    chord = np.sqrt(1 - v * v)
    volume = (np.pi * r * r * (length / count)[:, None])[..., None] * (chord / chord.sum())
    px = line_x[..., None] - (rise / reach)[:, None, None] * r[..., None] * v
    py = line_y[..., None] + (run / reach)[:, None, None] * r[..., None] * v
    return px, py, volume
