"""What an audit costs: the seconds and the memory of `sdnet audit` on synthetic cohorts of several sizes.

The stored table has a row per cohort: `films`, `size` (of a film's longest side, in pixels), `lungs`
(``found`` by the U-Net, as in real films, or ``known``), and what `bench.cost.measured` returns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from sdnet_lib.config import cache_dir
from sdnet_lib.data.cohort import read_cohort, write_cohort
from sdnet_lib.files.temporary import private_folder
from sdnet_lib.phantom.cohorts import homogeneous
from sdnet_lib.studies.bench.cost import SDNET, measured
from sdnet_lib.studies.published import kept

FOUND, KNOWN = "found", "known"
# Films, pixels, lungs. What the U-Net does to a film does not depend on how many there are.
RUNS = ((1000, 512, FOUND), (1000, 128, KNOWN), (5000, 128, KNOWN), (20_000, 128, KNOWN))


def compute(runs: Sequence[tuple[int, int, str]] = RUNS) -> tuple[dict, dict]:
    """Audit a cohort for each run; see `published.store` for what is returned.

    What was drawn or measured before comes from the cache.
    """
    folder = cache_dir() / "audit-cost"
    rows = []
    for films, size, lungs in tqdm(runs, "cohorts audited", disable=None):
        drawn = max(run[0] for run in runs if run[1] == size)  # once for all of this size
        pool = folder / f"{drawn}-films-{size}"
        if not pool.is_dir():
            homogeneous(drawn, 0, pool, size=size)
        make = partial(_row, pool, films, size, lungs)
        rows.append(kept(folder / f"cost-{films}-{size}-{lungs}.parquet", make))
    return {"": pd.concat(rows, ignore_index=True)}, {"cores": os.cpu_count()}


def _row(pool: Path, films: int, size: int, lungs: str) -> pd.DataFrame:
    """Audit the first films of a folder."""
    table = read_cohort(pool, check_files=False).head(films)
    if lungs == FOUND:  # without its masks no film says that it is synthetic
        table = table.drop(columns=["lung_mask", "lesion_mask"])
    with private_folder() as folder:
        command = [*SDNET, "audit", str(write_cohort(table, folder)), "-o", str(folder / "report")]
        cost = measured(command)
    return pd.DataFrame([{"films": films, "size": size, "lungs": lungs} | cost])
