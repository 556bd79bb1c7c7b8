"""Ids as people type them: cleaned once, so that one patient is not taken for two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sdnet_lib.files import readable

_WHOLE = re.compile(r"(\d+)\.0+")  # a number as a spreadsheet keeps it
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


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


def ambiguous(ids: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of two ids that may mean one patient: they differ in zeros or capitals only.

    ``001`` and ``1``, or ``P7`` and ``p07``: whether they are one is for the user to say. None if all is
    clear.
    """
    first: dict[str, int] = {}
    for position, name in enumerate(ids):
        earlier = first.setdefault(_ZEROS.sub("", name.casefold()), position)
        if ids[earlier] != name:
            return earlier, position
    return None
