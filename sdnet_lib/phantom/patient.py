"""What makes one chest differ from the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patient:
    """The traits of a patient; lengths in cm, angles in radians.

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
        Rotation about the long axis: what lies in front moves this fraction of its depth to the left.
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
