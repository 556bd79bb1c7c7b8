"""What the data scripts share: what a data set says about itself, and its table turned into a cohort.

On disk a public data set is a folder with ``metadata.csv`` (one row per image: `image_id`, `file`, `group_id`
and what the source says, blank = unknown) beside its images; `sdnet data get` makes that from the original.

A new set is one file in this package that ends with `DATA_SETS`, and its name in `registry.MODULES`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm import tqdm

from sdnet_lib.checksums import seal_folder
from sdnet_lib.data import images
from sdnet_lib.data.cohort import check_cohort, complete, read_table
from sdnet_lib.files import InputError, content_hash, new_folder

NUMBERS = ("age", "offset", "geographic_extent", "opacity", "original_width", "original_height")


class DataSet(NamedTuple):
    """A public data set: what it is, how to read it and how to fetch it.

    Attributes
    ----------
    name, what, labels, source, licence, cite, size, checks : str
        What `sdnet data list`, `sdnet data get` and the book say; `labels` says what P and N mean here,
        `checks` what is checked beside table, files and ids.
    published : dict
        Images of each label in the published set, todo and inconclusive ones left out; empty where the
        publisher does not count them so.
    needs : tuple of str
        Files and folders that must lie in the data folder.
    read : callable
        From the data folder to a checked cohort.
    fetch : callable, optional
        Downloads into the data folder; None where a program may not.
    access : str
        How people get what a program may not download.
    """

    name: str
    what: str
    labels: str
    source: str
    licence: str
    cite: str
    size: str
    checks: str
    published: dict[str, int]
    needs: tuple[str, ...]
    read: Callable[[Path], pd.DataFrame]
    fetch: Callable[[Path], None] | None = None
    access: str = ""

    def is_here(self, root: Path) -> bool:
        """Say whether the set lies in the data folder."""
        return all((root / part).exists() for part in self.needs)


def read_metadata(folder: Path, *needed: str) -> pd.DataFrame:
    """Read ``metadata.csv``: absolute paths, `patient_id` from `group_id`, `lung_mask` from `mask`.

    The columns `needed` must be there, and stay text.

    Splitting by patient would leak where the same picture is found under two patients; `group_id` joins them.
    """
    table = read_table(folder / "metadata.csv", ("image_id", "file", *needed))
    for column in ("file", "mask"):
        if column in table:
            table[column] = [os.path.abspath(folder / name) if name else "" for name in table[column]]
    if "group_id" in table:
        table["patient_id"] = table.pop("group_id").astype(str)
    table = table.drop(columns="has_lung_mask", errors="ignore")
    for column in NUMBERS:
        if column in table:
            table[column] = pd.to_numeric(table[column], errors="coerce")  # an age of "50+" is unknown
    return table.rename(columns={"mask": "lung_mask"})


def to_cohort(table: pd.DataFrame, label: pd.Series, source: str, name: str | Path) -> pd.DataFrame:
    """Make a checked cohort of the rows that have a label; `name` is what errors call the table.

    Parameters
    ----------
    table : pandas.DataFrame
        From `read_metadata`.
    label : pandas.Series
        ``N``, ``P`` or, for a row to leave out, ``""``.
    source : str
        Value of the column `source`.
    """
    table = complete(table.assign(label=label, source=source)[label != ""], source)
    return check_cohort(table, str(name)).reset_index(drop=True)


def mixture(name: str, *parts: pd.DataFrame) -> pd.DataFrame:
    """Join cohorts into one and check it again: ids and pictures may meet across them."""
    joined = pd.concat(parts, ignore_index=True)
    words = [column for column in joined if joined[column].dtype == object]
    return check_cohort(joined.fillna(dict.fromkeys(words, "")), name)


def store(target: Path, table: pd.DataFrame, prefix: str) -> None:
    """Copy images just fetched into a new folder `target` and write its ``metadata.csv``.

    Adds what the files themselves say: size, and `group_id`, the patient, joined where two patients have the
    very same file. Of exact copies only the first row is kept; rows whose file did not come are left out.

    Parameters
    ----------
    target : pathlib.Path
        The folder of the data set; it appears only when complete.
    table : pandas.DataFrame
        Columns `image_id`, `file` and perhaps `mask` (where they lie now), `patient_id` and others.
    prefix : str
        Of the group ids, so that patients of different sets stay apart.
    """
    table = table[[os.path.isfile(file) for file in table["file"]]]
    if table.empty:
        raise InputError(
            f"{target}: none of the images in the table were fetched; the source has changed its layout"
        )
    contents = table["file"].map(content_hash)
    groups = prefix + "-" + _joined(table["patient_id"], contents)
    table = table.assign(group_id=groups)[~contents.duplicated()]
    again = table.groupby("image_id").cumcount()  # a.jpg and a.png
    table["image_id"] = table["image_id"].mask(again > 0, table["image_id"] + "-" + again.astype(str))
    with new_folder(target) as folder:
        bar = tqdm(table["file"], desc=f"measure {target.name}", unit="image", disable=None)
        sizes = [images.decode(file).pixels.shape[::-1] for file in bar]
        for column, sub in (("file", "images"), ("mask", "masks")):
            if column in table:
                (folder / sub).mkdir()
                named = zip(table["image_id"], tqdm(table[column], desc=sub, disable=None), strict=True)
                table[column] = [_copy(file, folder / sub, image_id) for image_id, file in named]
        table["original_width"], table["original_height"] = zip(*sizes, strict=True)
        table.to_csv(folder / "metadata.csv", index=False)
        seal_folder(folder, target.name)


def find_files(tree: Path, pattern: str) -> list[Path]:
    """Return the images of a download that match `pattern`, sorted; raise `InputError` if there are none."""
    files = images.find_images(tree, pattern).images
    if not files:
        raise InputError(f"{tree}: no {pattern} in what was fetched; the source has changed its layout")
    return files


def read_original(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """Read the table of a source as text, blanks as ``""``, names of columns in small letters.

    Raises
    ------
    InputError
        If it cannot be read or lacks a column of `needed`.
    """
    comment = "#" if "scores" in path.name else None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, comment=comment)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the source's table cannot be read ({error})") from error
    table.columns = table.columns.str.strip().str.lower()
    missing = [column for column in needed if column not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; the source has changed its layout")
    return table


def clean_id(name: str) -> str:
    """Turn a source's file name into an id: no suffix, anything but letters, digits, ``._-`` replaced."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", Path(name).stem)


def _copy(file: str, folder: Path, image_id: str) -> str:
    copy = folder / (image_id + Path(file).suffix)
    shutil.copyfile(file, copy)
    return f"{folder.name}/{copy.name}"


def _joined(patients: pd.Series, contents: pd.Series) -> pd.Series:
    """Return for each row the smallest patient id that is linked to it by shared patients and pictures."""
    joined = patients.astype(str)
    while True:
        smaller = joined.groupby(contents).transform("min").groupby(patients).transform("min")
        if (smaller == joined).all():
            return joined
        joined = smaller
