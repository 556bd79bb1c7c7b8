"""How well headers are de-identified, scored as MIDI-B does (arXiv 2507.23608): right actions by kind.

``python -m sdnet_lib.build.benchmark --patients 900`` writes a simulated archive of some 2,000 films,
de-identifies each, reads it again and compares it with what was planted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from tqdm import tqdm

from sdnet_lib.build import deidentify
from sdnet_lib.build.archive import read_header
from sdnet_lib.files.temporary import private_folder
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
        Index ``kind`` and `all`; ``right`` and ``total``. Right is: for ``hide``, the text is not in the
        attribute; for ``keep``, it is as it was; for ``uid``, another UID, for one UID always the same and
        for two never; for ``date``, earlier by the same number of days in all of a patient.
    left : list of str
        ``file: text`` for each hidden text that still stands anywhere in the header or the file's meta data.
    """
    rows = planted.assign(now=[value(made[row.file], row.path) for row in planted.itertuples()])
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
    rows["right"] = np.select([rows["kind"] == kind for kind in right], list(right.values()))
    actions = rows.groupby("kind")["right"].agg(right="sum", total="size")
    actions.loc["all"] = actions.sum()
    texts = {name: f"{data.file_meta}\n{data}" for name, data in made.items()}
    hidden = rows[rows["kind"] == "hide"]
    left = [f"{row.file}: {row.value}" for row in hidden.itertuples() if row.value in texts[row.file]]
    return actions.astype(int), left


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


def main() -> None:
    """Print the score, and what is left."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--patients", type=int, default=900)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with private_folder() as folder:
        actions, left = run(folder, given.patients, given.seed)
    actions["percent"] = 100 * actions["right"] / actions["total"]
    print(actions.round(3).to_string())
    print(f"identifiers left: {len(left)}", *left[:20], sep="\n")


if __name__ == "__main__":
    main()
