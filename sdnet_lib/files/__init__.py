"""Files: written whole or not at all, known by their content; and the one error that bad input raises."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdnet_lib.files.machine import named
from sdnet_lib.files.temporary import part_of

if TYPE_CHECKING:
    import pandas as pd


class InputError(ValueError):
    """Something the user gave cannot be used; the message names the file, row or option."""


def one_line(error: BaseException) -> str:
    """Return the reason of an error as one line, without line breaks and runs of spaces."""
    return " ".join(str(error).split()) or type(error).__name__


def check_place(folder: str | Path) -> None:
    """Raise `InputError` if a folder can neither be written nor made."""
    wanted = place = Path(os.path.abspath(folder))
    while not os.path.lexists(place):
        place = place.parent
    named_so = str(folder) if place == wanted else f"{folder}: {place}"
    if not place.is_dir():
        raise InputError(f"{named_so} is no folder")
    if not os.access(place, os.W_OK | os.X_OK):
        read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        raise InputError(f"{named_so}: {os.strerror(errno.EROFS if read_only else errno.EACCES)}")


@contextmanager
def whole(file: str | Path) -> Iterator[Path]:
    """Lend a path to write to; what is there when the block ends without an error becomes `file`.

    The folder is made if need be. Whoever looks at `file`, even after the process was killed, finds the old
    content or all of the new.
    """
    file = Path(file)
    with named(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with part_of(file) as part, named(file, part):
            yield part
            os.replace(part, file)


def readable(text: str) -> str:
    r"""Return text that UTF-8 can write: bytes of file names that are no UTF-8 become ``\xf1`` and the like.

    Where Python took the system's names for something else than UTF-8, their letters come back.
    """
    try:
        content = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        content = text.encode(errors="backslashreplace")
    return content.decode(errors="backslashreplace")


def write_text(file: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; see `readable`."""
    with whole(file) as part:
        part.write_text(readable(text), encoding="utf-8")


def write_json(file: str | Path, content: object) -> None:
    """Write JSON with a line per entry, whole or not at all."""
    write_text(file, json.dumps(content, indent=1) + "\n")


def write_bytes(file: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(file) as part:
        part.write_bytes(content)


def write_parquet(file: str | Path, table: pd.DataFrame) -> None:
    """Write a table without its index, whole or not at all."""
    write_bytes(file, table.to_parquet(index=False))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Lend an empty folder that becomes `target` when the block ends well, and vanishes otherwise.

    Where two processes make the same folder, the first one wins and the other takes its result.

    Raises
    ------
    OSError
        If `target` cannot be made; it names it.
    """
    with named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with part_of(target, folder=True) as part, named(target, part):
            yield part
            try:
                part.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another process was first
                    raise OSError(error.errno, error.strerror, str(target)) from error


def digest(*parts: str | bytes, digits: int = 16) -> str:
    """Return hexadecimal digits of the SHA-256 of some texts or bytes, one after the other."""
    whole_content = hashlib.sha256()
    for part in parts:
        whole_content.update(part.encode() if isinstance(part, str) else part)
    return whole_content.hexdigest()[:digits]


def content_hash(file: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits; the file may be larger than memory."""
    content = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(1 << 20):
            content.update(block)
    return content.hexdigest()
