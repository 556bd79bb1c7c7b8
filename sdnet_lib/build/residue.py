"""The last look before a release, for anything that still names somebody of the source.

It knows nothing of the rules that should have prevented it: it looks for words of the source in the bytes
of what was written. Ids of digits alone count from `DIGITS` digits on, for shorter ones are numbers of any
table. Words that a release has of itself (a patient may be called Severe) are no trace.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unicodedata import combining, normalize

from sdnet_lib.files import InputError

WORD = re.compile(r"[^\W_]+")
UID = re.compile(r"\d+(?:\.\d+){2,}")  # one made of a UUID has three parts: 2.25 and a long number
LETTERS, DIGITS = 3, 6  # of the shortest names and numbers that are looked for
LONGEST = 5  # words of an id or a day that are looked for together
PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = b"\xe0\x7f\x10\x00OW\0\0"  # what stands before the length of the pixels in a DICOM file of ours
# whose own words stand in a release: reasons, headings, codes
WRITERS = ("build/data_sheet.md.jinja", "build/deidentify.py", "build/make.py", "build/protocol.py")
WRITERS += ("build/select.py", "build/sheet.py", "data/release.py", "data/severity.py")
CHUNKS = {b"IHDR", b"IDAT", b"IEND", b"pHYs"}  # the last: how large a pixel is on paper


class Traces(NamedTuple):
    """What to look for: words of names, runs of words of ids and days, and UIDs."""

    words: frozenset[str]
    runs: frozenset[str]
    uids: frozenset[str]

    def __or__(self, other: Traces) -> Traces:
        return Traces(*(one | two for one, two in zip(self, other, strict=True)))


def traces(identities: Iterable[dict[str, list[str]]], *, days: bool) -> Traces:
    """Collect what names somebody in the headers of a source.

    Parameters
    ----------
    identities : iterable of dict
        Of `archive.identity`.
    days : bool
        Whether dates count: those of a film's own patient, for another's may be what a shifted date becomes.
    """
    words, runs, uids = set(), set(), set()
    for found in identities:
        words |= {word for name in found["names"] for word in _words(name) if _telling(word)}
        ids = [_run(value) for value in found["ids"]]
        runs |= {
            value
            for value in ids
            if len(value) >= (DIGITS if value.replace(" ", "").isdigit() else LETTERS + 1)
        }
        uids |= set(found["uids"])
        for day in (day[:8] for day in found["days"] if days and day[:8].isdigit()):
            year, month, date = day[:4], day[4:6], day[6:]
            runs |= {day, f"{year} {month} {date}", f"{date} {month} {year}", f"{month} {date} {year}"}
    return Traces(frozenset(words - own_words()), frozenset(runs - own_words()), frozenset(uids))


def without(wanted: Traces, texts: Iterable[str]) -> Traces:
    """Return traces without the words of some texts that name nobody, such as makers of machines."""
    return wanted._replace(words=wanted.words - {word for text in texts for word in _words(text)})


def check(folder: Path, files: Iterable[Path], wanted: Traces) -> None:
    """Look for traces in files of a folder and in their names.

    Raises
    ------
    InputError
        That names the file; what was found in it is not repeated in full.
    """
    for file in files:
        name = file.relative_to(folder).as_posix()
        for text in (name, *texts(file)):
            if found := search(text, wanted):
                raise InputError(
                    f"not released: {name} would hold {found[:2]}... of the source ({len(found)} characters)"
                )


def search(text: str, wanted: Traces) -> str:
    """Return a trace in a text, the first by alphabet; "" if there is none."""
    words = list(_words(text))
    runs = {
        " ".join(words[place : place + length])
        for length in range(1, LONGEST + 1)
        for place in range(len(words) - length + 1)
    }
    found = (wanted.words & set(words)) | (wanted.runs & runs) | (wanted.uids & set(UID.findall(text)))
    return min(found, default="")


def texts(file: Path) -> Iterator[str]:
    """Yield the text of a written file: all of it but pixels.

    Raises
    ------
    InputError
        For a PNG with anything but pixels in it.
    """
    content = file.read_bytes()
    if content.startswith(PNG):
        if extra := set(_chunks(content)) - CHUNKS:
            raise InputError(f"{file.name}: holds {extra.pop().decode('latin-1')} beside its pixels")
        return
    head, found, rest = content.partition(PIXELS)
    if found:
        content = head + rest[4 + int.from_bytes(rest[:4], "little") :]
    yield content.decode("utf-8", errors="ignore")
    if not content.isascii():
        yield content.decode("latin-1")


def _chunks(content: bytes) -> Iterator[bytes]:
    place = len(PNG)
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        yield content[place + 4 : place + 8]
        place += length + 12


def _words(text: str) -> Iterator[str]:
    """Yield the words of a text, without capitals and accents."""
    plain = "".join(letter for letter in normalize("NFKD", text) if not combining(letter))
    return (word.casefold() for word in WORD.findall(plain))


def _run(text: str) -> str:
    return " ".join(_words(text))


def _telling(word: str) -> bool:
    """Say whether a word of a name is hardly found by chance: in Chinese two characters are enough."""
    return len(word) >= (LETTERS if word.isascii() else 2) and not word.isdigit()


@cache
def own_words() -> frozenset[str]:
    """Return the words that `WRITERS` write of their own."""
    files = [Path(__file__).parents[1] / name for name in WRITERS]
    return frozenset(word for file in files for word in _words(file.read_text(encoding="utf-8")))
