"""The release once more in BIMCV's layout: MIDS, a folder for each patient, study and kind of image.

It is that of BIMCV-COVID19+ (de la Iglesia Vayá et al., 2020), which takes the layout of brain images, BIDS,
to the chest: ``sub-P/ses-E/mod-rx/sub-P_ses-E_run-1_bp-chest_vp-pa_cr.png``, with JSON beside it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from sdnet_lib.files import write_text
from sdnet_lib.names import csv_text

FOLDER, IMAGES = "mids", "mod-rx"  # within the release; of radiographs, within a study
LABELS = Path("derivatives") / "labels" / "labels.tsv"
TAGS = {
    "modality": "Modality",
    "view": "ViewPosition",
    "sex": "PatientSex",
    "age": "PatientAge",
    "kvp": "KVP",
}


def write(release: Path, cohort: pd.DataFrame, studies: pd.DataFrame) -> None:
    """Write ``mids/`` into a release.

    Parameters
    ----------
    release : Path
        Folder to write to.
    cohort : DataFrame
        Of the release, with the paths of its films.
    studies : DataFrame
        By `image_id`: ``session``, a pseudonym of the study, and ``modality``, such as CR.
    """
    top = release / FOLDER
    rows = cohort.join(studies, on="image_id").sort_values(["patient_id", "session", "image_id"])
    rows["run"] = rows.groupby(["patient_id", "session"]).cumcount() + 1
    rows["name"] = [name(row) for row in rows.itertuples()]
    for row in rows.to_dict("records"):
        target = top / f"sub-{row['patient_id']}" / f"ses-{row['session']}" / IMAGES / f"{row['name']}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(row["file"], target)
        said = {tag: row[column] for column, tag in TAGS.items() if pd.notna(row[column]) and row[column]}
        tags = {"BodyPartExamined": "CHEST", **said}
        write_text(target.with_suffix(".json"), json.dumps(tags, indent=1, default=float) + "\n")
    for patient, films in rows.groupby("patient_id"):
        sessions = pd.DataFrame({"session_id": films["session"].unique()})
        _write_tsv(sessions, top / f"sub-{patient}" / f"sub-{patient}_sessions.tsv")
    _write_tsv(participants(rows), top / "participants.tsv")
    _write_tsv(rows[["patient_id", "session", "name", "label", "severity", "rale"]], top / LABELS)


def name(row: tuple) -> str:
    """Return what a film is called, without its suffix."""
    who = f"sub-{row.patient_id}_ses-{row.session}_run-{row.run}"
    return f"{who}_bp-chest_vp-{row.view.lower()}_{row.modality.lower()}"


def participants(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each patient, of the columns that BIMCV's table has; the age is at the first film."""
    patients = rows.groupby("patient_id")
    return pd.DataFrame(
        {
            "participant": patients["patient_id"].first(),
            "modality_dicom": patients["modality"].agg(lambda kinds: " ".join(sorted(set(kinds)))),
            "body_parts": "chest",
            "age": patients["age"].first(),
            "gender": patients["sex"].first(),
        }
    )


def _write_tsv(table: pd.DataFrame, file: Path) -> None:
    write_text(file, csv_text(table, sep="\t"))
