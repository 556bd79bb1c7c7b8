"""COVID-19 Image Data Collection (Cohen et al. 2020): images gathered from papers and case reports."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet, clean_id, read_metadata, read_original, store, to_cohort
from data_scripts.download import fetch_repository
from sdnet_lib.data import severity

FOLDER = "cxr_collection"
REPOSITORY = "ieee8023/covid-chestxray-dataset"
FRONTAL = ("PA", "AP", "AP Supine", "AP Erect", "AP erect")
NEEDED = ("filename", "patientid", "finding", "view", "modality")
KEPT = (
    *("filename", "patientid", "offset", "sex", "age", "finding", "view", "date", "location", "license"),
    *("survival", "intubated", "went_icu", "doi", "url"),
)
SOURCE = "COVID-19 Image Data Collection"


def read(root: Path) -> pd.DataFrame:
    """Read the labelled frontal images: P is COVID-19, N any other finding and No Finding."""
    folder = root / FOLDER
    table = read_metadata(folder, "finding")
    label = table["finding"].map(
        lambda finding: "" if finding in ("", "todo", "Unknown") else "P" if "COVID-19" in finding else "N"
    )
    table["severity"] = severities(table).where(label == "P", "")
    return to_cohort(table, label, SOURCE, folder / "metadata.csv")


def severities(table: pd.DataFrame) -> pd.Series:
    """Name the level of the radiologists' mean extent (0 to 8), ``""`` where they gave none."""
    extents = table.get("geographic_extent", pd.Series(float("nan"), table.index))
    scores = extents.map(severity.score_from_extent, na_action="ignore")
    return scores.map(severity.positive_severity, na_action="ignore").fillna("").astype(object)


def fetch(root: Path) -> None:
    """Fetch the newest version: frontal radiographs and severity scores; lung masks come from other sources.

    Of findings such as ``Pneumonia/Viral/COVID-19`` the last part is kept.
    """
    tree = fetch_repository(REPOSITORY, root)
    rows = read_original(tree / "metadata.csv", NEEDED)
    rows = rows[(rows["modality"] == "X-ray") & rows["view"].isin(FRONTAL)].drop_duplicates("filename")
    table = rows[[column for column in KEPT if column in rows]].rename(columns={"patientid": "patient_id"})
    table["finding"] = table["finding"].str.rpartition("/")[2]
    table["image_id"] = table["filename"].map(clean_id)
    table["file"] = [str(tree / "images" / name) for name in table["filename"]]
    scores = read_original(
        tree / "annotations" / "covid-severity-scores.csv", ("filename", "geographic_mean")
    )
    table = table.merge(scores, on="filename", how="left")
    names = {"filename": "original_file", "geographic_mean": "geographic_extent", "opacity_mean": "opacity"}
    store(root / FOLDER, table.rename(columns=names), "cxr")


CXR_COLLECTION = DataSet(
    name="cxr-collection",
    what="frontal radiographs from papers and case reports of many hospitals, early 2020",
    labels="P: COVID-19; N: other pneumonias and No Finding, which is no clean negative class "
    "(some No Finding patients have COVID-19)",
    source="github.com/ieee8023/covid-chestxray-dataset",
    licence="per image (column license, often blank); metadata CC BY-NC-SA 4.0, severity scores CC BY-SA, "
    "masks CC BY-SA and CC BY 4.0",
    cite="Cohen et al. 2020, arXiv:2006.11988; severity: Cohen et al. 2020, arXiv:2005.11856",
    size="554 frontal images of 22 June 2020, 157 to 4,280 pixels wide; fetched: the newest version",
    checks="two patients with one picture count as one; views and findings that are not asked for stay out",
    published={"N": 100, "P": 426},
    needs=(f"{FOLDER}/metadata.csv",),
    read=read,
    fetch=fetch,
)

DATA_SETS = (CXR_COLLECTION,)
