"""The synthetic chest radiograph with known truth, and the two cohorts made of it.

`radiograph` puts a patient together (`anatomy`, `tubes`), adds the lesions and takes the picture (`exposure`).
Everything random starts from the patient's own seed, in separate streams for body, texture, lesions and
exposure: the same seed gives the same bytes in any batch, and the same patient with and without lesions.
"""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from sdnet_lib import anatomy, exposure, lesions, rale, tubes
from sdnet_lib.errors import InputError

SEVERITY = {"Normal-PCR+": 76, "Mild": 100, "Moderate": 171, "Severe": 79}  # Section 3 of the paper
SEX = {"N": {"F": 239, "M": 187}, "P": {"F": 190, "M": 236}}  # Table 3 of the paper
MIN_SIZE = 64
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
    exposure_number: int = 0,
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
    exposure_number : int
        Another number is another exposure of the same patient.

    Raises
    ------
    InputError
        An unknown label, severity, site, sex or view, a severity on a negative, or a size under 64.
    """
    _check(size, label, severity, site, sex, view)
    body_seed, texture_seed, lesion_seed, shot_seed = np.random.SeedSequence(seed).spawn(4)
    lesion_rng = np.random.default_rng(lesion_seed)
    shot_rng = np.random.default_rng(
        np.random.SeedSequence(shot_seed.entropy, spawn_key=(*shot_seed.spawn_key, exposure_number))
    )
    habits = exposure.SITES[site]
    patient = anatomy.draw_patient(np.random.default_rng(body_seed), sex, view)
    if label == "P" and not severity:
        severity = str(lesion_rng.choice(list(SEVERITY), p=np.array(list(SEVERITY.values())) / 426))
    tall = habits.aspect >= 1
    shape = (size, round(size / habits.aspect)) if tall else (round(size * habits.aspect), size)
    frame = anatomy.Frame(patient, shape, habits.field * (1 + 0.02 * shot_rng.normal()))
    line, lung, lesion, parts = _attenuation(frame, np.random.default_rng(texture_seed), lesion_rng, severity)
    signal = exposure.detect(frame, line, habits, shot_rng)
    image = exposure.stamp(exposure.develop(frame, signal, lung, habits), habits, shot_rng)
    return Phantom(
        image.astype(np.float32), lung, lesion, parts, label, severity, site, view, patient.sex, patient.age
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
        Processes; as many as there are CPU cores if not given.

    Returns
    -------
    pandas.DataFrame
        The cohort, paths absolute; ``cohort.csv``, ``images/``, ``lung_masks/`` and ``lesion_masks/`` in `out`.

    Raises
    ------
    InputError
        `n` or `size` too small, or `out` not empty.
    """
    return _write(
        _plan(n, seed, SEVERITY, {"P": ("A",), "N": ("A",)}, {"P": 0.0, "N": 0.0}), out, size, workers
    )


def biased(
    n: int, seed: int, out: str | Path, *, size: int = 256, workers: int | None = None
) -> pd.DataFrame:
    """Write a cohort with the faults of pooled public sets; arguments, result and errors of `homogeneous`.

    Positives are mostly severe, mostly AP, and come from sites B, C and D; negatives are PA and come from A
    and E. The sites differ in border, marker, words, grey levels, aspect ratio and file type.
    """
    return _write(_plan(n, seed, _BIASED_SEVERITY, _BIASED_SITES, {"P": 0.8, "N": 0.05}), out, size, workers)


def _check(size: int, label: str, severity: str, site: str, sex: str | None, view: str) -> None:
    if size < MIN_SIZE:
        raise InputError(f"size {size}: a phantom has at least {MIN_SIZE} pixels a side")
    for what, value, known in (
        ("label", label, ("N", "P")),
        ("severity", severity, ("", *SEVERITY)),
        ("site", site, tuple(exposure.SITES)),
        ("sex", sex, (None, "F", "M")),
        ("view", view, ("PA", "AP")),
    ):
        if value not in known:
            raise InputError(f"unknown {what} {value!r}: choose one of {', '.join(map(str, known))}")
    if label == "N" and severity:
        raise InputError(f"severity {severity!r} on a negative: only positives have one")


