"""The biased mixture of chapter 1: positives from one place, negatives from another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_scripts import chestxray8, cxr_collection
from data_scripts.common import DataSet, mixture


def read(root: Path) -> pd.DataFrame:
    """Read COVID-19 Image Data Collection's positives (all views) and ChestX-ray8's No_findings as N."""
    positives = cxr_collection.read(root).query("label == 'P'")
    negatives = chestxray8.read(root).query("label == 'N'")
    return mixture("covidx-mini", positives, negatives)


def fetch(root: Path) -> None:
    """Fetch the two sets that it mixes."""
    for part in (cxr_collection.CXR_COLLECTION, chestxray8.CHESTXRAY8):
        if not part.is_here(root):
            part.fetch(root)


COVIDX_MINI = DataSet(
    name="covidx-mini",
    what="a biased mixture: P from cxr-collection, N from chestxray8",
    labels="P: COVID-19; N: No Finding, from another source than every P",
    source="cxr-collection and chestxray8",
    licence="as theirs",
    cite="as theirs",
    size="925 images",
    checks="no id and no picture in both parts",
    published={"N": 499, "P": 426},
    needs=(*cxr_collection.CXR_COLLECTION.needs, *chestxray8.CHESTXRAY8.needs),
    read=read,
    fetch=fetch,
)

DATA_SETS = (COVIDX_MINI,)
