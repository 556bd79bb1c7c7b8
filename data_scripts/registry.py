"""Cohorts by name, CSV file or folder; public data sets listed, fetched and checked.

`load_cohort` turns what lies in the data folder into a cohort; `get` fetches the
original into the same layout, so a local copy and a fetched one are read alike. What a program may not fetch
is read in its publisher's layout, from a copy that the reader brings; `get` says how to come by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from data_scripts import synthetic
from data_scripts.common import DataSet
from data_scripts.covidgr import read_layout
from sdnet_lib.checksums import FOLDER, Damaged, beside, read_seal
from sdnet_lib.config import cache_dir
from sdnet_lib.data.cohort import CohortError, check_cohort, fingerprint, read_cohort
from sdnet_lib.data.images import read_gray, read_mask
from sdnet_lib.files import InputError

MODULES = (  # a new set is a file with `DATA_SETS`, and its line here
    "covidgr",
    "cxr_collection",
    "chestxray8",
    "darkcovidnet",
    "actualmed",
    "figure1",
    "rsna_pneumonia",
    "chestxray8_full",
    "mimic_cxr",
    "padchest",
    "lung_segmentation",
    "nlm_tuberculosis",
    "covidx",
    "covidx_mini",
)
PUBLIC: dict[str, DataSet] = {
    data_set.name: data_set
    for module in MODULES
    for data_set in import_module(f"data_scripts.{module}").DATA_SETS
}
SYNTHETIC = {
    "phantom": "synthetic radiographs with known truth: one hospital",
    "phantom-biased": "synthetic, known truth: positives mostly severe, from other sites than negatives",
    "phantom-pneumonia": "synthetic, known truth: positives have pneumonia of one lobe, not COVID-19",
}


class Row(NamedTuple):
    """One line of `sdnet data list`."""

    name: str
    what: str
    images: str
    labels: str
    size: str
    source: str
    licence: str
    where: str


def names() -> list[str]:
    """Return the registered names, the synthetic ones first."""
    return [*SYNTHETIC, *PUBLIC]


def load_cohort(
    source: str | Path,
    *,
    data: str | Path | None = None,
    profile: str = "quick",
    seed: int = 0,
    check_files: bool = True,
    labels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Load a cohort and check it.

    Parameters
    ----------
    source : str or pathlib.Path
        One of `names` (write ``./name`` for a folder of the same name), a CSV file, a folder with
        ``cohort.csv``, or a folder in COVIDGR's layout: ``N/``, ``P/`` and ``severity.csv``.
    data : str or pathlib.Path, optional
        The folder that holds the public data sets, by default ``data`` in the cache folder.
    profile, seed : str, int
        Number of images, their size and seed, for the synthetic names only.
    check_files : bool
        Whether to look for each file and to compare their contents. A named set is always checked, but of
        large ones no contents are compared: see `layouts`.
    labels : dict of str, optional
        What the labels of a CSV file mean; see `sdnet_lib.data.cohort.read_cohort`.

    Returns
    -------
    pandas.DataFrame
        As from `sdnet_lib.data.cohort.read_cohort`.

    Raises
    ------
    InputError
        If there is no such cohort, it breaks a rule of `check_cohort`, or the set is not in the data folder.
    """
    if str(source) in names():
        return _load_named(str(source), data, profile, seed)
    path = Path(source)
    if path.is_dir() and not (path / "cohort.csv").exists():
        return check_cohort(read_layout(path), str(path), check_files=check_files).reset_index(drop=True)
    if not path.exists():
        raise CohortError(
            f"{source}: no such file or folder, and no registered cohort ({', '.join(names())})"
        )
    return read_cohort(path, check_files=check_files, labels=labels)


def left_out(cohort: pd.DataFrame) -> list[str]:
    """Say which files of a cohort's folder were not read, a line for each kind; nothing if all were."""
    return [f"left out: {count} {what}" for what, count in cohort.attrs.get("left_out", {}).items()]


def _load_named(name: str, data: str | Path | None, profile: str, seed: int) -> pd.DataFrame:
    if name in SYNTHETIC:
        return synthetic.read(name, profile, seed)
    root = _root(data)
    if not PUBLIC[name].is_here(root):
        raise InputError(
            f"{name} is not in {root}: fetch it with `sdnet data get {name}`, "
            "or say with --data DIR where a copy lies"
        )
    _check_fetched(name, root)
    return PUBLIC[name].read(root)


