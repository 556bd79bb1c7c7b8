"""Actualmed COVID-19 Chest X-ray Dataset: one institution, RT-PCR confirmed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet, clean_id, read_metadata, read_original, store, to_cohort
from data_scripts.download import fetch_repository

FOLDER = "actualmed"
LABELS = {"COVID-19": "P", "No finding": "N"}


def read(root: Path) -> pd.DataFrame:
    """Read the images with a conclusive reading: P is COVID-19, N No finding."""
    table = read_metadata(root / FOLDER, "label")
    return to_cohort(table, table["label"], "Actualmed", root / FOLDER / "metadata.csv")


def fetch(root: Path) -> None:
    """Fetch the whole set, inconclusive images included."""
    tree = fetch_repository("agchung/Actualmed-COVID-chestxray-dataset", root)
    rows = read_original(tree / "metadata.csv", ("patientid", "imagename", "finding", "view"))
    table = rows.rename(columns={"patientid": "patient_id", "imagename": "original_file"})
    table["image_id"] = table["original_file"].map(clean_id)
    table["file"] = [str(tree / "images" / name) for name in table["original_file"]]
    table["label"] = table["finding"].map(LABELS).fillna("")
    store(root / FOLDER, table.drop_duplicates("image_id"), "act")


ACTUALMED = DataSet(
    name="actualmed",
    what="one institution; a local copy may lack images, and not at random",
    labels="P: COVID-19; N: COVID-19 excluded; inconclusive ones left out",
    source="github.com/agchung/Actualmed-COVID-chestxray-dataset",
    licence="research purposes only",
    cite="Actualmed COVID-19 Chest X-ray Dataset Initiative, 2020",
    size="238 PNG files, some 2,500 pixels wide",
    checks="file names and patients from the table; of files that are the same, one is kept",
    published={"N": 127, "P": 58},
    needs=(f"{FOLDER}/metadata.csv",),
    read=read,
    fetch=fetch,
)

DATA_SETS = (ACTUALMED,)
