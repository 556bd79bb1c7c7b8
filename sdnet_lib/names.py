"""Text from outside: made into file names, into cells of a CSV file, and into what a terminal may show.

This module imports little, because the command line does.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sdnet_lib.files import readable

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 180  # bytes of a file name; file systems take 255, and names get suffixes and parts
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])($|[. ])")  # on Windows
FORMULA = re.compile(r"'*[=+\-@\t\r]")  # how text begins that a spreadsheet would compute
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
PLAIN = frozenset(" -_.()+,")
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories of letters that a terminal may obey


def file_names(texts: Iterable[str]) -> list[str]:
    """Make file names, without suffix, for texts such as ids; equal texts get equal names, others do not.

    Letters and digits of all alphabets stay; other characters become ``%`` and two hexadecimal digits a byte.
    Long names are cut, and names that differ in capitals only get a number, for some file systems would take
    them for one. The result depends on the texts and their order alone.
    """
    made: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        if text not in made:
            made[text] = _distinct(_file_name(text), "", taken)
    return [made[text] for text in texts]


def _file_name(text: str) -> str:
    quoted = "".join(letter if letter in PLAIN or letter.isalnum() else _bytes(letter) for letter in text)
    if quoted[:1] in (".", " ", "-", ""):  # hidden, easily overlooked, or taken for an option
        quoted = _bytes(quoted[:1]) + quoted[1:] or "_"
    if quoted[-1] in ". ":
        quoted = quoted[:-1] + _bytes(quoted[-1])
    if RESERVED.match(quoted):
        quoted = f"_{quoted}"
    if len(quoted.encode()) > LONGEST:
        start = quoted.encode()[: LONGEST - 9].decode(errors="ignore")
        quoted = f"{start}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"
    return quoted


def _bytes(letters: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letters.encode(errors="surrogateescape"))


def _distinct(start: str, end: str, taken: set[str]) -> str:
    """Return a name that is not taken, with a number in it if need be, and take it."""
    name, number = start + end, 1
    while _same(name) in taken:
        number += 1
        name = f"{start}-{number}{end}"
    taken.add(_same(name))
    return name


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def portable(paths: Iterable[str]) -> list[str]:
    """Return paths of files, with ``/``, that are different files under names that are allowed everywhere.

    A name that Windows reserves gets a ``_``, one that differs from an earlier path in capitals only a
    number; all others stay as they are.
    """
    taken: set[str] = set()
    made = []
    for path in paths:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        parts = [f"_{part}" if RESERVED.match(part) else part for part in parts]
        whole = "/".join(f"{part}_" if part[-1:] in (" ", ".") else part for part in parts)
        start, dot, suffix = whole.rpartition(".") if "." in whole.split("/")[-1] else (whole, "", "")
        made.append(_distinct(start, dot + suffix, taken))
    return made


def shown(text: str) -> str:
    """Return text that cannot move a terminal's cursor, colour it or turn the direction of writing."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter != "\n" and unicodedata.category(letter) in UNSEEN
        else letter
        for letter in readable(text)
    )


def cell(text: str) -> str:
    """Return text for a cell of a CSV file that no spreadsheet takes for a formula; `uncell` undoes it."""
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def uncell(text: str) -> str:
    """Return what `cell` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def csv_text(table: pd.DataFrame, **options: object) -> str:
    """Return a table as CSV, its text by `cell`; options are those of `DataFrame.to_csv`."""
    safe = table.copy()
    for column in safe:
        if safe[column].dtype == object:
            safe[column] = [cell(value) if isinstance(value, str) else value for value in safe[column]]
    return safe.to_csv(index=False, **options)
