"""How well headers are de-identified, scored as MIDI-B does (arXiv 2507.23608): right actions by kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from tqdm import tqdm

from sdnet_lib.build import deidentify
from sdnet_lib.build.archive import read_header
from sdnet_lib.phantom import archive

SALT = b"the salt of a benchmark hides nobody"
DARK = np.zeros((1, 1))  # headers alone are scored


def run(folder: Path, patients: int, seed: int = 0, size: int = 64) -> tuple[pd.DataFrame, list[str]]:
    """Write an archive into a folder, de-identify it and score it; see `score`."""
    planted = archive.write(folder, patients, seed, size)
    made = {}
    # not `unique`: pandas takes different names for one if they hold bytes that are no letters
    for name in tqdm(dict.fromkeys(planted["file"]), "de-identifying", disable=None, delay=2):
        data = read_header(folder / archive.FILMS / name)
        file = folder / "made.dcm"
        deidentify.write(data, DARK, file, SALT, str(data.PatientID), text_searched=False)
        made[name] = dcmread(file)
    return score(planted, made)


def score(planted: pd.DataFrame, made: dict[str, Dataset]) -> tuple[pd.DataFrame, list[str]]:
    """Compare de-identified headers with what was planted.

    Parameters
    ----------
    planted : DataFrame
        Of `phantom.archive.write`.
    made : dict of Dataset
        By file.

    Returns
    -------
    actions : DataFrame
        See `judged`.
    left : list of str
        ``file: text`` for each hidden text that still stands anywhere in the header or the file's meta data.
    """
    films = [observed(rows, made[rows["file"].iloc[0]]) for _, rows in planted.groupby("study_id")]
    rows = pd.concat(films, ignore_index=True)
    return judged(rows), [f"{row.file}: {row.value}" for row in rows[rows["left"]].itertuples()]


def observed(planted: pd.DataFrame, data: Dataset) -> pd.DataFrame:
    """Add to what was planted in a film what stands there ``now``, and whether a hidden text is ``left``."""
    text = f"{data.file_meta}\n{data}"
    stands = np.array([old in text for old in planted["value"]])
    return planted.assign(
        now=[value(data, path) for path in planted["path"]],
        left=(planted["kind"] == "hide") & stands,
    )


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Count right actions.

    Parameters
    ----------
    rows : DataFrame
        Of `observed`, of all films.

    Returns
    -------
    DataFrame
        Index ``kind`` and `all`; ``right`` and ``total``. Right is: for ``hide``, the text is not in the
        attribute; for ``keep``, it is as it was; for ``uid``, another UID, for one UID always the same and
        for two never; for ``date``, earlier by the same number of days in all of a patient.
    """
    patients = rows[rows["path"] == "PatientID"].set_index("study_id")["value"]
    days = (
        pd.to_datetime(rows["value"], errors="coerce", format="%Y%m%d")
        - pd.to_datetime(rows["now"], errors="coerce", format="%Y%m%d")
    ).dt.days
    patient = rows["study_id"].map(patients)
    dates = rows["kind"] == "date"
    usual = days[dates].groupby(patient[dates]).first()
    news = rows[rows["kind"] == "uid"].groupby("value")["now"].nunique()
    olds = rows[rows["kind"] == "uid"].groupby("now")["value"].nunique()
    right = {
        "hide": [old not in new for old, new in zip(rows["value"], rows["now"], strict=True)],
        "keep": rows["value"] == rows["now"],
        "uid": (rows["now"] != rows["value"])
        & (rows["now"] != "")
        & (rows["value"].map(news) == 1)
        & (rows["now"].map(olds) == 1),
        "date": (days > 0) & (days == patient.map(usual)),
    }
    found = np.select([rows["kind"] == kind for kind in right], list(right.values()))
    actions = rows.assign(right=found).groupby("kind")["right"].agg(right="sum", total="size")
    actions.loc["all"] = actions.sum()
    return actions.astype(int)


def value(data: Dataset, path: str) -> str:
    """Return the text at a path (see `phantom.archive`), "" if nothing is there."""
    name, *rest = path.split(".", 2)
    if rest:
        items = data.get(name) or []
        return value(items[int(rest[0])], rest[1]) if len(items) > int(rest[0]) else ""
    tag = Tag(name)
    if tag not in data or data[tag].value is None:
        return ""
    found = data[tag].value
    return "\\".join(map(str, found)) if data[tag].VM > 1 else str(found)
