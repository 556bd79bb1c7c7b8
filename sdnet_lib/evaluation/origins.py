"""Where the predictions of a run come from: checked by its provenance, and compared with that of others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sdnet_lib.checksums import FILES, Damaged, read_seal
from sdnet_lib.files import InputError
from sdnet_lib.models.registry import title


def origin(predictions: Path) -> dict:
    """Return what the provenance says of a run's predictions, checked by it; nothing if there is none.

    Predictions for another cohort, ``on-COHORT/APPROACH/r0f0.parquet``, share the provenance of the run.

    Raises
    ------
    InputError
        If one of the two is damaged, or not of this run.
    """
    folder = predictions.parent
    if folder.parent.name.startswith("on-"):
        folder = folder.parents[1] / folder.name
    seal = folder / f"{predictions.stem}.json"
    if not seal.exists():
        return {}
    try:
        return read_seal(seal, predictions)
    except Damaged as error:
        raise InputError(f"{error}; `sdnet cv` does this run again") from None


def remarks(files: Iterable[Path]) -> list[str]:
    """Say what a reader should know of the origin of some runs: no checksum, or code of several versions."""
    found = {file: origin(file) for file in files}
    unchecked = sum(FILES not in facts for facts in found.values())
    lines = []
    if unchecked:
        lines.append(
            f"{unchecked} of {len(found)} runs are of an early version, without checksum and version of code."
        )
    codes = [{"approach": file.parent.name, **facts.get("code", {})} for file, facts in found.items()]
    return lines + mixed(codes)


def mixed(codes: list[dict[str, str]]) -> list[str]:
    """Say where code of several versions made what stands side by side.

    Parameters
    ----------
    codes : list of dict
        For each run its `approach`, and its `hash` and `shared` (see `studies.provenance.code_of`), as far
        as they are known.
    """
    table = pd.DataFrame(codes, columns=["approach", "hash", "shared"]).fillna("unknown")
    lines = []
    for approach, runs in table.groupby("approach", sort=False):
        if runs["hash"].nunique() > 1:
            lines.append(f"Versions of the code mix: {title(approach)} has runs of {_listed(runs['hash'])}.")
    if table["shared"].nunique() > 1:
        lines.append(f"Versions of the code that all approaches share mix: {_listed(table['shared'])}.")
    return lines


def _listed(versions: pd.Series) -> str:
    return ", ".join(f"{version} ({count} runs)" for version, count in versions.value_counts().items())
