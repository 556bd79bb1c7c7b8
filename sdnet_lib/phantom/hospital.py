"""A simulated hospital: studies, RT-PCRs and readings as untidy as real ones, and the truth behind them.

It stands in for the archive that COVIDGR was drawn from, which nobody outside can see. Its numbers are our
choice, not measurements; what matters is that everything that can go wrong does, and that the truth is known.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from sdnet_lib.data import severity
from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.data.images import resize, write_gray
from sdnet_lib.files import InputError
from sdnet_lib.phantom import lesions
from sdnet_lib.phantom.radiograph import radiograph

SITES = {"Room 1": "A", "Room 2": "B", "Bedside": "C", "Other hospital": "D"}
# How likely each of `severity.LEVELS` is, by infection. The sickest of the infected lie in bed and are not
# released; those who are not infected may have opacities of other diseases.
LEVEL_PROBABILITIES = {True: [0.17, 0.18, 0.37, 0.28], False: [0.85, 0.08, 0.05, 0.02]}
FEMALE_FRACTION = {True: 0.45, False: 0.56}  # Table 3: 190 of 426 positives, 239 of 426 negatives
BEDSIDE_PROBABILITY = {"Normal": 0.2, "Mild": 0.3, "Moderate": 0.5, "Severe": 0.7}
PART_WEIGHTS = np.tile([1, 2, 4, 4], 2) / 22  # the bases are affected more often than the apices


class Hospital(NamedTuple):
    """Three tables for `sdnet_lib.data.release`, and what no hospital has: the truth, one row per study."""

    studies: pd.DataFrame
    pcr: pd.DataFrame
    readings: pd.DataFrame
    truth: pd.DataFrame


def simulate(patients: int = 600, seed: int = 0) -> Hospital:
    """Simulate the records of one spring.

    A patient's records depend on `seed` and the patient's number only: more patients change nothing in them.

    Returns
    -------
    Hospital
        The tables of `sdnet_lib.data.release` (the studies without ``picture``, the readings with ``parts``
        too) and the truth: ``study_id, infected`` (on the day of the X-ray), ``level, parts, sex, view, site,
        picture_seed, copy`` ("", "same file" or "re-export").
    """
    exposures: list[dict] = []
    tests: list[dict] = []
    readings: list[dict] = []
    for number in range(patients):
        rng = np.random.default_rng([seed, number])
        person = _person(number, rng)
        tests += _tests(person, rng)
        for place, exposure in enumerate(_exposures(person, rng)):
            row = exposure | {"study_id": f"S{number:05d}{'abcdefgh'[place]}", "copy": ""}
            row |= {
                "picture_seed": int(rng.integers(2**31)),
                "true_sex": row["sex"],
                "true_view": row["view"],
            }
            rows = [row, _copy(row, number, rng)] if rng.random() < 0.06 else [row]
            for each in rows:
                readings += _readings(each, rng)
                exposures.append(_with_gap(each, rng))
    table = pd.DataFrame(exposures)
    studies = ["study_id", "patient_id", "sex", "machine", "view", "taken"]
    truth = [
        "study_id",
        "infected",
        "level",
        "parts",
        "true_sex",
        "true_view",
        "site",
        "picture_seed",
        "copy",
    ]
    truth = table[truth].rename(columns={"true_sex": "sex", "true_view": "view"})
    return Hospital(table[studies], pd.DataFrame(tests), pd.DataFrame(readings), truth)


def draw(truth: pd.DataFrame, studies: Iterable[str], size: int) -> list[np.ndarray]:
    """Render the pictures of some studies, `size` pixels on their longest side.

    Each exposure is a body of its own: two X-rays of a patient differ in more than the phantom's breath.

    Parameters
    ----------
    truth : DataFrame
        Of `simulate`.
    studies : iterable of str
        Which ``study_id``, and in which order; frontal views only.
    size : int

    Raises
    ------
    InputError
        An unknown or a lateral study.
    """
    known = truth.set_index("study_id", drop=False)
    rows = []
    for name in studies:
        if name not in known.index or known.at[name, "view"] == "LATERAL":
            raise InputError(f"study {name!r} is not a frontal study of this hospital")
        rows.append(known.loc[name].to_dict())
    return [_picture(row, size) for row in tqdm(rows, unit="image", disable=None, delay=2)]


def write_release(cohort: pd.DataFrame, truth: pd.DataFrame, folder: str | Path, size: int) -> pd.DataFrame:
    """Render a release into ``folder/images``, write ``folder/cohort.csv`` and return the cohort."""
    folder = Path(folder).absolute()
    cohort = cohort.assign(file=[str(folder / "images" / f"{name}.png") for name in cohort["image_id"]])
    for file, image in zip(cohort["file"], draw(truth, cohort["image_id"], size), strict=True):
        write_gray(file, image)
    write_cohort(cohort, folder)
    return cohort


def wrong_labels(cohort: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Return the fraction of a release whose label is not the patient's true state on that day."""
    infected = cohort["image_id"].map(truth.set_index("study_id")["infected"])
    return float(((cohort["label"] == "P") != infected).mean())


