"""How far the opacities of 93 real radiographs reach: radiologists' scores, as counts without pictures.

The COVID-19 Image Data Collection gives, for PA images of its COVID-19 patients, the mean of three raters'
scores (Cohen et al., 2020; the scale is that of Wong et al., 2020): extent of the opacities, 0 to 8 over both
lungs, and their density, 0 to 6. The package ships how many images have each pair of scores.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sdnet_lib.checksums import read_seal, write_seal
from sdnet_lib.files import InputError, write_text

STORED = Path(__file__).parents[1] / "results" / "cxr_extents.csv"
ORIGIN = {
    "what": "images of the COVID-19 Image Data Collection by radiologists' scores (three raters' means)",
    "source": "ieee8023/covid-chestxray-dataset, 22 June 2020, columns geographic_extent and opacity",
    "licence": "severity scores CC BY-SA 4.0",
    "missing": "covid-19-pneumonia-14-PA, scored but not at hand",
    "command": "sdnet maintain extents DATA",
}


def load() -> pd.DataFrame:
    """Return the shipped scores, one row per image: ``extent`` (0 to 8) and ``opacity`` (0 to 6), sorted."""
    read_seal(STORED.with_suffix(".json"), STORED)
    counts = pd.read_csv(STORED)
    rows = counts.loc[counts.index.repeat(counts["images"])]
    return rows[["extent", "opacity"]].reset_index(drop=True)


def measure(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the same rows from the collection itself.

    Parameters
    ----------
    cohort : pandas.DataFrame
        `cxr-collection`, whose columns `geographic_extent` and `opacity` hold the scores, blank where nobody
        gave any.

    Raises
    ------
    InputError
        The cohort has no such column.
    """
    if "geographic_extent" not in cohort:
        raise InputError("the metadata of cxr-collection have no column geographic_extent")
    scores = cohort[["geographic_extent", "opacity"]].dropna().astype(float)
    scores.columns = ["extent", "opacity"]
    return scores.sort_values(["extent", "opacity"], ignore_index=True)


def compare(cohort: pd.DataFrame | None) -> str:
    """Count again where the collection is at hand (None: it is not), and say in one line what came of it.

    Raises
    ------
    InputError
        The collection's scores are not the shipped ones.
    """
    if cohort is None:
        return "cxr-collection is not at hand: the numbers are the shipped ones"
    try:
        live = measure(cohort)
    except InputError as error:
        return f"not counted again: {error}"
    if not live.equals(load()):
        raise InputError(f"the scores of cxr-collection differ from those in {STORED.name}")
    return f"counted again in {len(live)} images: equal to the shipped numbers"


def store(scores: pd.DataFrame, file: Path = STORED) -> None:
    """Write counts of the scores that `measure` returns, and beside them, as JSON, where they come from."""
    counts = scores.groupby(["extent", "opacity"]).size().rename("images").reset_index()
    write_text(file, counts.to_csv(index=False))
    write_seal(file.with_suffix(".json"), ORIGIN | {"images": len(scores)}, file)
