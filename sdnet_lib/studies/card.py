"""The card of a trained model: where it comes from, what it is worth, and what it is not for.

It is in the header of the model's file, and once more beside it as JSON for people. This module needs no
torch, so that what is wrong with a file is said at once.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sdnet_lib.checksums import FILES, check_stamp, read_seal
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError, one_line
from sdnet_lib.studies.card_schema import check

SHIPPED = Path(__file__).parent / "models"
DEFAULT = "synthetic"
NO_DEVICE = (
    "Not a medical device: for teaching and research. Real decisions need a model trained and validated on "
    "the user's own population."
)
LIMITS = (
    "Tested by cross-validation on the cohort it was trained on: another hospital, device, view or age group "
    "may be read much worse.",
    "It tells P from N and knows nothing else: any other disease may look like either.",
    "Its probabilities hold for the share of P in its training images.",
)
KEY = "card"  # its place in the header


def shipped() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.safetensors"))


def find(source: str | Path) -> Path:
    """Return the file of a model: one of `shipped`, or any other; raise `InputError` if there is none."""
    file = SHIPPED / f"{source}.safetensors" if str(source) in shipped() else Path(source)
    if not file.is_file():
        raise InputError(f"model {source}: no such file, and not one of {', '.join(shipped())}")
    return file


def read(file: Path) -> dict:
    """Read the card of a model file.

    Raises
    ------
    InputError
        If the file is damaged, has no card, or its model tells other classes apart.
    """
    _check_bytes(file)
    try:
        with safe_open(file, "np") as stored:
            text = (stored.metadata() or {})[KEY]
        check(text)
        card = json.loads(text)
    except (OSError, SafetensorError, KeyError, RecursionError, ValueError) as error:
        raise InputError(
            f"model {file}: not a file that sdnet train wrote, or damaged ({one_line(error)})"
        ) from error
    if card["labels"] != list(LABELS):
        raise InputError(f"model {file}: tells {card['labels']} apart, not {' and '.join(LABELS)}")
    return card


def _check_bytes(file: Path) -> None:
    """Check a model, and the card beside it if there is one, by their checksums; say so if there is none.

    Raises
    ------
    Damaged
        If one of the two is not what was written, or they do not belong together.
    """
    checked, beside = check_stamp(file), file.with_suffix(".json")
    if beside.exists():
        checked |= FILES in read_seal(beside, file)
    if not checked:
        logging.getLogger("sdnet_lib").warning("model %s: no checksum, as early versions wrote it", file)