def _picture(row: dict, size: int) -> np.ndarray:
    seed = row["picture_seed"]
    made = radiograph(seed, size=size, site=row["site"], sex=row["sex"], view=row["view"])
    image = severity.place_opacities(made.image, made.lung_mask, row["parts"], seed)
    return _re_export(image) if row["copy"] == "re-export" else image


def _re_export(image: np.ndarray) -> np.ndarray:
    """Do what a viewer's "save as" does: three quarters of the size, a little brighter, lossy compression."""
    smaller = resize(image, (image.shape[0] * 3 // 4, image.shape[1] * 3 // 4)).clip(0, 1) ** 0.9
    stream = io.BytesIO()
    Image.fromarray(np.rint(smaller * 255).astype(np.uint8)).save(stream, "JPEG", quality=70)
    return np.asarray(Image.open(stream), np.float32) / 255


def _person(number: int, rng: np.random.Generator) -> dict:
    infected = bool(rng.random() < 0.5)
    return {
        "patient_id": f"H{number:05d}",
        "sex": "F" if rng.random() < FEMALE_FRACTION[infected] else "M",
        "infected": infected,
        "level": str(rng.choice(severity.LEVELS, p=LEVEL_PROBABILITIES[infected])),
        "admitted": pd.Timestamp("2020-03-01") + _hours(rng.uniform(0, 90 * 24)),
    }


def _exposures(person: dict, rng: np.random.Generator) -> list[dict]:
    """Draw the X-rays of a patient: an old one, those of the admission, and some after recovery."""
    rows = []
    if rng.random() < 0.2:
        rows.append(_exposure(person, -rng.uniform(30, 900), rng, infected=False, level="Normal"))
    if person["infected"] and rng.random() < 0.15:
        rows.append(_exposure(person, -rng.uniform(0.3, 2), rng, machine="Other hospital"))
    rows.append(_exposure(person, 0, rng))
    if rows[-1]["view"] == "PA" and rng.random() < 0.3:
        rows.append(rows[-1] | {"view": "LATERAL", "taken": rows[-1]["taken"] + _hours(0.05)})
    if rng.random() < 0.08:  # taken again on the same day
        rows.append(_exposure(person, rng.uniform(0.01, 0.3), rng))
    if person["infected"]:
        for _ in range(rng.integers(0, 3)):
            rows.append(_exposure(person, rng.uniform(2, 12), rng))
        if rng.random() < 0.35:
            level = str(rng.choice(["Normal", "Mild"], p=[0.8, 0.2]))
            rows.append(_exposure(person, rng.uniform(25, 60), rng, infected=False, level=level))
    return rows


def _exposure(
    person: dict,
    day: float,
    rng: np.random.Generator,
    *,
    infected: bool | None = None,
    level: str | None = None,
    machine: str | None = None,
) -> dict:
    """Draw one frontal X-ray: in bed it is AP, and the sicker lie in bed, as do the infected, kept apart."""
    infected, level = person["infected"] if infected is None else infected, level or person["level"]
    in_bed = rng.random() < BEDSIDE_PROBABILITY[level] * (1.0 if infected else 0.25)
    if machine is None:
        machine = "Bedside" if in_bed else str(rng.choice(["Room 1", "Room 2"], p=[0.85, 0.15]))
    count = rng.integers(*lesions.AFFECTED[level], endpoint=True)
    parts = rng.choice(severity.PARTS, count, replace=False, p=PART_WEIGHTS)
    return {
        **{name: person[name] for name in ("patient_id", "sex")},
        "machine": machine,
        "view": "AP" if in_bed else "PA",
        "taken": (person["admitted"] + _hours(24 * day)).floor("min"),
        "infected": infected,
        "level": level,
        "parts": " ".join(sorted(parts, key=severity.PARTS.index)),
        "site": SITES[machine],
    }


def _tests(person: dict, rng: np.random.Generator) -> list[dict]:
    """Draw RT-PCRs: one near admission that may miss the virus, repeats, and one at discharge."""
    if rng.random() < 0.06:
        return []
    before = rng.random() < 0.15  # tested days before, by the family doctor
    delays = [-rng.uniform(30, 140) if before else rng.normal(2, 6)]
    sensitivities = [0.86]
    if person["infected"] and rng.random() < 0.3:
        delays.append(delays[0] + rng.uniform(28, 72))
        sensitivities.append(0.92)
    if person["infected"] and rng.random() < 0.6:
        delays.append(24 * rng.uniform(14, 30))
        sensitivities.append(0.1)
    rows = []
    for delay, sensitivity in zip(delays, sensitivities, strict=True):
        positive = rng.random() < (sensitivity if person["infected"] else 0.003)
        result = rng.choice(
            ["positive" if positive else "negative", "inconclusive", None], p=[0.95, 0.03, 0.02]
        )
        sampled = (person["admitted"] + _hours(delay)).floor("min")
        reported = sampled + _hours(rng.gamma(4, 4)).floor("min")
        rows.append(
            {"patient_id": person["patient_id"], "sampled": sampled, "reported": reported, "result": result}
        )
    return rows


def _readings(row: dict, rng: np.random.Generator) -> list[dict]:
    """Draw two independent readings and, in most cases where their levels differ, a third that decides."""
    if row["view"] == "LATERAL":
        return []
    late = 24.0 if rng.random() < 0.04 else 0.0
    readings = [_reading(row, "reader A", late + rng.exponential(2), 0.1, rng)]
    if rng.random() < 0.95:
        readings.append(_reading(row, "reader B", late + rng.exponential(4), 0.1, rng))
    levels = {severity.severity(reading["score"]) for reading in readings if reading["score"] is not None}
    if len(levels) > 1 and rng.random() < 0.85:
        after = max(reading["read_at"] for reading in readings) - row["taken"]
        hours = after / _hours(1) + rng.exponential(3)
        readings.append(_reading(row, "senior reader", hours, 0.03, rng))
    return readings


def _reading(row: dict, reader: str, hours: float, miss: float, rng: np.random.Generator) -> dict:
    """Read one X-ray: affected parts are missed with probability `miss`, sound ones marked with a fifth."""
    truth = np.isin(severity.PARTS, row["parts"].split())
    seen = np.where(truth, rng.random(8) >= miss, rng.random(8) < miss / 5)
    blank = rng.random() < 0.01
    return {
        "study_id": row["study_id"],
        "reader": reader,
        "read_at": (row["taken"] + _hours(hours)).floor("min"),
        "parts": "" if blank else " ".join(np.array(severity.PARTS)[seen]),
        "score": None if blank else int(seen.sum()),
    }


def _copy(row: dict, number: int, rng: np.random.Generator) -> dict:
    """Store a picture once more: as the same file or re-exported, now and then under the patient before."""
    copy = row | {
        "study_id": row["study_id"] + "-copy",
        "taken": row["taken"] + _hours(rng.uniform(0, 1)).floor("min"),
        "copy": str(rng.choice(["same file", "re-export"])),
    }
    if rng.random() < 0.15:
        copy["patient_id"] = f"H{max(number - 1, 0):05d}"
    return copy


def _with_gap(row: dict, rng: np.random.Generator) -> dict:
    """Lose one entry of every thirtieth record."""
    if rng.random() < 1 / 30:
        return row | {str(rng.choice(["sex", "machine", "view", "taken"])): None}
    return row


def _hours(number: float) -> pd.Timedelta:
    return pd.Timedelta(hours=float(number))
