"""PadChest (Bustos et al. 2020): one hospital in Alicante, 16-bit images, access on request."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet
from data_scripts.layouts import find_table, only_once, read_columns, to_cohort
from sdnet_lib.data.cohort import CohortError

FOLDER = "padchest"
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
NEEDED = ("ImageID", "ImageDir", "PatientID", "Projection")
OTHERS = ("StudyDate_DICOM", "PatientBirth", "PatientSex_DICOM", "MethodLabel")
FRONTAL = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP Supine"}


def read(root: Path) -> pd.DataFrame:
    """Read the frontal images: P has a pneumonia among its labels, N the label normal and no other."""
    folder = root / FOLDER
    path = find_table(folder, TABLE)
    table = only_once(read_columns(path, NEEDED, ("Labels",), OTHERS), "ImageID", path)
    side = ~table["Projection"].isin(FRONTAL)
    label = _labels(table, path).where(~side, "")
    left_out = {
        "not frontal, or of unknown view": int(side.sum()),
        "frontal, with other labels or none": int((label[~side] == "").sum()),
    }
    years = [
        pd.to_numeric(table.get(name, pd.Series("", table.index)).str[:4], errors="coerce")
        for name in ("StudyDate_DICOM", "PatientBirth")
    ]
    rows = pd.DataFrame(
        {
            "image_id": table["ImageID"].str.removesuffix(".png"),
            "file": [
                os.path.abspath(folder / place / name)
                for place, name in zip(table["ImageDir"], table["ImageID"], strict=True)
            ],
            "label": label,
            "patient_id": "padchest-" + table["PatientID"],
            "view": table["Projection"].map(FRONTAL).fillna(""),
            "age": years[0] - years[1],
            "sex": table.get("PatientSex_DICOM", ""),
            "labelled_by": table.get("MethodLabel", ""),
        }
    )
    return to_cohort(rows, "PadChest", path, left_out)


def _labels(table: pd.DataFrame, path: Path) -> pd.Series:
    """Return the label of each row, from a list such as ``['pneumonia', 'pleural effusion']``."""
    return pd.Series(
        [_label(words, f"{path}, row {row + 2}, column Labels") for row, words in table["Labels"].items()],
        table.index,
        dtype=object,
    )


def _label(words: str, where: str) -> str:
    try:
        found = {str(word).strip() for word in ast.literal_eval(words or "[]")} - {""}
    except (ValueError, SyntaxError, TypeError):
        raise CohortError(f"{where}: {words[:60]!r} is no list of labels") from None
    if any(word.split()[-1] == "pneumonia" for word in found):
        return "P"
    return "N" if found == {"normal"} else ""


ACCESS = (
    "Ask for access at bimcv.cipf.es/bimcv-projects/padchest, accept its terms, and download "
    f"{TABLE} (or .csv.gz) and the numbered archives (0.zip and so on), each unpacked into a folder of its "
    "number."
)

PADCHEST = DataSet(
    name="padchest",
    what="one hospital in Alicante, 2009 to 2017, labels from Spanish reports, 27 % of them by physicians",
    labels="P: a pneumonia among the labels (not COVID-19); N: normal and nothing else; others left out",
    source="bimcv.cipf.es/bimcv-projects/padchest",
    licence="on request, for research; nobody may pass it on",
    cite="Bustos et al. 2020, doi:10.1016/j.media.2020.101797",
    size="more than 160,000 PNG files of 16 bit, of 67,000 patients, some 1 TB",
    checks="each image has one row, with a list of labels; frontal views only; age from the years of birth "
    "and study. The reports, a column of the table, are not read",
    published={},
    needs=(FOLDER,),
    read=read,
    access=ACCESS,
)

DATA_SETS = (PADCHEST,)
