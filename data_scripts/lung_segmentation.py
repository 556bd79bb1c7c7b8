"""Montgomery and Shenzhen (Jaeger et al. 2014): tuberculosis, one hospital each, lung masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from data_scripts.common import DataSet, find_files, read_metadata, store, to_cohort
from data_scripts.download import fetch_repository

FOLDER = "lung_segmentation"
SOURCES = {"CHNCXR": "Shenzhen", "MCUCXR": "Montgomery"}
# No patient ids are published; these pairs look like the same patient and share the smaller id.
SAME_PATIENT = {"CHNCXR_0605_1": "CHNCXR_0477_1", "MCUCXR_0313_1": "MCUCXR_0264_1"}


def read(root: Path, source: str) -> pd.DataFrame:
    """Read one of the two sets, all PA: P is tuberculosis, N normal.

    Parameters
    ----------
    root : pathlib.Path
        The data folder.
    source : str
        ``Montgomery`` or ``Shenzhen``.
    """
    table = read_metadata(root / FOLDER, "source", "finding")
    table = table[table["source"] == source]
    table = table.assign(patient_id=table["image_id"].replace(SAME_PATIENT), view="PA")
    return to_cohort(
        table, table["finding"].replace({"0": "N", "1": "P"}), source, root / FOLDER / "metadata.csv"
    )


def fetch(root: Path) -> None:
    """Fetch both sets: images and masks have the same name, whose last digit is the finding."""
    tree = fetch_repository("rochadiego/MultiResUNet-lung-segmentation", root)
    files = [file for file in find_files(tree, "data/cxr/*") if file.stem[:6] in SOURCES]
    table = pd.DataFrame({"image_id": [file.stem for file in files], "file": files})
    table["mask"] = [tree / "data" / "masks" / file.name for file in files]
    table["source"] = table["image_id"].str[:6].map(SOURCES)
    table["finding"] = table["image_id"].str[-1]
    table["patient_id"] = table["image_id"]
    table["original_file"] = [file.name for file in files]
    store(root / FOLDER, table[[mask.exists() for mask in table["mask"]]], "lung")


SHENZHEN = DataSet(
    name="shenzhen",
    what="one hospital, PA, with lung masks, squashed to 512 x 512 by the source; nearest in kind to COVIDGR",
    labels="P: tuberculosis (not COVID-19); N: normal",
    source="github.com/rochadiego/MultiResUNet-lung-segmentation, from the US National Library of Medicine",
    licence="US National Library of Medicine: research and teaching, cite the sources",
    cite="Jaeger et al. 2014; Candemir et al. 2014; Shenzhen masks: Stirenko et al. 2018",
    size="566 pairs of image and mask, 512 x 512",
    checks="each image has a mask of its own size; pairs that look like one patient count as one",
    published={"N": 279, "P": 287},
    needs=(f"{FOLDER}/metadata.csv",),
    read=partial(read, source="Shenzhen"),
    fetch=fetch,
)

MONTGOMERY = SHENZHEN._replace(
    name="montgomery",
    what="another hospital for shenzhen, PA, with lung masks, squashed to 512 x 512 by the source",
    size="138 pairs of image and mask, 512 x 512",
    published={"N": 80, "P": 58},
    read=partial(read, source="Montgomery"),
)

DATA_SETS = (SHENZHEN, MONTGOMERY)
