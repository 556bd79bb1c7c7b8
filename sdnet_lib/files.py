"""Files: written whole or not at all, known by their content; and the one error that bad input raises."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class InputError(ValueError):
    """Something the user gave cannot be used; the message names the file, row or option."""


def one_line(error: BaseException) -> str:
    """Return the reason of an error as one line, without line breaks and runs of spaces."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def whole(file: str | Path) -> Iterator[Path]:
    """Lend a path to write to; what is there when the block ends without an error becomes `file`.

    The folder is made if need be. Whoever looks at `file`, even after the process was killed, finds the old
    content or all of the new.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def write_text(file: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole(file) as part:
        part.write_text(text, encoding="utf-8")


def write_json(file: str | Path, content: object) -> None:
    """Write JSON with a line per entry, whole or not at all."""
    write_text(file, json.dumps(content, indent=1) + "\n")


def write_bytes(file: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(file) as part:
        part.write_bytes(content)


def write_parquet(file: str | Path, table: pd.DataFrame) -> None:
    """Write a table without its index, whole or not at all."""
    with whole(file) as part:
        table.to_parquet(part, index=False)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Lend an empty folder that becomes `target` when the block ends well, and vanishes otherwise.

    Where two processes make the same folder, the first one wins and the other takes its result.

    Raises
    ------
    InputError
        If `target` cannot be made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    part.chmod(0o755)
    try:
        yield part
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():
                raise InputError(f"{target}: cannot be written") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


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


@lru_cache
def code_hash(*folders: Path) -> str:
    """Return 12 hexadecimal digits for the Python sources below some folders, this package's by default."""
    parts = []
    for folder in folders or (Path(__file__).parent,):
        for file in sorted(folder.rglob("*.py")):
            parts += [str(file.relative_to(folder)), file.read_bytes()]
    return digest(*parts, digits=12)
