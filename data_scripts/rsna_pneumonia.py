"""RSNA Pneumonia Detection Challenge, stage 2 (Shih et al. 2019): normal and pneumonia images of COVIDx."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet
from data_scripts.layouts import find_table, only_known, only_once, read_columns, to_cohort
from sdnet_lib.data.cohort import CohortError

FOLDER = "rsna_pneumonia"
IMAGES = "stage_2_train_images"
BOXES, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
NORMAL, OPACITY, OTHER = "Normal", "Lung Opacity", "No Lung Opacity / Not Normal"
LABELS = {NORMAL: "N", OPACITY: "P", OTHER: ""}
SOURCE = "RSNA Pneumonia"


def read(root: Path) -> pd.DataFrame:
    """Read the images of two of the three classes: P is Lung Opacity, read as pneumonia, N is Normal."""
    folder = root / FOLDER
    table = read_classes(folder)
    table["label"] = table["class"].map(LABELS)
    names = {Path(name).stem for name in os.listdir(folder / IMAGES)} if (folder / IMAGES).is_dir() else set()
    left_out = {
        f"of the class {OTHER}": int((table["label"] == "").sum()),
        f"in {IMAGES} that no row names": len(names - set(table["image_id"])),
    }
    return to_cohort(table, SOURCE, folder / BOXES, left_out)


def read_classes(folder: Path) -> pd.DataFrame:
    """Read the two tables, which have a row for each box of an image, into one with a row for each image.

    Returns
    -------
    pandas.DataFrame
        Columns `image_id` (the publisher's `patientId`), `class` and `file`, whether it is there or not.

    Raises
    ------
    CohortError
        If a table breaks the layout, or the tables do not agree: pneumonia, Target 1, is Lung Opacity.
    """
    boxes, classes = find_table(folder, BOXES), find_table(folder, CLASSES)
    target, found = (
        read_columns(boxes, ("patientId", "Target")),
        read_columns(classes, ("patientId", "class")),
    )
    only_known(target, "Target", ("0", "1"), boxes)
    only_known(found, "class", tuple(LABELS), classes)
    target, found = only_once(target, "patientId", boxes), only_once(found, "patientId", classes)
    both = found.merge(target, on="patientId", how="outer", indicator=True)
    for side, there, other in (("left_only", classes, boxes), ("right_only", boxes, classes)):
        if (alone := both["_merge"] == side).any():
            name = both.loc[alone, "patientId"].iloc[0]
            raise CohortError(f"{other}: no row for patientId {name!r} of {there.name}")
    if (differs := (both["class"] == OPACITY) != (both["Target"] == "1")).any():
        row = both[differs].iloc[0]
        raise CohortError(
            f"{boxes}: patientId {row['patientId']!r} has Target {row['Target']}, in {CLASSES} it is "
            f"{row['class']!r}"
        )
    files = [os.path.abspath(folder / IMAGES / f"{name}.dcm") for name in both["patientId"]]
    return pd.DataFrame({"image_id": both["patientId"], "class": both["class"], "file": files})


ACCESS = (
    "Join the challenge at kaggle.com/c/rsna-pneumonia-detection-challenge, accept its rules, and download "
    f"{BOXES}, {CLASSES} and {IMAGES}, unpacked."
)

RSNA = DataSet(
    name="rsna-pneumonia",
    what="most of COVIDx: images of ChestX-ray8, read by radiologists; each has an id of its own, so that "
    "images of one patient cannot be told",
    labels=f"P: {OPACITY}, read as pneumonia (not COVID-19); N: {NORMAL}; {OTHER} left out",
    source="kaggle.com/c/rsna-pneumonia-detection-challenge, stage 2, training part",
    licence="RSNA's terms: research, teaching and other use, with the attribution that they ask for",
    cite="Shih et al. 2019, doi:10.1148/ryai.2019180041; Wang et al. 2017 for the images",
    size="26,684 DICOM files, 1,024 x 1,024, 8 bit, some 3.7 GB",
    checks="both tables agree on each image; repeated rows are boxes of one image. View, age and sex stand "
    "in the files, which are not opened",
    published={"N": 8851, "P": 6012},
    needs=(FOLDER,),
    read=read,
    access=ACCESS,
)

DATA_SETS = (RSNA,)