def _attenuation(
    frame: anatomy.Frame, rng: np.random.Generator, lesion_rng: np.random.Generator, severity: str
):
    whole = anatomy.body(frame)
    air, fields = anatomy.lungs(frame)
    organ = np.hypot(anatomy.heart(frame), anatomy.mediastinum(frame))
    roots = anatomy.hila(frame)
    air = np.maximum(air - 1.05 * organ, 0)
    fields = {side: field & (organ < 0.8) for side, field in fields.items()}
    bone = (
        tubes.ribs(frame, rng)
        + tubes.clavicles(frame, rng)
        + tubes.shoulders(frame, rng)
        + tubes.spine(frame, rng)
    )
    blood = tubes.vessels(frame, rng) * np.clip(air / 6, 0, 1)
    gas = anatomy.bowel_gas(frame, rng)
    air = air * (1 + 0.022 * anatomy.texture(frame, rng, 1.2, 4, 0.9))
    extent, lesion, parts = lesions.opacities(frame, fields, severity, lesion_rng)
    soft = np.maximum(whole - air - tubes.airways(frame) - gas, 0) * (
        1 + 0.006 * anatomy.texture(frame, rng, 8, 4, 0.6)
    )
    line = exposure.SOFT * soft + exposure.LUNG * air + exposure.BONE * bone
    line += (exposure.SOFT - exposure.LUNG) * (2.0 * (blood + roots * (air > 0)) + extent * air)
    return line, fields["R"] | fields["L"], lesion, parts


def _shares(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Share `total` in proportion to `weights` by the largest remainder."""
    exact = {k: total * w / sum(weights.values()) for k, w in weights.items()}
    count = {k: int(v) for k, v in exact.items()}
    for k in sorted(exact, key=lambda k: count[k] - exact[k])[: total - sum(count.values())]:
        count[k] += 1
    return count


def _plan(n, seed, severities, sites, bedside) -> pd.DataFrame:
    if n < 2:
        raise InputError(f"n {n}: a cohort needs at least one negative and one positive image")
    rng = np.random.default_rng([seed, 0])
    rows = []
    for label, total in (("P", n // 2), ("N", n - n // 2)):
        levels = (
            [k for k, c in _shares(total, severities).items() for _ in range(c)]
            if label == "P"
            else [""] * total
        )
        sexes = [k for k, c in _shares(total, SEX[label]).items() for _ in range(c)]
        views = ["AP" if i < round(bedside[label] * total) else "PA" for i in range(total)]
        places = [sites[label][i % len(sites[label])] for i in range(total)]
        rows += zip(
            [label] * total,
            levels,
            rng.permutation(sexes),
            rng.permutation(views),
            rng.permutation(places),
            strict=True,
        )
    plan = pd.DataFrame(rows, columns=["label", "severity", "sex", "view", "site"]).iloc[rng.permutation(n)]
    plan.index = range(n)
    plan["seed"] = [int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in range(n)]
    plan["image_id"] = [f"phantom-{i + 1:04d}" for i in range(n)]
    return plan


def _make(folder: Path, size: int, row: dict) -> dict:
    habits = exposure.SITES[row["site"]]
    made = radiograph(
        row["seed"],
        size=round(size * habits.shrink),
        label=row["label"],
        severity=row["severity"],
        site=row["site"],
        sex=row["sex"],
        view=row["view"],
    )
    file = f"images/{row['image_id']}{habits.suffix}"
    pixels = np.rint(made.image * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / file, quality=90, compress_level=3)
    masks = {}
    for name, mask in (("lung_mask", made.lung_mask), ("lesion_mask", made.lesion_mask)):
        masks[name] = f"{name}s/{row['image_id']}.png"
        Image.fromarray(mask).save(folder / masks[name])
    return {
        "image_id": row["image_id"],
        "file": file,
        "label": made.label,
        "severity": made.severity,
        "patient_id": row["image_id"],
        "source": f"phantom site {made.site}",
        "view": made.view,
        "sex": made.sex,
        "age": made.age,
        "site": made.site,
        "lung_parts": " ".join(made.parts),
        "rale": rale.score(made.parts),
        **masks,
        "seed": row["seed"],
    }


def _write(plan: pd.DataFrame, out: str | Path, size: int, workers: int | None) -> pd.DataFrame:
    from tqdm import tqdm

    out = Path(out).absolute()
    if size < MIN_SIZE:
        raise InputError(f"size {size}: a phantom has at least {MIN_SIZE} pixels a side")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is not an empty folder; name another one or remove it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for folder in ("images", "lung_masks", "lesion_masks"):
            (part / folder).mkdir()
        rows = plan.to_dict("records")
        make = partial(_make, part, size)
        bar = {"total": len(rows), "unit": "image", "disable": None, "delay": 2}
        if workers == 1:
            made = list(tqdm(map(make, rows), **bar))
        else:
            with ProcessPoolExecutor(workers) as pool:
                made = list(tqdm(pool.map(make, rows, chunksize=4), **bar))
        cohort = pd.DataFrame(made)
        cohort.to_csv(part / "cohort.csv", index=False)
        part.chmod(0o755)
        part.replace(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for column in ("file", "lung_mask", "lesion_mask"):
        cohort[column] = [str(out / file) for file in cohort[column]]
    return cohort
