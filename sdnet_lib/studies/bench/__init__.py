"""How fast each stage of the course is on this machine, beside a plain reference that does the same."""

from __future__ import annotations

from collections.abc import Sequence

from sdnet_lib.files import InputError

NAMES = ("phantom", "read", "crop", "classifier", "fucitnet", "transform", "cv", "explain", "predict")


def check(names: Sequence[str]) -> None:
    """Raise `InputError` for a stage that there is not."""
    for name in names:
        if name not in NAMES:
            raise InputError(f"unknown stage {name!r}: choose from {', '.join(NAMES)}")
