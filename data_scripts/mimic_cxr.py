"""MIMIC-CXR-JPG (Johnson et al. 2019): one hospital in Boston, credentialed access."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet
from data_scripts.layouts import find_table, only_known, only_once, read_columns, to_cohort

FOLDER = "mimic_cxr"
IMAGES, LABELS, SPLIT = (f"mimic-cxr-2.0.0-{what}.csv" for what in ("metadata", "chexpert", "split"))
FRONTAL = ("PA", "AP")
VALUES = ("", "1.0", "0.0", "-1.0", "1", "0", "-1")  # present, absent, uncertain; blank: not mentioned
STUDY = ("subject_id", "study_id")
FINDINGS = ("No Finding", "Pneumonia")


def read(root: Path) -> pd.DataFrame:
    """Read the frontal images: P where CheXpert's labeller found Pneumonia in the report, N No Finding."""
    folder = root / FOLDER
    images = find_table(folder, IMAGES)
    table = read_columns(images, ("dicom_id", *STUDY), ("ViewPosition",), ("StudyDate",))
    table = only_once(table, "dicom_id", images)
    table = table.merge(_labels(find_table(folder, LABELS)), on=[*STUDY], how="left")
    unread, side = table["label"].isna(), ~table["ViewPosition"].isin(FRONTAL)
    other = ~unread & ~side & (table["label"] == "")
    left_out = {
        "lateral, or of unknown view": int(side.sum()),
        f"frontal, of studies without a row in {LABELS}": int((unread & ~side).sum()),
        "frontal, with other findings, uncertain ones, or both labels": int(other.sum()),
    }
    rows = pd.DataFrame(
        {
            "image_id": table["dicom_id"],
            "file": [_place(folder, *row) for row in table[[*STUDY, "dicom_id"]].to_numpy()],
            "label": table["label"].where(~side & ~unread, ""),
            "patient_id": "mimic-" + table["subject_id"],
            "view": table["ViewPosition"],
            "study_id": table["study_id"],
            "date": table.get("StudyDate", ""),
        }
    )
    if any((folder / name).is_file() for name in (SPLIT, f"{SPLIT}.gz")):
        rows = rows.merge(_split(find_table(folder, SPLIT)), on="image_id", how="left").fillna({"split": ""})
    return to_cohort(rows, "MIMIC-CXR", images, left_out)


def _labels(path: Path) -> pd.DataFrame:
    """Return `subject_id`, `study_id` and the label of each study, ``""`` where it is neither or both."""
    table = only_once(read_columns(path, STUDY, FINDINGS), "study_id", path)
    for finding in FINDINGS:
        only_known(table, finding, VALUES, path)
    normal, ill = (table[finding].isin(("1", "1.0")) for finding in FINDINGS)
    table["label"] = ""
    table.loc[normal & ~ill, "label"] = "N"
    table.loc[ill & ~normal, "label"] = "P"
    return table[[*STUDY, "label"]]


def _split(path: Path) -> pd.DataFrame:
    table = only_once(read_columns(path, ("dicom_id", "split")), "dicom_id", path)
    return table.rename(columns={"dicom_id": "image_id"})


def _place(folder: Path, subject: str, study: str, image: str) -> str:
    return os.path.abspath(
        folder / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{image}.jpg"
    )


ACCESS = (
    "Become a credentialed user of physionet.org (a course on research with people, and a reference), sign "
    f"the agreement of physionet.org/content/mimic-cxr-jpg, and download {IMAGES}.gz, {LABELS}.gz, "
    f"{SPLIT}.gz and as much of files/ as you need."
)

MIMIC_CXR = DataSet(
    name="mimic-cxr",
    what="one hospital in Boston, 2011 to 2016, labels from reports by program; credentialed access",
    labels="P: Pneumonia, often beside other findings (not COVID-19); N: No Finding; others left out",
    source="physionet.org/content/mimic-cxr-jpg",
    licence="PhysioNet Credentialed Health Data License: nobody may pass it on",
    cite="Johnson et al. 2019, arXiv:1901.07042; Goldberger et al. 2000 for PhysioNet",
    size="377,110 JPEG files with the labels of 227,827 reports, some 560 GB",
    checks="each image and each study has one row; frontal views only; the publisher's split is kept as a "
    "column. Age and sex are not in these tables",
    published={},
    needs=(FOLDER,),
    read=read,
    access=ACCESS,
)

DATA_SETS = (MIMIC_CXR,)
