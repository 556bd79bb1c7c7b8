"""Montgomery and Shenzhen (Jaeger et al. 2014) whole, as the National Library of Medicine publishes them."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from data_scripts.common import DataSet
from data_scripts.layouts import to_cohort
from data_scripts.lung_segmentation import SAME_PATIENT
from sdnet_lib.data.cohort import CohortError

IMAGES, READINGS = "CXR_png", "ClinicalReadings"
SEX = re.compile(r"\s*(?:patient's sex:)?\s*([fm])", re.IGNORECASE)  # one reader wrote "femal"
AGE = re.compile(r"(\d+)\s*(y|month|day)[^\n]*", re.IGNORECASE)
YEAR = {"y": 1, "month": 12, "day": 365}  # how many of them are a year
OLDEST = 120


def read(root: Path, folder: str, prefix: str, source: str) -> pd.DataFrame:
    """Read one of the two sets, all PA: P is tuberculosis, N normal, as the last digit of a name says.

    Parameters
    ----------
    root : pathlib.Path
        The data folder.
    folder, prefix : str
        Where the set lies in it, and how the names of its images begin.
    source : str
        Value of the column `source`.
    """
    place = Path(os.path.abspath(root / folder / IMAGES))
    if not place.is_dir():
        raise CohortError(f"{root / folder}: no folder {IMAGES} in it")
    names = [name for name in sorted(os.listdir(place)) if not name.startswith(".")]
    films = [name for name in names if re.fullmatch(rf"{prefix}_\d{{4}}_[01]\.png", name)]
    ids = pd.Series([name.removesuffix(".png") for name in films], dtype=object)
    readings = [reading(root / folder / READINGS / f"{name}.txt") for name in ids]
    table = pd.DataFrame(
        {
            "image_id": ids,
            "file": [str(place / name) for name in films],
            "label": ids.str[-1].map({"0": "N", "1": "P"}),
            "patient_id": ids.replace(SAME_PATIENT),
            "view": "PA",
        }
    ).join(pd.DataFrame(readings, columns=["sex", "age", "reading"]))
    kind = f"in {IMAGES} that is not named as an image of the set"
    cohort = to_cohort(table, source, place, {kind: len(names) - len(films)})
    silent = int((cohort["reading"] == "").sum())
    cohort.attrs["remarks"] = [f"without a clinical reading: {silent}"] if silent else []
    return cohort


def reading(file: Path) -> tuple[str, float, str]:
    """Return sex (F, M or ""), age in years and what was seen, from the text beside an image.

    Montgomery has three lines, ``Patient's Sex: F``, ``Patient's Age: 027Y`` and the finding; Shenzhen has
    ``male 45yrs`` before it, and months or days for the youngest.
    """
    if not file.is_file():
        return "", np.nan, ""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    sex, age = SEX.match(text), AGE.search(text)
    if age is None:
        return sex[1].upper() if sex else "", np.nan, " ".join(text.split())
    years = int(age[1]) / YEAR[age[2].lower()]
    seen = " ".join(text[age.end() :].split())
    return sex[1].upper() if sex else "", years if years <= OLDEST else np.nan, seen


def _data_set(name: str, folder: str, prefix: str, source: str, **facts: object) -> DataSet:
    access = (
        f"Download the {source} set from data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets, "
        f"without a login, so that {folder} holds {IMAGES} and {READINGS}."
    )
    return DataSet(
        name=name,
        labels="P: tuberculosis (not COVID-19); N: normal",
        source="data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets",
        licence="US National Library of Medicine: research and teaching, cite the sources",
        cite="Jaeger et al. 2014; Candemir et al. 2014",
        checks="names say the label; pairs that look like one patient count as one; sex, age and "
        "reading from the text beside each image; masks are not read",
        needs=(folder,),
        read=partial(read, folder=folder, prefix=prefix, source=source),
        access=access,
        **facts,
    )


DATA_SETS = (
    _data_set(
        *("shenzhen-full", "ChinaSet_AllFiles", "CHNCXR", "Shenzhen"),
        what="shenzhen whole, in its own shape and with sex and age",
        size="662 PNG files, some 3,000 x 3,000, 3.8 GB",
        published={"N": 326, "P": 336},
    ),
    _data_set(
        *("montgomery-full", "MontgomerySet", "MCUCXR", "Montgomery"),
        what="montgomery whole, in its own shape and with sex and age",
        size="138 PNG files, 4,020 x 4,892 or 4,892 x 4,020",
        published={"N": 80, "P": 58},
    ),
)
