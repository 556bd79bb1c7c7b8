"""Results that are computed once, stored with the package and loaded by the book, with where they come from.

`published_experiments` says what is computed. Whatever takes long is kept in the cache as it is made, so a
computation that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import joblib
import pandas as pd

from sdnet_lib.files import InputError, code_hash, whole, write_json, write_parquet, write_text
from sdnet_lib.studies.study import versions

RESULTS = Path(__file__).parents[1] / "results"
PACKED = RESULTS / "runs"  # the predictions of cross-validations
IN_FILES = {"shortcut": "clue"}  # columns that have another name in stored files
TABLES = {"shortcuts": "bias_real", "pointing": "pointing"}  # other results, and the names of their files

T = TypeVar("T")


def load(name: str, external: str | None = None) -> tuple[pd.DataFrame, dict]:
    """Return a stored result and where it comes from.

    The origin's ``command`` is the one that makes the result today; older files name a module that has moved.

    Parameters
    ----------
    name : str
        One of `stored`, for the predictions of a cross-validation, or of `TABLES`; the columns of those are
        said in `published_shortcuts` and `published_pointing`.
    external : str, optional
        Another cohort that the networks of a cross-validation were tested on, for those predictions instead.

    Raises
    ------
    InputError
        If nothing of this name is stored.
    """
    if name in TABLES:
        file = RESULTS / f"{TABLES[name]}.csv"
        # `code` is a hash, which may look like a number
        table = pd.read_csv(file, keep_default_na=False, na_values=["nan", ""], dtype={"code": str})
        table = table.rename(columns={stored: column for column, stored in IN_FILES.items()})
        return table, _origin(name, file.with_suffix(".json"))
    file = PACKED / f"{name}{f'-on-{external}' if external else ''}.parquet"
    if not file.exists():
        raise InputError(f"no stored study {file.stem!r}: choose one of {', '.join(stored())}")
    return pd.read_parquet(file), _origin(name, PACKED / f"{name}.json")


def _origin(name: str, file: Path) -> dict:
    return json.loads(file.read_text()) | {"command": _command(name)}


def _command(name: str) -> str:
    return f"sdnet maintain published {name} --data DIR"


def stored() -> list[str]:
    """Return the names of the cross-validations whose predictions come with the package."""
    return sorted(file.stem for file in PACKED.glob("*.json"))


def store(name: str, tables: dict[str, pd.DataFrame], origin: dict) -> None:
    """Write a result and where it comes from, for `load`.

    Parameters
    ----------
    name : str
    tables : dict of str to DataFrame
        By external cohort; ``""`` is the result itself.
    origin : dict
        What is particular to this result; date, command, code and versions are added.
    """
    shared = {
        "made": time.strftime("%Y-%m-%d"),
        "command": _command(name),
        "code": code_hash(),
        "versions": versions(),
    }
    if name in TABLES:
        file = RESULTS / f"{TABLES[name]}.csv"
        write_text(file, tables[""].rename(columns=IN_FILES).to_csv(index=False, float_format="%.4f"))
    else:
        file = PACKED / name
        for external, table in tables.items():
            numbers = table.select_dtypes("float").columns
            packed = table.astype(dict.fromkeys(numbers, "float32"))
            write_parquet(PACKED / f"{name}{f'-on-{external}' if external else ''}.parquet", packed)
    write_json(file.with_suffix(".json"), shared | origin)


def kept(file: Path, make: Callable[[], T]) -> T:
    """Return what `make` returns, from `file` if it was made before; the file says too how long it took."""
    if not file.exists():
        start = time.monotonic()
        made = make()
        with whole(file) as part:
            joblib.dump({"made": made, "seconds": time.monotonic() - start}, part, compress=3)
    return joblib.load(file)["made"]


def hours(folder: Path) -> float:
    """Return how long the files took that `kept` wrote in a folder."""
    return sum(joblib.load(file)["seconds"] for file in folder.iterdir()) / 3600
