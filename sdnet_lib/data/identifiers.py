"""Ids as people type them: cleaned once, so that one patient is not taken for two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from sdnet_lib.files import readable

_WHOLE = re.compile(r"(\d+)\.0+")  # a number as a spreadsheet keeps it
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?")
_BETWEEN = re.compile(r"[ _-]+")
_SPOILT = re.compile(r"[+-]?\d([.,]\d+)?[eE]\+\d+|#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!)")


def clean(text: str) -> str:
    """Return an id without what nobody sees.

    White space at its ends goes, inside it becomes one blank; invisible characters go; letters that can be
    written in several ways (accents, full width) are written in one; ``12.0`` is ``12``.
    """
    text = unicodedata.normalize("NFKC", readable(text))
    seen = "".join(letter for letter in text if letter.isspace() or unicodedata.category(letter)[0] != "C")
    text = unicodedata.normalize("NFKC", " ".join(seen.split()))
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def spoilt(name: str) -> bool:
    """Say whether an id is what a spreadsheet leaves of one: ``1.23457E+17``, or ``#N/A``."""
    return bool(_SPOILT.fullmatch(name))


def _alike(name: str) -> str:
    """Return what is the same for ids that people may mean alike."""
    name = "".join(str(unicodedata.digit(letter, letter)) for letter in name.casefold()).strip("'")
    if _NUMBER.fullmatch(name):
        return str(Decimal(name).normalize())
    return _ZEROS.sub("", _BETWEEN.sub("-", name))


def ambiguous(ids: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of two ids that may mean one patient: they differ in how they are written only.

    ``001`` and ``1``, ``1e0`` and ``1``, ``P7`` and ``p07``, or ``p 7`` and ``p_7``: whether they are one is
    for the user to say. None if all is clear.
    """
    first: dict[str, int] = {}
    for position, name in enumerate(ids):
        earlier = first.setdefault(_alike(name), position)
        if ids[earlier] != name:
            return earlier, position
    return None
