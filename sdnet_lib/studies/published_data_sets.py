"""What `sdnet data check` says of the public sets that are at hand: the record behind the page about them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_scripts import covidx, covidx_rules, registry
from sdnet_lib.code_version import code_version


def compute(data: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    """Check each public set that is in the data folder; see `published.store` for what is returned.

    The table has a row for each line that was printed: `data_set`, `line`. A set that is not here has none.

    Raises
    ------
    InputError
        If a set is here and its check fails.
    """
    here = [name for name, data_set in registry.PUBLIC.items() if data_set.is_here(data)]
    rows = [
        (name, line.replace(str(data), "DIR"))  # a path of this machine is nobody's business
        for name in here
        for line in registry.check(name, data).splitlines()
    ]
    origin = {
        "code": code_version("data_scripts.registry", *(f"data_scripts.{name}" for name in registry.MODULES)),
        "covidx": {name: _counts(data, name) for name in covidx_rules.VERSIONS if name in here},
    }
    return {"": pd.DataFrame(rows, columns=["data_set", "line"])}, origin


def _counts(data: Path, name: str) -> dict[str, dict[str, int]]:
    images = covidx.listed(data, covidx_rules.VERSIONS[name]).drop_duplicates("name")
    return dict(zip(("listed", "paper"), covidx_rules.table_1(images, name), strict=True))
