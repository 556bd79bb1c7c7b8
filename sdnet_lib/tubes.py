"""Thin parts of the synthetic chest as swept tubes: ribs, clavicles, shoulder blades, spine, airways, vessels.

Each function returns a path length image in cm (see `anatomy.Frame`). Bones are shells of compact bone around
a spongy core, and come as cm of compact bone.
"""

from __future__ import annotations

import numpy as np

from sdnet_lib.anatomy import SIDES, Frame, lung_borders

_SPONGY = 0.28  # attenuation of spongy bone as a share of compact bone's, above soft tissue


def _offsets(count: int) -> np.ndarray:
    return ((np.arange(count) + 0.5) / count * 2 - 1).astype(np.float32)


def _shell(v: np.ndarray, wall: float) -> np.ndarray:
    """Chord through a hollow round bone at offset `v` (of the radius): wall full, core spongy."""
    whole = np.sqrt(np.maximum(1 - v * v, 0))
    core = np.sqrt(np.maximum((1 - wall) ** 2 - v * v, 0))
    return 2 * (whole - (1 - _SPONGY) * core)


def _ribbon(
    frame: Frame, x: np.ndarray, y: np.ndarray, half: np.ndarray, thick: np.ndarray, wall: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample strips of bone around centre lines.

    Parameters
    ----------
    x, y : numpy.ndarray
        Centre lines, shape (lines, points).
    half, thick : numpy.ndarray
        Half the width across and half the thickness along the ray, broadcast against `x`.
    wall : float
        Wall of compact bone as a share of the radius; 1 is solid.
    """
    dx, dy = np.gradient(x, axis=-1), np.gradient(y, axis=-1)
    length = np.hypot(dx, dy) + 1e-9
    v = _offsets(max(3, int(np.ceil(2 * np.max(half) / (0.7 * frame.pixel)))))
    across = (half[..., None] * v) if np.ndim(half) else half * v
    px = x[..., None] - (dy / length)[..., None] * across
    py = y[..., None] + (dx / length)[..., None] * across
    area = (length * half * 2 / v.size)[..., None]
    return px, py, area * np.broadcast_to(thick, x.shape)[..., None] * _shell(v, wall)


def _steps(frame: Frame, length: float) -> int:
    return int(np.ceil(length / (0.75 * frame.pixel)))


def ribs(frame: Frame, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bone of twelve pairs of ribs, and the cartilage at their front ends."""
    p = frame.patient
    level = np.arange(12)
    head = np.array([-9.4, -7.7, -5.7, -3.6, -1.4, 0.9, 3.2, 5.6, 8.0, 10.4, 12.9, 15.4])
    head = head + (p.apex + 10.8) * np.linspace(0.9, 0.1, 12)
    drop = np.array([2.6, 5.2, 7.4, 9.0, 10.2, 11.0, 11.6, 11.8, 11.0, 9.5, 6.5, 4.0])
    end = np.array([3.6, 4.6, 5.4, 6.0, 6.7, 7.6, 8.8, 10.0, 11.0, 11.8, 12.6, 11.0])
    slope = 0.8 + 0.18 * rng.normal() - 0.15 * (p.dome - 10.2) / 1.5
    bone, cartilage = [], []
    rows = frame.y[:, 0]
    for name, side in SIDES:
        outer = lung_borders(frame)[name][1][:, 0]
        wob = rng.normal(size=(5, 12)).clip(-2, 2)
        fall = drop * slope + 0.35 * wob[0]
        top = head + 0.12 * wob[1] + 0.1 * side
        widest = top + fall * 0.5
        reach = np.interp(widest, rows, outer) + 0.35 + 0.08 * wob[2]
        reach = np.where(level == 0, 5.9, reach)
        reach = np.where(level == 1, np.minimum(reach, 8.6), reach)
        stop = np.pi - np.arcsin(np.clip((end + 0.4 * wob[3]) / reach, 0.1, 0.97))
        stop = np.where(level > 9, [0] * 10 + [1.75, 1.2], stop)
        start = np.arcsin(2.0 / reach)
        t = np.linspace(0, 1, _steps(frame, 34))[None]
        phi = start[:, None] + (stop - start)[:, None] * t
        s = reach[:, None] * np.sin(phi) ** 0.93
        y = top[:, None] + fall[:, None] * ((1 - np.cos(phi)) / 2) + 0.05 * wob[4][:, None] * np.sin(3 * phi)
        ray = 0.5 * p.depth * 0.72 * np.abs(np.sin(phi))
        flat = np.hypot(reach[:, None] * np.cos(phi), fall[:, None] / 2 * np.sin(phi)) + 1e-3
        steep = np.hypot(flat, ray) / flat
        upright = np.abs(np.gradient(s, axis=1)) / np.hypot(np.gradient(s, axis=1), np.gradient(y, axis=1))
        size = np.array([0.62, 0.58, 0.6, 0.62, 0.64, 0.66, 0.68, 0.68, 0.66, 0.64, 0.58, 0.5])[:, None] * (
            0.92 + 0.1 * (p.sex == "M")
        )
        front = np.clip((phi - 1.9) / 1.0, 0, 1)
        half = size * (0.42 + 0.58 * upright) * (1 + 0.25 * front)
        thick = 0.33 * np.minimum(steep, 2.6) * (1 - 0.3 * front)
        x = side * s + frame.axis(y) * np.cos(phi) ** 2 * (phi < 1.6)
        fade = np.clip((1 - t) / 0.05, 0, 1)
        bone.append(_ribbon(frame, x, y, half, thick * fade, 0.42))
    points = [np.concatenate([b[i].ravel() for b in bone]) for i in range(3)]
    return frame.splat(*points), np.float32(0)


def clavicles(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Bone of the collar bones, from the breast bone to the shoulder, and the manubrium."""
    p = frame.patient
    t = np.linspace(0, 1, _steps(frame, 18))
    strips = []
    for _, side in SIDES:
        wob = rng.normal(size=4).clip(-2, 2)
        s = 1.6 + 15.4 * t - side * p.turn * 9
        rise = 2.6 + 0.5 * wob[0] + 0.9 * p.shoulder
        y = (
            -6.1
            - 0.25 * wob[1]
            - 0.35 * p.shoulder
            - rise * t
            + (0.85 + 0.2 * wob[2]) * np.sin(2 * np.pi * t * 0.95) * (0.4 + 0.6 * t)
        )
        half = 0.62 + 0.42 * np.exp(-((t / 0.13) ** 2)) + 0.1 * t + 0.2 * np.clip((t - 0.8) / 0.2, 0, 1)
        fade = np.clip(t / 0.04, 0, 1) * np.clip((1 - t) / 0.05, 0, 1)
        strips.append(_ribbon(frame, side * s[None], y[None], half[None], (0.5 * fade)[None], 0.3))
    points = [np.concatenate([b[i].ravel() for b in strips]) for i in range(3)]
    return frame.splat(*points)


def shoulders(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Bone of shoulder blades and upper arms; in a good PA view the blades clear most of the lungs."""
    p = frame.patient
    lift = -0.9 * p.shoulder
    strips = []
    for _, side in SIDES:
        wob = rng.normal(size=4).clip(-2, 2)
        inward = 0.5 * wob[0]

        def line(
            points: list[tuple[float, float]],
            half: float,
            thick: float,
            wall: float,
            count: int,
            side: float = side,
            inward: float = inward,
        ) -> None:
            at = np.linspace(0, 1, len(points))
            t = np.linspace(0, 1, count)
            xs, ys = np.array(points, float).T
            from scipy.interpolate import PchipInterpolator

            x = side * (PchipInterpolator(at, xs)(t) + inward)
            y = PchipInterpolator(at, ys)(t) + lift
            strips.append(
                _ribbon(frame, x[None], y[None], np.float32(half), np.full((1, count), thick), wall)
            )

        n = _steps(frame, 16)
        line([(17.2, -8.2), (14.6, -4.5), (12.9, 0.5), (12.3, 5.0)], 0.42, 0.3, 0.6, n)  # outer border
        line([(12.4, -9.4), (11.2, -6.0), (11.0, -1.0), (12.1, 5.0)], 0.2, 0.25, 0.9, n)  # inner border
        line(
            [(11.0, -6.2), (14.0, -8.4), (17.5, -10.2), (18.8, -10.2)], 0.55, 0.35, 0.35, n
        )  # spine, acromion
        line([(12.4, -9.2), (14.6, -9.0), (16.2, -8.6)], 0.25, 0.25, 0.8, n)  # upper border
        line([(15.6, -9.0), (16.4, -8.4), (15.2, -7.4)], 0.45, 0.5, 0.4, n)  # coracoid
        line([(17.1, -9.3), (16.8, -8.0), (17.2, -6.8)], 0.45, 0.5, 0.5, n)  # socket
        line([(18.7, -8.3), (20.3, -3), (22.6, 4), (24.5, 11)], 1.15, 1.15, 0.3, n * 2)  # shaft of the arm
        t = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        v, w = np.meshgrid(_offsets(_steps(frame, 4.6)), _offsets(_steps(frame, 4.6)))
        inside = v * v + w * w < 1
        ball = 2.2 * np.sqrt(np.maximum(1 - v * v - w * w, 0)) * 0.5 + 0.3
        area = (4.4 / v.shape[0]) ** 2
        strips.append(
            (side * (18.6 + inward + 2.2 * v[inside]), -8.2 + lift + 2.3 * w[inside], ball[inside] * area)
        )
        a, b = rng.random((2, _steps(frame, 8) * _steps(frame, 14)))
        a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
        corner, ex, ey = np.array([12.2, 5.0]), np.array([4.6, -13.0]), np.array([-0.4, -14.4])
        blade = corner[:, None] + ex[:, None] * a + ey[:, None] * b
        strips.append((side * (blade[0] + inward), blade[1] + lift, np.full(a.size, 0.16 * 33.7 / a.size)))
    points = [np.concatenate([np.ravel(b[i]) for b in strips]) for i in range(3)]
    return frame.splat(*points)


def spine(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Bone of the vertebral column: bodies with end plates, pedicles, spinous and transverse processes."""
    y = frame.y
    x = frame.x - frame.mid
    half = np.interp(y, [-20, -8, 4, 20], [1.25, 1.5, 1.75, 2.2]).astype(np.float32)
    gap = np.interp(y, [-20, -8, 4, 20], [1.75, 2.05, 2.35, 2.75])
    phase = np.cumsum(frame.pixel / gap, axis=0)
    phase = phase - np.interp(0.4, y[:, 0], phase[:, 0]) + rng.normal() * 0.05
    part = (phase - np.floor(phase)).astype(np.float32)
    disc = np.exp(-(((part - 0.5) / 0.11) ** 2))
    plate = np.exp(-(((np.abs(part - 0.5) - 0.2) / 0.06) ** 2))
    u = np.abs(x) / (half * (1 - 0.1 * np.cos(2 * np.pi * part) ** 2 + 0.12 * plate))
    u2 = u * u
    solid = np.sqrt(np.maximum(1 - u2 * u2, 0))
    column = solid * (0.95 - 0.5 * disc + 0.35 * plate) + 0.25 * np.exp(-(((u - 0.95) / 0.08) ** 2))
    place = part - np.floor(part + 0.5)
    pedicle = np.exp(-(((np.abs(x) - 0.62 * half) / 0.28) ** 2) - ((place + 0.12) / 0.16) ** 2)
    process = np.exp(-((x / 0.28) ** 2) - ((place - 0.28) / 0.16) ** 2)
    wing = smooth_box((np.abs(x) - half) / 1.6) * np.exp(-(((place + 0.14) / 0.13) ** 2))
    return column + 0.45 * pedicle + 0.5 * process + 0.35 * wing


def smooth_box(u: np.ndarray) -> np.ndarray:
    """1 from 0 to about 0.8, fading to 0 at 1."""
    return (u > 0) * np.clip((1 - u) / 0.2, 0, 1)


def airways(frame: Frame) -> np.ndarray:
    """Path through the air of the windpipe and the two main bronchi."""
    strips = []
    mid = frame.axis(np.zeros(1))[0] - frame.patient.turn * 3
    for points, radius in (
        ([(0.0, -26.0), (0.05, -14.0), (0.25, -5.0), (0.1, -0.5)], 0.92),
        ([(0.0, -1.2), (-1.2, 0.8), (-2.3, 2.4), (-3.2, 4.4)], 0.62),
        ([(0.2, -1.0), (1.6, 0.6), (3.2, 1.6), (4.4, 2.6)], 0.55),
    ):
        t = np.linspace(0, 1, _steps(frame, 26))
        from scipy.interpolate import PchipInterpolator

        at = np.linspace(0, 1, len(points))
        xs, ys = np.array(points).T
        x, y = PchipInterpolator(at, xs)(t) + mid, PchipInterpolator(at, ys)(t)
        strips.append(_ribbon(frame, x[None], y[None], np.float32(radius), np.full((1, t.size), radius), 1.0))
    points = [np.concatenate([b[i].ravel() for b in strips]) for i in range(3)]
    return frame.splat(*points)


def vessels(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Path through the blood of two branching trees, from the hila outwards, thinning by Murray's law."""
    p = frame.patient
    xs, ys, volumes = [], [], []
    for _, side in SIDES:
        high = -0.6 if side > 0 else 0.6
        trunks = np.array(  # angle (0 outwards, positive down) in degrees, radius, length
            [
                (-80, 0.34, 2.4),
                (-58, 0.36, 2.5),
                (-35, 0.28, 2.3),
                (-8, 0.26, 2.2),
                (18, 0.30, 2.4),
                (40, 0.36, 2.7),
                (58, 0.45, 3.0),
                (72, 0.52, 3.2),
                (84, 0.40, 3.0),
                (-70, 0.25, 2.3),
                (28, 0.24, 2.4),
                (65, 0.3, 2.6),
            ]
        )
        n = len(trunks)
        angle = np.deg2rad(trunks[:, 0] + 8 * rng.normal(size=n))
        radius = trunks[:, 1] * (0.78 + 0.08 * rng.normal(size=n))
        length = trunks[:, 2] * (1 + 0.15 * rng.normal(size=n))
        x = 3.0 + 0.4 * rng.normal(size=n)
        y = high + 1.3 * np.sin(angle) + 0.3 * rng.normal(size=n)
        for _ in range(8):
            bend = angle + 0.35 * rng.normal(size=angle.size)
            fore = np.clip(1 - np.abs(0.35 * rng.normal(size=angle.size)), 0.35, 1)
            reach = length * fore
            mx, my = x + reach / 2 * np.cos(bend), y + reach / 2 * np.sin(bend)
            ex, ey = x + reach * np.cos(angle), y + reach * np.sin(angle)
            thin = radius * 0.82
            t = np.linspace(0, 1, max(3, _steps(frame, float(reach.max()))), endpoint=False)
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
            sx = x[:, None] * a + mx[:, None] * b + ex[:, None] * c
            sy = y[:, None] * a + my[:, None] * b + ey[:, None] * c
            r = radius[:, None] + (thin - radius)[:, None] * t
            m = max(1, int(np.ceil(2 * radius.max() / (0.75 * frame.pixel))))
            v = _offsets(m)
            chord = np.sqrt(1 - v * v)
            dirx, diry = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
            xs.append((side * (sx[..., None] - diry * r[..., None] * v)).ravel())
            ys.append((sy[..., None] + dirx * r[..., None] * v).ravel())
            slab = np.pi * r**2 * (length / t.size)[:, None]
            volumes.append((slab[..., None] * (chord / chord.sum())).ravel())
            split = 0.32 + 0.14 * rng.normal(size=angle.size)
            share = np.clip(0.5 + 0.12 * rng.normal(size=angle.size), 0.25, 0.75)
            angle = np.concatenate([angle + split * (1.3 - share), angle - split * (0.3 + share)])
            radius = np.concatenate([thin * share ** (1 / 2.7), thin * (1 - share) ** (1 / 2.7)])
            length = np.tile(length, 2) * 0.83 * np.clip(1 + 0.2 * rng.normal(size=angle.size), 0.5, 1.5)
            x, y = np.tile(ex, 2), np.tile(ey, 2)
            keep = (x < p.width + 1) & (x > 1) & (y < p.dome + 7) & (y > p.apex - 0.5)
            angle, radius, length, x, y = (q[keep] for q in (angle, radius, length, x, y))
    return frame.splat(np.concatenate(xs), np.concatenate(ys), np.concatenate(volumes))
