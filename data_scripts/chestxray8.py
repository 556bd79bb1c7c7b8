"""The part of NIH ChestX-ray8 (Wang et al. 2017) that DarkCovidNet took: No_findings and Pneumonia."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet, clean_id, find_files, read_metadata, read_original, store, to_cohort
from data_scripts.download import fetch_repository
from sdnet_lib.data.cohort import CohortError

FOLDER = "chestxray8_subset"
REPOSITORY = "muhammedtalo/COVID-19"
SOURCE = "ChestX-ray8"
NIH_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
NIH_COLUMNS = {
    "image index": "original_file",
    "finding labels": "nih_labels",
    "patient age": "age",
    "patient sex": "sex",
    "patient gender": "sex",
    "view position": "view",
}
LABELS = {"No_findings": "N", "Pneumonia": "P"}


def read(root: Path) -> pd.DataFrame:
    """Read all images: P is Pneumonia (often beside other findings), N is No Finding."""
    folder = root / FOLDER
    table = read_metadata(folder, "finding")
    return to_cohort(table, table["finding"].replace(LABELS), SOURCE, folder / "metadata.csv")


def read_matched(root: Path) -> pd.DataFrame:
    """Read as many N as P of each view, so that the view (N is AP more often) gives nothing away.

    Which images of the larger side stay is drawn once and for all. The patients with images on both sides
    stay; a split by patient keeps theirs together.
    """
    cohort = read(root)
    if (cohort["view"] == "").any():
        raise CohortError(
            f"{root / FOLDER / 'metadata.csv'}, column view: blank; views come from NIH's "
            "Data_Entry_2017_v2020.csv, put it into the data folder and run `sdnet data get nih-pneumonia`"
        )
    cells = cohort.sort_values("image_id").groupby(["view", "label"])
    fewest = cells.size().groupby("view").min()
    drawn = [part.sample(fewest[view], random_state=0) for (view, _), part in cells]
    return pd.concat(drawn).sort_values("image_id").reset_index(drop=True)


def fetch(root: Path) -> None:
    """Fetch DarkCovidNet's selection; NIH's table, if in the data folder, adds view, age and sex."""
    tree = fetch_repository(REPOSITORY, root)
    files = [(finding, file) for finding in LABELS for file in find_files(tree, f"*/{finding}/*")]
    table = pd.DataFrame(files, columns=["finding", "file"])
    table["original_file"] = [file.name for file in table["file"]]
    table["image_id"] = table["original_file"].map(clean_id)
    table["patient_id"] = table["image_id"].str.partition("_")[0]
    table = table.drop_duplicates("image_id")
    nih = next((path for name in NIH_TABLES if (path := root / name).exists()), None)
    if nih is not None:
        rows = read_original(nih, ("image index", "view position")).rename(columns=NIH_COLUMNS)
        rows = rows[[column for column in dict.fromkeys(NIH_COLUMNS.values()) if column in rows]]
        table = table.merge(rows, on="original_file", how="left")
    store(root / FOLDER, table, "nih")


CHESTXRAY8 = DataSet(
    name="chestxray8",
    what="the ChestX-ray8 images that DarkCovidNet took",
    labels="P: Pneumonia, often beside other findings; N: No Finding",
    source="github.com/muhammedtalo/COVID-19, from nihcc.app.box.com/v/ChestXray-NIHCC",
    licence="NIH Clinical Center: free use with attribution; the selection itself has no licence file",
    cite="Wang et al. 2017, ChestX-ray8 (CVPR); Ozturk et al. 2020 for the selection",
    size="999 PNG files, 1,024 x 1,024",
    checks="of files that are the same, one is kept; 21 patients are in both labels and stay together",
    published={"N": 499, "P": 500},
    needs=(f"{FOLDER}/metadata.csv",),
    read=read,
    fetch=fetch,
)

NIH_PNEUMONIA = CHESTXRAY8._replace(
    name="nih-pneumonia",
    what="the same, as many N as P of each view: one source, one confounder less",
    size=f"{CHESTXRAY8.size}, of which 766 are drawn",
    checks="each image has a view; as many N as P of each view, the same ones each time",
    published={"N": 383, "P": 383},
    read=read_matched,
)

DATA_SETS = (CHESTXRAY8, NIH_PNEUMONIA)
