"""What is on its way: half-written files, folders and private ones, swept when their process is gone.

Each is locked as long as the process lives that makes it, and the system lets the lock go however that
process ends. So whoever can lock one has found what a dead process left, on this machine, in another
container or on another node of a cluster.

This module imports little, because the command line does.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and so nothing is swept
    fcntl = None

NAME = re.compile(r"(\..+|sdnet)\.[0-9a-f]{8}\.part")
_swept: set[Path] = set()  # folders that this process has looked at


@contextmanager
def part_of(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """Lend an empty file or folder beside `target`, on the same file system; what is left of it is removed.

    What dead processes left in the folder of `target` goes too.
    """
    sweep(target.parent)
    with _held(target.with_name(f".{target.name}"), 0o777 if folder else None) as part:
        yield part


@contextmanager
def private_folder() -> Iterator[Path]:
    """Lend an empty folder that nobody else may look into: images of patients lie in it for a while."""
    with _held(Path(tempfile.gettempdir()) / "sdnet", 0o700) as part:
        yield part


@contextmanager
def _held(start: Path, mode: int | None) -> Iterator[Path]:
    """Make a file, or a folder of a `mode`, whose name begins so; lock it while the block lasts."""
    while True:
        part = start.with_name(f"{start.name}.{uuid.uuid4().hex[:8]}.part")
        if mode is None:
            part.touch(exist_ok=False)
        else:
            part.mkdir(mode)
        lock = _lock(part)
        if part.exists():
            break
        _unlock(lock)  # somebody swept it before it was locked
    try:
        yield part
    finally:
        _remove(part)
        _unlock(lock)


def sweep(folder: Path, *, again: bool = False) -> None:
    """Remove what dead processes left in a folder; one call for each folder and process does it.

    Parameters
    ----------
    folder : Path
        It may be missing.
    again : bool
        Whether to look also if this process has looked before.
    """
    if folder in _swept and not again:
        return
    _swept.add(folder)
    try:
        parts = [Path(entry) for entry in os.scandir(folder) if NAME.fullmatch(entry.name)]
    except OSError:  # missing, or not ours to read: then nothing of ours is in it
        return
    for part in parts:
        lock = _lock(part)
        if lock is not None:
            _remove(part)
            _unlock(lock)


def _lock(part: Path) -> int | None:
    """Lock a file or folder of this user; return the descriptor that holds it, or None if another does."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_uid == os.geteuid():
            return descriptor
    except OSError:  # held, or a file system without locks
        pass
    os.close(descriptor)
    return None


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
