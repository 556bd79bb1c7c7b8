"""What is on its way: half-written files, folders and private ones, swept when their process is gone.

Each lies in a folder that is locked as long as the process lives that makes it, and the system lets the lock
go however that process ends. So whoever can lock one has found what a dead process left, on this machine, in
another container or on another node of a cluster.

This module imports little, because the command line does.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdnet_lib.files.machine import named

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and so nothing is swept
    fcntl = None

NAME = re.compile(r"(\..+|sdnet)\.[0-9a-f]{8}\.part")
_swept: set[Path] = set()  # folders that this process has looked at


@contextmanager
def part_of(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """Lend an empty file or folder on the file system of `target`; what is left of it is removed.

    It lies in a locked folder beside `target`, so it may itself be replaced by what another call made. What
    dead processes left in the folder of `target` goes.
    """
    sweep(target.parent)
    with _held(target, f".{target.name}", 0o777) as held:
        part = held / "part"  # torch.save refuses a name that begins with a dot
        with named(target, held):
            part.mkdir() if folder else part.touch()
        yield part


@contextmanager
def private_folder() -> Iterator[Path]:
    """Lend an empty folder that nobody else may look into: images of patients lie in it for a while."""
    with _held(Path(tempfile.gettempdir()) / "sdnet", "sdnet", 0o700) as folder:
        yield folder


@contextmanager
def _held(target: Path, name: str, mode: int) -> Iterator[Path]:
    """Make a folder of a `mode` beside `target` whose name begins so; lock it while the block lasts."""
    while True:
        folder = target.with_name(f"{name}.{uuid.uuid4().hex[:8]}.part")
        with named(target, folder):
            folder.mkdir(mode)
        try:
            lock = _lock(folder)
        except BlockingIOError:  # somebody sweeps it, who found it before it was locked
            continue
        if folder.exists():
            break
        _unlock(lock)  # somebody has swept it
    try:
        yield folder
    finally:
        _remove(folder)
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
        with suppress(BlockingIOError):
            lock = _lock(part)
            if lock is not None:
                _remove(part)
                _unlock(lock)


def _lock(part: Path) -> int | None:
    """Lock a file or folder of this user; return the descriptor that holds it, None if it cannot be locked.

    Raises
    ------
    BlockingIOError
        If another holds it.
    """
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
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
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
