"""Checksums: what is kept has one, which is written with it and checked when it is read.

A *seal* is a JSON file beside the files that belong to it. It says where they come from, and holds the
SHA-256 of each, and of itself: whatever has changed since, by a bit or by another file in its place, is
`Damaged`. A *stamp* is the same inside a safetensors file, which people send around alone. What can be made
again is made again, and one line says so; for anything else the error names the file. Files of versions that
wrote no checksums stay readable.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from sdnet_lib.files import (
    InputError,
    content_hash,
    digest,
    new_folder,
    one_line,
    whole,
    write_bytes,
    write_json,
)

if TYPE_CHECKING:
    from torch import Tensor

FILES, OWN = "files", "checksum"  # keys of a seal: its files, and the seal itself
FOLDER = "checksums.json"  # the seal of a folder
# what the header of a safetensors file says of itself; the first is filled in when all else is written
STAMP = {OWN: "0" * 64, "stamped": "yes"}

_log = logging.getLogger("sdnet_lib")


class Damaged(InputError):
    """A kept file is not what was written; the message names it."""


def write_seal(seal: Path, facts: dict, *files: Path) -> None:
    """Seal files that have just been written: `facts` says where they come from."""
    named = {_name(file, seal): content_hash(file) for file in files}
    content = json.loads(json.dumps({**facts, FILES: named}))
    write_json(seal, content | {OWN: _own(content)})


def read_seal(seal: Path, *files: Path) -> dict:
    """Return what a seal says, once it has been checked with the files that belong to it.

    Parameters
    ----------
    seal : Path
    files : Path
        Those to check; all that belong to it if none is given.

    Returns
    -------
    dict
        The facts, and under `FILES` the checksums. A seal without this key is of an early version: nothing
        but its being JSON could be checked.

    Raises
    ------
    Damaged
        If the seal or one of the files is missing or not what was written, or the seal is that of others.
    """
    try:
        content = json.loads(seal.read_text(encoding="utf-8"))
        named = content.get(FILES, {})
        if any(key in content for key in (FILES, OWN)) and content.pop(OWN) != _own(content):
            raise ValueError("its checksum is another")
    except (OSError, AttributeError, KeyError, RecursionError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise Damaged(f"{seal}: missing, so nothing can be checked") from None
        raise Damaged(f"{seal}: damaged, or changed by hand ({one_line(error)})") from None
    if FILES not in content:
        return content
    for file in files or (seal.parent / name for name in named):
        if not file.is_file():
            raise Damaged(f"{file}: missing, though {seal.name} is there")
        if content_hash(file) != named.get(_name(file, seal)):
            raise Damaged(f"{file}: damaged or replaced, {seal.name} has another checksum")
    return content


def _name(file: Path, seal: Path) -> str:
    return Path(os.path.relpath(file, seal.parent)).as_posix()


def _own(content: dict) -> str:
    """Return a checksum of what a seal says, however its JSON is laid out."""
    return digest(json.dumps(content, sort_keys=True), digits=64)


def beside(file: Path) -> Path:
    """Return where the seal of a single file is, if it has no better place."""
    return file.with_name(f"{file.name}.json")


def seal_folder(folder: Path, name: str) -> None:
    """Seal all files below a folder that is going to have this name."""
    found = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / FOLDER)
    write_seal(folder / FOLDER, {"folder": name}, *found)


def fault(path: Path) -> str:
    """Say what is wrong with a file that has its seal beside it, or a sealed folder; ``""`` if nothing is."""
    if not path.exists():
        return f"{path}: missing"
    seal, files = (path / FOLDER, ()) if path.is_dir() else (beside(path), (path,))
    try:
        facts = read_seal(seal, *files)
    except Damaged as error:
        return str(error)
    if FILES not in facts:
        return f"{seal}: without checksums, as an early version wrote it"
    if path.is_dir() and facts.get("folder") != path.name:
        return f"{path}: its seal is that of {facts.get('folder')}"
    return ""


def made_again(path: Path) -> str:
    """Return the `fault` of something that can be made again; if it is there, log that it is made again.

    Without any seal it is most likely of an early version, which is no reason to warn.
    """
    if (found := fault(path)) and path.exists():
        seal = path / FOLDER if path.is_dir() else beside(path)
        _log.log(logging.WARNING if seal.exists() else logging.INFO, "%s; it is made again", found)
    return found


def kept_file(file: Path, make: Callable[[Path], dict | None]) -> Path:
    """Return a file of the cache, which `make` writes to a path if there is none, or a damaged one.

    What `make` returns are facts for its seal.
    """
    if fault(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            if made_again(file):
                with whole(file) as part:
                    facts = make(part)
                write_seal(beside(file), facts or {}, file)
    return file


def kept_facts(file: Path, make: Callable[[], dict]) -> dict:
    """Return facts of the cache, which `make` finds out if there are none, or damaged ones."""
    try:
        facts = read_seal(file)
    except Damaged as error:
        if file.exists():
            _log.warning("%s; it is made again", error)
        write_seal(file, make())
        facts = read_seal(file)
    return {key: value for key, value in facts.items() if key != FILES}


def kept_folder(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder of the cache, which `make` fills if there is none, or a damaged one."""
    if fault(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if made_again(folder):
                shutil.rmtree(folder, ignore_errors=True)
                with new_folder(folder) as part:
                    make(part)
                    seal_folder(part, folder.name)
    return folder


def write_tensors(file: str | Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file with its own checksum in the header, whole or not at all."""
    from safetensors.torch import save

    content = save(tensors, header | STAMP)
    write_bytes(file, content.replace(_stamp(STAMP[OWN]), _stamp(digest(content, digits=64)), 1))


def check_stamp(file: Path) -> bool:
    """Check a safetensors file by its own checksum; say whether it has one.

    Raises
    ------
    Damaged
        If its bytes are not those that were written.
    """
    content = file.read_bytes()
    header = content[: 8 + int.from_bytes(content[:8], "little")]
    found = re.search(_stamp("[0-9a-f]{64}"), header)
    if not found and b'"stamped":"' not in header:
        return False
    before = content[: found.start()] + _stamp(STAMP[OWN]) + content[found.end() :] if found else b""
    if not found or found[0] != _stamp(digest(before, digits=64)):
        raise Damaged(f"{file}: damaged, its checksum is another")
    return True


def _stamp(digits: str) -> bytes:
    return f'"{OWN}":"{digits}"'.encode()
