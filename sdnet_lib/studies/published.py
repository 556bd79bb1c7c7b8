"""Results that are computed once, stored with the package and loaded by the book, with where they come from.

`published_experiments` says what is computed, and `build.trial`. Whatever takes long is kept in the cache as
it is made, so a computation that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from sdnet_lib.checksums import FILES, beside, kept_file, read_seal, write_seal
from sdnet_lib.files import InputError, write_parquet, write_text
from sdnet_lib.studies.provenance import versions

RESULTS = Path(__file__).parents[1] / "results"
PACKED = RESULTS / "runs"  # the predictions of cross-validations
TABLES = {
    "shortcuts": "bias_real",
    "pointing": "pointing",
    "audit": "audit_calibration",
    "audit-cost": "audit_cost",
    "audit-public": "audit_public",
    "build": "build_trial",
    "data-sets": "data_sets",
}  # other results, and the names of their files

Made = dict[str, np.ndarray] | pd.DataFrame


def load(name: str, external: str | None = None) -> tuple[pd.DataFrame, dict]:
    """Return a stored result and where it comes from.

    The origin's ``command`` is the one that makes the result today; older files name a module that has moved.

    Parameters
    ----------
    name : str
        One of `stored`, for the predictions of a cross-validation, or of `TABLES`; the columns of those are
        said in the module that computes each: see `published_experiments.publish`.
    external : str, optional
        Another cohort that the networks of a cross-validation were tested on, for those predictions instead.

    Raises
    ------
    InputError
        If nothing of this name is stored, or a file is damaged.
    """
    if name in TABLES:
        file = RESULTS / f"{TABLES[name]}.csv"
        origin = _origin(name, file.with_suffix(".json"), file)
        # `code` is a hash, which may look like a number
        table = pd.read_csv(file, keep_default_na=False, na_values=["nan", ""], dtype={"code": str})
        return table, origin
    file = PACKED / f"{name}{f'-on-{external}' if external else ''}.parquet"
    if not file.exists():
        raise InputError(f"no stored study {file.stem!r}: choose one of {', '.join(stored())}")
    origin = _origin(name, PACKED / f"{name}.json", file)
    return pd.read_parquet(file), origin


def _origin(name: str, seal: Path, file: Path) -> dict:
    """Return where a result comes from, once its file has been checked; if it cannot be, say so once."""
    origin = read_seal(seal, file)
    if FILES not in origin:
        _unchecked(seal)
    return {key: value for key, value in origin.items() if key != FILES} | {"command": _command(name)}


@lru_cache
def _unchecked(seal: Path) -> None:
    logging.getLogger("sdnet_lib").warning("%s: no checksums, as early versions wrote it", seal)


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
        What is particular to this result, with the version of its code; date, command and versions are added.
    """
    shared = {"made": time.strftime("%Y-%m-%d"), "command": _command(name), "versions": versions()}
    if name in TABLES:
        seal, files = RESULTS / f"{TABLES[name]}.json", [RESULTS / f"{TABLES[name]}.csv"]
        write_text(files[0], tables[""].to_csv(index=False, float_format="%.4f"))
    else:
        seal, files = PACKED / f"{name}.json", []
        for external, table in tables.items():
            numbers = table.select_dtypes("float").columns
            packed = table.astype(dict.fromkeys(numbers, "float32"))
            files.append(PACKED / f"{name}{f'-on-{external}' if external else ''}.parquet")
            write_parquet(files[-1], packed)
    write_seal(seal, shared | origin, *files)


def kept(file: Path, make: Callable[[], Made]) -> Made:
    """Return what `make` returns, from `file` if it was made before; its seal says how long it took.

    A table goes into a file in ``.parquet``, arrays by name into one in ``.npz``.
    """

    def write(part: Path) -> dict:
        start, made = time.monotonic(), make()
        if isinstance(made, pd.DataFrame):
            made.to_parquet(part, index=False)
        else:
            with part.open("wb") as opened:
                np.savez_compressed(opened, **made)
        return {"seconds": time.monotonic() - start}

    kept_file(file, write)
    if file.suffix == ".parquet":
        return pd.read_parquet(file)
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def hours(folder: Path) -> float:
    """Return how long the files took that `kept` wrote in a folder."""
    files = (file for file in folder.iterdir() if beside(file).exists())
    return sum(read_seal(beside(file), file)["seconds"] for file in files) / 3600
