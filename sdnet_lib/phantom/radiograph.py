"""The synthetic chest radiograph with known truth.

`radiograph` puts a patient together (`anatomy`, `skeleton_and_vessels`), adds `lesions` and takes the picture
(`acquisition`). Everything random starts from the patient's own seed, in separate streams for body, texture,
lesions and exposure: the same seed gives the same bytes in any batch, and the same patient with and without
lesions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sdnet_lib.files import InputError
from sdnet_lib.phantom import acquisition, anatomy, lesions, skeleton_and_vessels
from sdnet_lib.phantom.frame import Frame, texture
from sdnet_lib.phantom.patient import draw_patient

SEVERITY = {"Normal-PCR+": 76, "Mild": 100, "Moderate": 171, "Severe": 79}  # Section 3 of the paper
MIN_SIZE = 64
_DISPLACED = 1.05  # lung that an organ displaces, as a fraction of the organ's depth
_EDGE = 0.8  # cm of heart or great vessels from which the lung behind no longer counts as visible
_BLOOD = 2.0  # vessels stand in for their walls, their sheaths and the bronchi beside them


class Phantom(NamedTuple):
    """A synthetic radiograph and its truth.

    Attributes
    ----------
    image : numpy.ndarray
        float32 in [0, 1], shape (height, width), bone bright.
    lung_mask, lesion_mask : numpy.ndarray
        bool, same shape: the visible lung fields, and the opacities in them.
    parts : tuple of str
        Affected lung parts, as in `sdnet_lib.data.severity.PARTS`.
    label, severity, site, view, sex : str
        As in a cohort.
    age : int
        Years.
    """

    image: np.ndarray
    lung_mask: np.ndarray
    lesion_mask: np.ndarray
    parts: tuple[str, ...]
    label: str
    severity: str
    site: str
    view: str
    sex: str
    age: int


def radiograph(
    seed: int,
    *,
    size: int = 256,
    label: str = "N",
    severity: str = "",
    lesion: str = lesions.GROUND_GLASS,
    site: str = "A",
    sex: str | None = None,
    view: str = "PA",
    shot: int = 0,
) -> Phantom:
    """Make one synthetic chest radiograph.

    Parameters
    ----------
    seed : int
        The patient: the same seed is the same body, whatever the other arguments.
    size : int
        Longest side in pixels; the site's aspect ratio gives the other.
    label, severity : str
        ``N`` or ``P``; a positive's level, drawn in COVIDGR's proportions if empty.
    lesion : str
        Kind of a positive's lesion: one of `lesions.LESIONS`, or `lesions.LOBAR`, which has no level.
    site : str
        ``A`` to ``E``, see `acquisition.SITES`.
    sex : str, optional
        ``F`` or ``M``; drawn if not given.
    view : str
        ``PA`` or ``AP``.
    shot : int
        Another number is another exposure of the same patient, a little differently placed.

    Raises
    ------
    InputError
        An unknown label, severity, lesion, site, sex or view, a severity on a negative or on pneumonia of a
        lobe, or a size under 64.
    """
    _check(size, label=label, severity=severity, lesion=lesion, site=site, sex=sex, view=view)
    body_seed, organ_seed, lesion_seed, shot_seed = np.random.SeedSequence(seed).spawn(4)
    lesion_rng = np.random.default_rng(lesion_seed)
    lobar = label == "P" and lesion == lesions.LOBAR
    if label == "P" and not (severity or lobar):
        severity = str(lesion_rng.choice(list(SEVERITY), p=np.array(list(SEVERITY.values())) / 426))
    patient = draw_patient(np.random.default_rng(body_seed), sex, view)
    place = acquisition.SITES[site]
    shot_rng = np.random.default_rng(shot_seed.spawn(shot + 1)[shot])
    shape = (size, round(size / place.aspect)) if place.aspect >= 1 else (round(size * place.aspect), size)
    frame = Frame(patient, shape, place.field * (1 + 0.02 * float(shot_rng.normal())))
    air, fields, tissue = _chest(frame, np.random.default_rng(organ_seed))
    if lobar:
        extent, lesion_mask, parts = lesions.lobar_pneumonia(frame, fields, lesion_rng)
    else:
        extent, lesion_mask, parts = lesions.opacities(frame, fields, severity, lesion, lesion_rng)
    lung_mask = fields["R"] | fields["L"]
    line = _attenuation(air, extent, **tissue)
    signal = acquisition.detect(frame, line, place, shot_rng)
    grey = acquisition.develop(frame, signal, lung_mask, place)
    return Phantom(
        image=acquisition.stamp(grey, place, shot_rng).astype(np.float32),
        lung_mask=lung_mask,
        lesion_mask=lesion_mask,
        parts=parts,
        label=label,
        severity=severity,
        site=site,
        view=view,
        sex=patient.sex,
        age=patient.age,
    )


def _check(size: int, *, label: str, severity: str, **others: str | None) -> None:
    if size < MIN_SIZE:
        raise InputError(f"size {size}: a phantom has at least {MIN_SIZE} x {MIN_SIZE} pixels")
    known = {
        "label": ("N", "P"),
        "severity": ("", *SEVERITY),
        "lesion": (*lesions.LESIONS, lesions.LOBAR),
        "site": tuple(acquisition.SITES),
        "sex": (None, "F", "M"),
        "view": ("PA", "AP"),
    }
    for what, value in {"label": label, "severity": severity, **others}.items():
        if value not in known[what]:
            raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(map(str, known[what]))}")
    if label == "N" and severity:
        raise InputError(f"severity {severity!r} on a negative: only positives have one")
    if severity and others["lesion"] == lesions.LOBAR:
        raise InputError(f"severity {severity!r} on {lesions.LOBAR}: it is a level of COVID-19")


def _chest(
    frame: Frame, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Put the organs together: path through air, visible lung by side, and paths through other tissue."""
    air, fields = anatomy.lungs(frame)
    organs = np.hypot(anatomy.heart(frame), anatomy.mediastinum(frame))
    air = np.maximum(air - _DISPLACED * organs, 0)
    fields = {side: field & (organs < _EDGE) for side, field in fields.items()}
    bone = skeleton_and_vessels.bones(frame, rng)
    vessels = skeleton_and_vessels.vessels(frame, rng)
    blood = vessels * np.clip(air / 6, 0, 1) + anatomy.hila(frame) * (air > 0)
    gas = skeleton_and_vessels.airways(frame) + anatomy.bowel_gas(frame, rng)
    air *= 1 + 0.022 * texture(frame, rng, 1.2, 4, 0.9)
    grain = 1 + 0.006 * texture(frame, rng, 8, 4, 0.6)
    soft = np.maximum(anatomy.body(frame) - air - gas, 0) * grain
    return air, fields, {"soft": soft, "bone": bone, "blood": blood}


def _attenuation(
    air: np.ndarray, extent: np.ndarray, *, soft: np.ndarray, bone: np.ndarray, blood: np.ndarray
) -> np.ndarray:
    """Add up the attenuation along each ray, with `extent` of the air replaced by fluid."""
    line = acquisition.SOFT * soft + acquisition.LUNG * air + acquisition.BONE * bone
    line += (acquisition.SOFT - acquisition.LUNG) * (_BLOOD * blood + extent * air)
    return line
