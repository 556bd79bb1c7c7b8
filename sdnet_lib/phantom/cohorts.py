"""Cohorts of synthetic radiographs: like COVIDGR, with the faults of pooled public sets, with pneumonia."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import cpu_count, delayed
from tqdm import tqdm

from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import write_picture
from sdnet_lib.data.severity import score
from sdnet_lib.files import InputError, new_folder
from sdnet_lib.phantom.acquisition import SITES
from sdnet_lib.phantom.lesions import GROUND_GLASS, LOBAR
from sdnet_lib.phantom.radiograph import MIN_SIZE, SEVERITY, radiograph
from sdnet_lib.workers import workers as processes

SEX = {"N": {"F": 239, "M": 187}, "P": {"F": 190, "M": 236}}  # Table 3 of the paper


class Mixture(NamedTuple):
    """What the images of a cohort are.

    Attributes
    ----------
    severity : dict of int
        Proportions among the positives.
    sites : dict of tuple
        By label: sites, in equal parts.
    bedside : dict of float
        By label: fraction of AP views.
    second_image : int
        With 6, each sixth image of a label is the second one of a patient; with 0, none is.
    lesion : str
        What positives have, see `radiograph`.
    """

    severity: dict[str, int]
    sites: dict[str, tuple[str, ...]]
    bedside: dict[str, float]
    second_image: int
    lesion: str = GROUND_GLASS


HOMOGENEOUS = Mixture(
    severity=SEVERITY, sites={"P": ("A",), "N": ("A",)}, bedside={"P": 0, "N": 0}, second_image=0
)
BIASED = Mixture(
    severity={"Mild": 10, "Moderate": 30, "Severe": 60},
    sites={"P": ("B", "C", "D"), "N": ("A", "E")},
    bedside={"P": 0.8, "N": 0.05},
    second_image=6,
)
PNEUMONIA = HOMOGENEOUS._replace(severity={"": 1}, lesion=LOBAR)


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
    return _write(plan(n, seed, HOMOGENEOUS), Path(out).absolute(), size, workers)


def biased(
    n: int, seed: int, out: str | Path, *, size: int = 256, workers: int | None = None
) -> pd.DataFrame:
    """Write a cohort with the faults of pooled public sets; arguments, result and errors of `homogeneous`.

    Positives are mostly severe, mostly AP, and come from sites B, C and D; negatives are PA and come from A
    and E. The sites differ in border, marker, words, grey levels, aspect ratio, size and type of file. About
    one patient in five has a second image, so a split must keep patients together.
    """
    return _write(plan(n, seed, BIASED), Path(out).absolute(), size, workers)


def pneumonia(
    n: int, seed: int, out: str | Path, *, size: int = 256, workers: int | None = None
) -> pd.DataFrame:
    """Write a cohort like `homogeneous` whose positives have pneumonia of one lobe; arguments as there.

    For systems with a third class beside COVID-19 and none; see `lesions.lobar_pneumonia`.
    """
    return _write(plan(n, seed, PNEUMONIA), Path(out).absolute(), size, workers)


def plan(n: int, seed: int, mixture: Mixture) -> list[dict[str, object]]:
    """List the images of a cohort in random order.

    Returns
    -------
    list of dict
        `image_id`, and the arguments of `radiograph` but for the size.

    Raises
    ------
    InputError
        `n` under 2.
    """
    if n < 2:
        raise InputError(f"n {n}: a cohort needs at least one negative and one positive image")
    rng = np.random.default_rng([seed, 0])
    rows = []
    for label, total in (("P", n // 2), ("N", n - n // 2)):
        levels = _in_proportion(total, mixture.severity) if label == "P" else [""] * total
        views = ["AP" if i < round(mixture.bedside[label] * total) else "PA" for i in range(total)]
        sites = [mixture.sites[label][i % len(mixture.sites[label])] for i in range(total)]
        sexes = _in_proportion(total, SEX[label])
        columns = (rng.permutation(column).tolist() for column in (levels, sexes, views, sites))
        for i, (severity, sex, view, site) in enumerate(zip(*columns, strict=True)):
            row = {"label": label, "severity": severity, "sex": sex, "view": view, "site": site}
            again = mixture.second_image and i % mixture.second_image == mixture.second_image - 1
            rows.append({**rows[-1], "shot": 1} if again else {**row, "patient": len(rows), "shot": 0})
    for row in rows:
        row["lesion"] = mixture.lesion
        row["seed"] = int(np.random.SeedSequence([seed, row.pop("patient")]).generate_state(1)[0])
    return [rows[i] | {"image_id": f"phantom-{k:04d}"} for k, i in enumerate(rng.permutation(n), start=1)]


def _in_proportion(total: int, weights: dict[str, int]) -> list[str]:
    """Repeat each name in proportion to its weight, `total` in all, by the largest remainder."""
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    count = {name: int(number) for name, number in exact.items()}
    by_rest = sorted(exact, key=lambda name: count[name] - exact[name])
    for name in by_rest[: total - sum(count.values())]:
        count[name] += 1
    return [name for name in weights for _ in range(count[name])]


def _make(folder: Path, size: int, row: dict[str, object]) -> dict[str, object]:
    """Make one image of a plan, write it and its masks, and return its row of the cohort."""
    what = {key: value for key, value in row.items() if key != "image_id"}
    site, name = SITES[row["site"]], row["image_id"]
    made = radiograph(size=max(MIN_SIZE, round(size * site.file_size)), **what)
    files = {
        "file": f"images/{name}{site.suffix}",
        "lung_mask": f"lung_masks/{name}.png",
        "lesion_mask": f"lesion_masks/{name}.png",
    }
    pixels = np.rint(made.image * 255).astype(np.uint8)
    for key, array in zip(files, (pixels, made.lung_mask, made.lesion_mask), strict=True):
        kind = "PNG" if files[key].endswith(".png") else "JPEG"
        write_picture(folder / files[key], array, format=kind, quality=90, compress_level=2)
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
        "rale": score(made.parts),
        "seed": row["seed"],
        "shot": row["shot"],
    }


def _write(planned: list[dict[str, object]], out: Path, size: int, workers: int | None) -> pd.DataFrame:
    """Make the images of a plan and the cohort's table; the folder appears when it is complete."""
    if size < MIN_SIZE:
        raise InputError(f"size {size}: a phantom has at least {MIN_SIZE} x {MIN_SIZE} pixels")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: exists and is not an empty folder; name another one or remove it first")
    workers = workers or min(cpu_count(), len(planned) // 32 + 1)
    with new_folder(out) as part:
        for folder in ("images", "lung_masks", "lesion_masks"):
            (part / folder).mkdir()
        make = delayed(partial(_make, part, size))
        with processes(workers, "generator") as parallel:
            made = parallel(make(row) for row in planned)
            rows = list(tqdm(made, total=len(planned), unit="image", disable=None, delay=2))
        pd.DataFrame(rows).to_csv(part / "cohort.csv", index=False)
    return read_cohort(out, check_files=False)
