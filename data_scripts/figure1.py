"""Figure 1 COVID-19 Chest X-ray Dataset: images that doctors shared on a platform, photos of screens too."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet, find_files, read_metadata, read_original, store, to_cohort
from data_scripts.download import fetch_repository

FOLDER = "figure1"
SOURCE = "Figure 1"
LABELS = {"COVID-19": "P", "No finding": "N"}


def read(root: Path) -> pd.DataFrame:
    """Read the labelled images: P is COVID-19, N No finding."""
    table = read_metadata(root / FOLDER, "label")
    return to_cohort(table, table["label"], SOURCE, root / FOLDER / "metadata.csv")


def fetch(root: Path) -> None:
    """Fetch the set; an id such as COVID-00003a is the first image of patient COVID-00003."""
    tree = fetch_repository("agchung/Figure1-COVID-chestxray-dataset", root)
    rows = read_original(tree / "metadata.csv", ("patientid", "finding", "view"))
    files = {file.stem: file for file in find_files(tree, "images/*")}
    table = rows[rows["patientid"].isin(files)].drop_duplicates("patientid")
    table = table.rename(columns={"patientid": "image_id"})
    table["file"] = table["image_id"].map(files)
    table["original_file"] = [file.name for file in table["file"]]
    table["patient_id"] = table["image_id"].str.rstrip("abcdefgh")
    table["label"] = table["finding"].map(LABELS).fillna("")
    store(root / FOLDER, table, "fig1")


FIGURE1 = DataSet(
    name="figure1",
    what="images that doctors shared, photos of screens among them",
    labels="P: COVID-19; N: No finding (three images); rows without a label left out",
    source="github.com/agchung/Figure1-COVID-chestxray-dataset",
    licence="research purposes only",
    cite="Figure 1 COVID-19 Chest X-ray Dataset Initiative, 2020",
    size="55 files, 224 to 3,604 pixels wide",
    checks="patients by their ids without the last letter, joined where cxr-collection has the same picture",
    published={"N": 3, "P": 35},
    needs=(f"{FOLDER}/metadata.csv",),
    read=read,
    fetch=fetch,
)

DATA_SETS = (FIGURE1,)
