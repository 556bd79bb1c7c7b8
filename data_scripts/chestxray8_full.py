"""NIH ChestX-ray8 whole, in its release with 14 findings, as the NIH Clinical Center publishes it."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from data_scripts.chestxray8 import NIH_TABLES, SOURCE
from data_scripts.common import DataSet
from data_scripts.layouts import find_table, only_once, read_columns, to_cohort
from sdnet_lib.data.cohort import CohortError

FOLDER = "chestxray8_full"
NEEDED = ("Image Index", "Finding Labels", "Patient ID")
OTHERS = ("Patient Age", "Patient Sex", "Patient Gender", "View Position")
OLDEST = 120  # the first release has ages of 150 and 414


def read(root: Path) -> pd.DataFrame:
    """Read the images of two kinds: P has Pneumonia among its findings, N is No Finding.

    Patients have the ids of `chestxray8`, so the two can be told apart, or kept together.
    """
    folder = root / FOLDER
    path = find_table(folder, *NIH_TABLES)
    table = only_once(read_columns(path, NEEDED, others=OTHERS), "Image Index", path)
    findings = table["Finding Labels"].str.split("|").map(set)
    label = findings.map(
        lambda found: "N" if found == {"No Finding"} else "P" if "Pneumonia" in found else ""
    )
    files = _files(folder)
    left_out = {
        "with other findings": int((label == "").sum()),
        "PNG that no row names": len(set(files) - set(table["Image Index"])),
    }
    age = pd.to_numeric(table.get("Patient Age", pd.Series("", table.index)).str.extract(r"^(\d+)Y?$")[0])
    sex = table.get("Patient Sex", table.get("Patient Gender", ""))
    rows = pd.DataFrame(
        {
            "image_id": table["Image Index"].str.removesuffix(".png"),
            "file": table["Image Index"].map(files).fillna(""),
            "label": label,
            "patient_id": "nih-" + table["Patient ID"].str.zfill(8),
            "view": table.get("View Position", ""),
            "nih_labels": table["Finding Labels"],
            "age": age.where(age <= OLDEST),
            "sex": sex,
        }
    )
    return to_cohort(rows, SOURCE, path, left_out)


def _files(folder: Path) -> dict[str, str]:
    """Return where each PNG lies by its name: folders are listed, files not opened.

    The publisher's twelve archives hold ``images/``; unpacked side by side they are ``images_001/images/``
    and so on.
    """
    found: dict[str, str] = {}
    for place, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith(".png") and not name.startswith("."):
                path = os.path.abspath(os.path.join(place, name))
                if name in found:
                    raise CohortError(f"{path}: the same name as {found[name]}; remove one")
                found[name] = path
    return found


ACCESS = (
    "Download images_001.tar.gz to images_012.tar.gz and Data_Entry_2017_v2020.csv from "
    "nihcc.app.box.com/v/ChestXray-NIHCC, without a login, and unpack each archive into a folder of its name."
)

CHESTXRAY8_FULL = DataSet(
    name="chestxray8-full",
    what="all of ChestX-ray8 in its release with 14 findings; chestxray8 and rsna-pneumonia are parts of it",
    labels="P: Pneumonia, often beside other findings (not COVID-19); N: No Finding; other findings left out",
    source="nihcc.app.box.com/v/ChestXray-NIHCC",
    licence="NIH Clinical Center: free use with attribution",
    cite="Wang et al. 2017, ChestX-ray8 (CVPR)",
    size="112,120 PNG files of 30,805 patients, 1,024 x 1,024, some 42 GB",
    checks="each image has one row and one file; labels come from reports by program, view, age and sex from "
    "the table",
    published={"N": 60361, "P": 1431},
    needs=(FOLDER,),
    read=read,
    access=ACCESS,
)

DATA_SETS = (CHESTXRAY8_FULL,)