def _check_fetched(name: str, root: Path) -> None:
    """Check what `get` fetched by its checksums; a copy that somebody else brought has none."""
    for place in {root / Path(part).parts[0] for part in PUBLIC[name].needs}:
        seal = place / FOLDER if place.is_dir() else beside(place)
        try:
            if seal.exists():
                read_seal(seal)
        except Damaged as error:
            raise InputError(f"{error}; remove {place} and fetch it again: sdnet data get {name}") from None


def describe(data: str | Path | None = None) -> list[Row]:
    """Return one row per registered name: what it is, its labels and licence, and whether it is here."""
    made = ("as the profile says", "made here", "Apache-2.0", "made when first used")
    synthetic = [
        Row(name, what, "as the profile says", "P: opacities (but for Normal-PCR+); N: none", *made)
        for name, what in SYNTHETIC.items()
    ]
    return synthetic + [_row(data_set, _root(data)) for data_set in PUBLIC.values()]


def get(name: str, data: str | Path | None = None) -> str:
    """Fetch the public set `name` into the data folder; return what came, its licence and how to cite it.

    Raises
    ------
    InputError
        An unknown or synthetic name, or a download that fails; what came so far is kept and resumed.
    """
    _must_be_known(name)
    if name in SYNTHETIC:
        raise InputError(f"{name} is synthetic: it is made when first used, there is nothing to fetch")
    data_set, root = PUBLIC[name], _root(data, must_exist=False)
    if not data_set.is_here(root):
        if data_set.fetch is None:
            place = root / data_set.needs[0]
            raise InputError(f"{name} cannot be fetched by a program. {data_set.access} Put it into {place}")
        data_set.fetch(root)
    cohort = data_set.read(root)
    lines = [*_summary(cohort, data_set), *_remarks(cohort)]
    return "\n".join([*lines, f"licence: {data_set.licence}", f"cite: {data_set.cite}"])


def check(name: str, data: str | Path | None = None, profile: str = "quick", seed: int = 0) -> str:
    """Read all of a set: table, files, the same picture twice, every image and mask; return its counts.

    Raises
    ------
    InputError
        The first thing that is wrong.
    """
    _must_be_known(name)
    cohort = load_cohort(name, data=data, profile=profile, seed=seed)
    # large sets compare no pictures when they are read; an error names the image by its id
    check_cohort(cohort.set_axis(cohort["image_id"].to_numpy()), name)
    for row in tqdm(cohort.to_dict("records"), desc=f"check {name}", unit="image", disable=None):
        shape = read_gray(row["file"]).shape
        for mask in (row.get("lung_mask"), row.get("lesion_mask")):
            if mask:
                read_mask(mask, shape)
    readable = f"all images readable, fingerprint {fingerprint(cohort)}"
    return "\n".join([*_summary(cohort, PUBLIC.get(name)), *_remarks(cohort), readable])


def _remarks(cohort: pd.DataFrame) -> list[str]:
    return [*left_out(cohort), *cohort.attrs.get("remarks", [])]


def _must_be_known(name: str) -> None:
    if name not in names():
        raise InputError(f"unknown data set {name!r}: choose one of {', '.join(names())}")


def _root(data: str | Path | None, *, must_exist: bool = True) -> Path:
    if data is None:
        return cache_dir() / "data"
    if must_exist and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    return Path(data)


def _row(data_set: DataSet, root: Path) -> Row:
    counts = _counted(data_set.published) or "images as its table says"
    where = str(root) if data_set.is_here(root) else f"not here: sdnet data get {data_set.name}"
    said = (data_set.labels, data_set.size, data_set.source, data_set.licence)
    return Row(data_set.name, data_set.what, counts, *said, where)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.items())


def _summary(cohort: pd.DataFrame, data_set: DataSet | None) -> list[str]:
    """Count a cohort, and say where it differs from the published one."""
    counts = {label: int((cohort["label"] == label).sum()) for label in ("N", "P")}
    lines = [f"{len(cohort)} images of {cohort['patient_id'].nunique()} patients: {_counted(counts)}"]
    for column in ("view", "severity"):
        cells = cohort[cohort[column] != ""].groupby(["label", column]).size()
        if len(cells):
            lines.append(f"{column}: " + ", ".join(f"{count} {a} {b}" for (a, b), count in cells.items()))
    if data_set is not None and data_set.published and counts != data_set.published:
        published = _counted(data_set.published)
        lines.append(f"the published set has {published}: this copy is another version or a part of it")
    return lines
