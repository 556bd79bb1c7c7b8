"""How far the opacities of 93 real radiographs reach: radiologists' scores, as counts without pictures.

The COVID-19 Image Data Collection gives, for PA images of its COVID-19 patients, the mean of three raters'
scores (Cohen et al., 2020; the scale is that of Wong et al., 2020): extent of the opacities, 0 to 8 over both
lungs, and their density, 0 to 6. The package ships how many images have each pair of scores.

``python -m sdnet_lib.data.extents DATA`` counts them anew from a data folder and rewrites the shipped files.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import pandas as pd

from data_scripts.registry import load_cohort
from sdnet_lib.files import InputError

STORED = files("sdnet_lib") / "results" / "cxr_extents.csv"


def load() -> pd.DataFrame:
    """Return the shipped scores, one row an image: ``extent`` (0 to 8) and ``opacity`` (0 to 6), sorted."""
    with STORED.open(encoding="utf-8") as table:
        counts = pd.read_csv(table)
    rows = counts.loc[counts.index.repeat(counts["images"])]
    return rows[["extent", "opacity"]].reset_index(drop=True)


def measure(data: str | Path) -> pd.DataFrame:
    """Return the same rows from the collection itself, in the folder `data`.

    Raises
    ------
    InputError
        The collection is not in `data`, or has no scores.
    """
    cohort = load_cohort("cxr-collection", data=data)
    if "geographic_extent" not in cohort:
        raise InputError(f"{data}: the metadata of cxr-collection have no column geographic_extent")
    scores = cohort[["geographic_extent", "opacity"]].dropna().astype(float)
    scores.columns = ["extent", "opacity"]
    return scores.sort_values(["extent", "opacity"], ignore_index=True)


def compare(data: str | Path | None) -> str:
    """Count again where the collection is at hand, and say in one line what came of it.

    Raises
    ------
    InputError
        The collection's scores are not the shipped ones.
    """
    if data is None:
        return "no data folder: the numbers are the shipped ones"
    try:
        live = measure(data)
    except InputError as error:
        return f"not counted again: {error}"
    if not live.equals(load()):
        raise InputError(f"{data}: the scores of cxr-collection differ from those in {STORED.name}")
    return f"counted again in {len(live)} images: equal to the shipped numbers"


def main(data: str) -> None:
    """Rewrite the shipped counts and their provenance from the collection in the folder `data`."""
    scores = measure(data)
    counts = scores.groupby(["extent", "opacity"]).size().rename("images").reset_index()
    provenance = {
        "what": "images of the COVID-19 Image Data Collection by radiologists' scores (three raters' means)",
        "source": "ieee8023/covid-chestxray-dataset, 22 June 2020, columns geographic_extent and opacity",
        "licence": "severity scores CC BY-SA 4.0",
        "images": len(scores),
        "missing": "covid-19-pneumonia-14-PA, scored but not at hand",
        "command": "python -m sdnet_lib.data.extents DATA",
    }
    path = Path(str(STORED))
    path.parent.mkdir(exist_ok=True)
    _write(path, counts.to_csv(index=False))
    _write(path.with_suffix(".json"), json.dumps(provenance, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    main(sys.argv[1])
