"""DarkCovidNet's data (Ozturk et al. 2020): 125 COVID-19 images against ChestX-ray8's No_findings."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from data_scripts import chestxray8, cxr_collection, download
from data_scripts.common import (
    DataSet,
    clean_id,
    find_files,
    mixture,
    read_metadata,
    read_original,
    store,
    to_cohort,
)
from data_scripts.download import fetch_repository
from sdnet_lib.checksums import beside, write_seal
from sdnet_lib.data.cohort import read_table

NAMES = "darkcovidnet_covid.csv"
EXTRA = "darkcovidnet_extra"
KNOWN = ("patientid", "view", "sex", "age", "offset")


def read(root: Path) -> pd.DataFrame:
    """Read DarkCovidNet's positives and the No_findings images.

    Sixty of the positives were cropped by DarkCovidNet; where only the names lie in the data folder, our
    images are the whole ones, and `crop_x0` to `crop_y1` (fractions of the image) say what they kept.
    """
    negatives = chestxray8.read(root).query("label == 'N'")
    return mixture("darkcovidnet", positives(root), negatives)


def positives(root: Path) -> pd.DataFrame:
    """Find each of DarkCovidNet's names in the COVID-19 Image Data Collection or among the extra images."""
    names = read_table(root / NAMES, ("image_id", "extra_file"))
    crops = names[[column for column in names if column.startswith("crop_")]]
    extra = read_metadata(root / EXTRA, "finding")
    by_file = {os.path.abspath(root / name): name for name in names["extra_file"] if name}
    extra = extra[extra["file"].isin(by_file)]
    extra = to_cohort(extra, extra["finding"].map(lambda _: "P"), cxr_collection.SOURCE, root / EXTRA)
    if (names["image_id"] == "").all():
        return extra
    crops = crops.assign(image_id=names["image_id"])[names["image_id"] != ""]
    found = cxr_collection.read(root).merge(crops, on="image_id")
    return mixture("darkcovidnet", found, extra)


def fetch(root: Path) -> None:
    """Fetch DarkCovidNet's own files; the COVID-19 Image Data Collection's table says whose they are."""
    tree = fetch_repository(chestxray8.REPOSITORY, root)
    collection = root / "downloads" / "covid-chestxray-metadata.csv"
    download.fetch(f"{download.GITHUB_FILES}/{cxr_collection.REPOSITORY}/master/metadata.csv", collection)
    known = read_original(collection, ("filename", *KNOWN)).drop_duplicates("filename").set_index("filename")
    files = find_files(tree, "*/Covid-19/*")
    table = pd.DataFrame({"image_id": [clean_id(file.name) for file in files], "file": files})
    table["original_file"] = [file.name for file in files]
    found = known[[*KNOWN]].reindex(table["original_file"]).fillna("")
    table = table.assign(finding="COVID-19", **{column: found[column].to_numpy() for column in found})
    table = table.rename(columns={"patientid": "patient_id"}).drop_duplicates("image_id")
    table["patient_id"] = table["patient_id"].where(table["patient_id"] != "", table["image_id"])
    store(root / EXTRA, table, "cxr")
    stored = read_table(root / EXTRA / "metadata.csv", ("image_id", "file"))
    names = pd.DataFrame({"image_id": "", "extra_file": EXTRA + "/" + stored["file"]})
    names.to_csv(root / NAMES, index=False)
    write_seal(beside(root / NAMES), {}, root / NAMES)
    if not (root / chestxray8.FOLDER).exists():
        chestxray8.fetch(root)


DARKCOVIDNET = DataSet(
    name="darkcovidnet",
    what="DarkCovidNet's two classes; where only its names are at hand, whole images stand for its crops",
    labels="P: COVID-19; N: No Finding, from another source than every P",
    source="github.com/muhammedtalo/COVID-19",
    licence="none stated; images as in cxr-collection and chestxray8",
    cite="Ozturk et al. 2020, doi:10.1016/j.compbiomed.2020.103792",
    size="625 images, one of its negatives twice",
    checks="each name is looked up in cxr-collection and among the images that it lacks; from there it is "
    "known whose images they are",
    published={"N": 500, "P": 125},
    needs=(NAMES, f"{EXTRA}/metadata.csv", *chestxray8.CHESTXRAY8.needs),
    read=read,
    fetch=fetch,
)

DATA_SETS = (DARKCOVIDNET,)
