"""How fast each stage of the course is on this machine, beside a plain reference that does the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import sdnet_lib
from sdnet_lib.files import InputError

NAMES = ("phantom", "read", "crop", "classifier", "fucitnet", "transform", "cv", "explain", "predict")
STORED = Path(sdnet_lib.__file__).parent / "results" / "bench"
FACTS = ("machine", "device", "date", "version", "stages")  # that a page cannot do without


def check(names: Sequence[str]) -> None:
    """Raise `InputError` for a stage that there is not."""
    for name in names:
        if name not in NAMES:
            raise InputError(f"unknown stage {name!r}: choose from {', '.join(NAMES)}")


def read(folder: Path = STORED) -> list[dict]:
    """Return what `sdnet bench -o` wrote into a folder, one dict a file, in the order of their names.

    Returns
    -------
    list of dict
        See `measure.bench`; a file of `sdnet maintain gpu` has more, see `gpu.measure`.

    Raises
    ------
    InputError
        Naming the file, if it is not one of these.
    """
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            one = json.loads(file.read_text(encoding="utf-8"))
            missing = [name for name in FACTS if name not in one]
        except (ValueError, TypeError) as error:
            raise InputError(f"{file}: not a file of sdnet bench ({error})") from error
        if missing:
            raise InputError(f"{file}: not a file of sdnet bench, {missing[0]!r} is missing")
        found.append(one)
    return found
