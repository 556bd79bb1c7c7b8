"""The synthetic chest radiograph with known truth, and the two cohorts made of it.

`radiograph` puts a patient together (`anatomy`, `tubes`), adds `lesions` and takes the picture (`exposure`).
Everything random starts from the patient's own seed, in separate streams for body, texture, lesions and
exposure: the same seed gives the same bytes in any batch, and the same patient with and without lesions.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from PIL import Image
from tqdm import tqdm

from sdnet_lib.data import severity as rale
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.files import InputError
from sdnet_lib.phantom import acquisition, anatomy, lesions, skeleton_and_vessels

SEVERITY = {"Normal-PCR+": 76, "Mild": 100, "Moderate": 171, "Severe": 79}  # Section 3 of the paper
SEX = {"N": {"F": 239, "M": 187}, "P": {"F": 190, "M": 236}}  # Table 3 of the paper
MIN_SIZE = 64
_CROWD = 1.05  # lung that an organ displaces, as a share of the organ's depth
_EDGE = 0.8  # cm of heart or great vessels from which the lung behind no longer counts as visible
_BLOOD = 2.0  # vessels stand in for their walls, their sheaths and the bronchi beside them
_ONE_SITE = {"P": ("A",), "N": ("A",)}
_BIASED_SEVERITY = {"Mild": 10, "Moderate": 30, "Severe": 60}
_BIASED_SITES = {"P": ("B", "C", "D"), "N": ("A", "E")}


class Phantom(NamedTuple):
    """A synthetic radiograph and its truth.

    Attributes
    ----------
    image : numpy.ndarray
        float32 in [0, 1], shape (height, width), bone bright.
    lung_mask, lesion_mask : numpy.ndarray
        bool, same shape: the visible lung fields, and the opacities in them.
    parts : tuple of str
        Affected lung parts, as in `rale.PARTS`.
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
    site : str
        ``A`` to ``E``, see `exposure.SITES`.
    sex : str, optional
        ``F`` or ``M``; drawn if not given.
    view : str
        ``PA`` or ``AP``.
    shot : int
        Another number is another exposure of the same patient, a little differently placed.

    Raises
    ------
    InputError
        An unknown label, severity, site, sex or view, a severity on a negative, or a size under 64.
    """
    _check(size, label, severity, site, sex, view)
    body_seed, organ_seed, lesion_seed, shot_seed = np.random.SeedSequence(seed).spawn(4)
    lesion_rng = np.random.default_rng(lesion_seed)
    if label == "P" and not severity:
        severity = str(lesion_rng.choice(list(SEVERITY), p=np.array(list(SEVERITY.values())) / 426))
    patient = anatomy.draw_patient(np.random.default_rng(body_seed), sex, view)
    habits = acquisition.SITES[site]
    shot_rng = np.random.default_rng(shot_seed.spawn(shot + 1)[shot])
    shape = (size, round(size / habits.aspect)) if habits.aspect >= 1 else (round(size * habits.aspect), size)
    frame = anatomy.Frame(patient, shape, habits.field * (1 + 0.02 * float(shot_rng.normal())))
    line, fields, lesion, parts = _attenuation(frame, np.random.default_rng(organ_seed), severity, lesion_rng)
    lung = fields["R"] | fields["L"]
    signal = acquisition.detect(frame, line, habits, shot_rng)
    image = acquisition.stamp(acquisition.develop(frame, signal, lung, habits), habits, shot_rng)
    return Phantom(
        image.astype(np.float32),
        lung,
        lesion,
        parts,
        label,
        severity,
        site,
        view,
        patient.sex,
        patient.age,
    )


def homogeneous(
    n: int, seed: int, out: str | Path, *, size: int = 256, workers: int | None = None
) -> pd.DataFrame:
    """Write a cohort like COVIDGR-1.0: one site, PA, half positive, the paper's severities and sexes.

    Parameters
    ----------
    n : int
        Images, at least 2; n // 2 are positive.
    seed : int
        The cohort; images of a seed do not depend on `workers`.
    out : str or Path
        Folder to make; refused if it exists and is not empty.
    size : int
        Longest side in pixels, at least 64.
    workers : int, optional
        Processes; if not given, one for each CPU core but no more than one for 32 images.

    Returns
    -------
    pandas.DataFrame
        The cohort, paths absolute; on disk ``cohort.csv`` with ``images``, ``lung_masks``, ``lesion_masks``.

    Raises
    ------
    InputError
        `n` or `size` too small, or `out` not an empty or new folder.
    """
    return _write(_plan(n, seed, SEVERITY, _ONE_SITE, {"P": 0, "N": 0}, twice=0), out, size, workers)


def biased(
    n: int, seed: int, out: str | Path, *, size: int = 256, workers: int | None = None
) -> pd.DataFrame:
    """Write a cohort with the faults of pooled public sets; arguments, result and errors of `homogeneous`.

    Positives are mostly severe, mostly AP, and come from sites B, C and D; negatives are PA and come from A
    and E. The sites differ in border, marker, words, grey levels, aspect ratio, size and type of file. About
    one patient in five has a second image, so a split must keep patients together.
    """
    return _write(
        _plan(n, seed, _BIASED_SEVERITY, _BIASED_SITES, {"P": 0.8, "N": 0.05}, twice=6), out, size, workers
    )


def _check(size: int, label: str, severity: str, site: str, sex: str | None, view: str) -> None:
    if size < MIN_SIZE:
        raise InputError(f"size {size}: a phantom has at least {MIN_SIZE} pixels a side")
    for what, value, known in (
        ("label", label, ("N", "P")),
        ("severity", severity, ("", *SEVERITY)),
        ("site", site, tuple(acquisition.SITES)),
        ("sex", sex, (None, "F", "M")),
        ("view", view, ("PA", "AP")),
    ):
        if value not in known:
            raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(map(str, known))}")
    if label == "N" and severity:
        raise InputError(f"severity {severity!r} on a negative: only positives have one")


def _attenuation(
    frame: anatomy.Frame, rng: np.random.Generator, severity: str, lesion_rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, tuple[str, ...]]:
    """Add up the attenuation along each ray; return it with visible lung by side, lesion mask and parts."""
    air, fields = anatomy.lungs(frame)
    organs = np.hypot(anatomy.heart(frame), anatomy.mediastinum(frame))
    air = np.maximum(air - _CROWD * organs, 0)
    fields = {side: field & (organs < _EDGE) for side, field in fields.items()}
    bone = skeleton_and_vessels.bones(frame, rng)
    blood = skeleton_and_vessels.vessels(frame, rng) * np.clip(air / 6, 0, 1) + anatomy.hila(frame) * (
        air > 0
    )
    gas = skeleton_and_vessels.airways(frame) + anatomy.bowel_gas(frame, rng)
    air *= 1 + 0.022 * anatomy.texture(frame, rng, 1.2, 4, 0.9)
    grain = 1 + 0.006 * anatomy.texture(frame, rng, 8, 4, 0.6)
    soft = np.maximum(anatomy.body(frame) - air - gas, 0) * grain
    extent, lesion, parts = lesions.opacities(frame, fields, severity, lesion_rng)
    line = acquisition.SOFT * soft + acquisition.LUNG * air + acquisition.BONE * bone
    line += (acquisition.SOFT - acquisition.LUNG) * (_BLOOD * blood + extent * air)
    return line, fields, lesion, parts


def _shares(total: int, weights: dict[str, int]) -> list[str]:
    """Repeat each name in proportion to its weight, `total` in all, by the largest remainder."""
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    count = {name: int(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: count[name] - exact[name])
    for name in by_rest[: total - sum(count.values())]:
        count[name] += 1
    return [name for name in weights for _ in range(count[name])]


def _plan(
    n: int, seed: int, severities: dict, sites: dict, bedside: dict, twice: int
) -> list[dict[str, object]]:
    """Say what each image shall be, in random order; with `twice`, each `twice`-th image is a second one."""
    if n < 2:
        raise InputError(f"n {n}: a cohort needs at least one negative and one positive image")
    rng = np.random.default_rng([seed, 0])
    rows = []
    for label, total in (("P", n // 2), ("N", n - n // 2)):
        levels = _shares(total, severities) if label == "P" else [""] * total
        views = ["AP" if i < round(bedside[label] * total) else "PA" for i in range(total)]
        places = [sites[label][i % len(sites[label])] for i in range(total)]
        columns = (rng.permutation(c).tolist() for c in (levels, _shares(total, SEX[label]), views, places))
        for i, (severity, sex, view, site) in enumerate(zip(*columns, strict=True)):
            row = {"label": label, "severity": severity, "sex": sex, "view": view, "site": site}
            again = twice and i % twice == twice - 1
            rows.append({**rows[-1], "shot": 1} if again else {**row, "patient": len(rows), "shot": 0})
    for row in rows:
        row["seed"] = int(np.random.SeedSequence([seed, row.pop("patient")]).generate_state(1)[0])
    return [rows[i] | {"image_id": f"phantom-{k:04d}"} for k, i in enumerate(rng.permutation(n), start=1)]


def _make(folder: Path, size: int, row: dict[str, object]) -> dict[str, object]:
    """Make one image of a plan, write it and its masks, and return its row of the cohort."""
    what = {key: row[key] for key in ("seed", "label", "severity", "site", "sex", "view", "shot")}
    habits = acquisition.SITES[row["site"]]
    made = radiograph(size=max(MIN_SIZE, round(size * habits.shrink)), **what)
    name = row["image_id"]
    files = {
        "file": f"images/{name}{habits.suffix}",
        "lung_mask": f"lung_masks/{name}.png",
        "lesion_mask": f"lesion_masks/{name}.png",
    }
    pixels = np.rint(made.image * 255).astype(np.uint8)
    for key, array in zip(files, (pixels, made.lung_mask, made.lesion_mask), strict=True):
        Image.fromarray(array).save(folder / files[key], quality=90, compress_level=2)
    return {
        "image_id": name,
        **files,
        "label": made.label,
        "severity": made.severity,
        "patient_id": f"patient-{row['seed']:010d}",
        "source": "phantom",
        "view": made.view,
        "site": made.site,
        "sex": made.sex,
        "age": made.age,
        "lung_parts": " ".join(made.parts),
        "rale": rale.score(made.parts),
        "seed": row["seed"],
        "shot": row["shot"],
    }


def _make_all(
    plan: list[dict[str, object]], make: Callable[[dict[str, object]], dict[str, object]], workers: int
) -> list[dict[str, object]]:
    try:
        made = Parallel(workers, return_as="generator")(delayed(make)(row) for row in plan)
        return list(tqdm(made, total=len(plan), unit="image", disable=None, delay=2))
    finally:
        if workers > 1:  # joblib would keep them for minutes, after Ctrl-C too
            get_reusable_executor(kill_workers=True).shutdown(kill_workers=True)


def _write(plan: list[dict[str, object]], out: str | Path, size: int, workers: int | None) -> pd.DataFrame:
    """Make a cohort's folder beside its place and move it there when it is complete."""
    out = Path(out).absolute()
    if size < MIN_SIZE:
        raise InputError(f"size {size}: a phantom has at least {MIN_SIZE} pixels a side")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: exists and is not an empty folder; name another one or remove it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for folder in ("images", "lung_masks", "lesion_masks"):
            (part / folder).mkdir()
        rows = _make_all(plan, partial(_make, part, size), workers or min(cpu_count(), len(plan) // 32 + 1))
        pd.DataFrame(rows).to_csv(part / "cohort.csv", index=False)
        part.chmod(0o755)
        part.replace(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return read_cohort(out, check_files=False)
