"""What a machine may refuse, a full disk or too little memory, as one line that names file and cause."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# how libraries say it that have no error class of their own for it, and what is said instead
SAID = {
    "No space left on device": "no space left on the disk",
    "Too many open files": "too many open files: raise the limit (ulimit -n)",
    "DefaultCPUAllocator": "not enough memory",
    "Cannot allocate memory": "not enough memory",
    "cannot allocate memory": "not enough memory",
    "failed to map segment": "not enough memory",
    "can't start new thread": "no further thread can be started: too little memory, or a limit (ulimit -u)",
    "could not create a primitive": "not enough memory",
    # torch does not say why it could not write
    "inline_container.cc": "a file could not be written whole: most likely no space left on the disk",
    "Could not determine home directory": "no home folder: say in SDNET_CACHE where files may be kept",
}
# what a call to the system may be refused for, whatever the program that makes it
NAMES = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EMFILE", "ENFILE", "ENOMEM", "EIO")
REFUSALS = {getattr(errno, name) for name in NAMES if hasattr(errno, name)}
KINDS = {
    "MemoryError": "not enough memory",
    "ArrowMemoryError": "not enough memory",
    "OutOfMemoryError": "not enough memory on the GPU: choose smaller images or fewer --jobs",
    "TerminatedWorkerError": "a process that was computing has been killed, most likely for want of memory: "
    "choose fewer --jobs",
}


def reason(error: BaseException) -> str | None:
    """Return what the machine refused, as one line, or None for an error that is not the machine's.

    Errors of operating system calls are; of others those whose class or words say so, and those that such an
    error has caused.
    """
    text = " ".join(str(error).split())
    if known := KINDS.keys() & {kind.__name__ for kind in type(error).__mro__}:
        return KINDS[known.pop()]
    if isinstance(error, OSError) and error.errno:
        cause = SAID.get(os.strerror(error.errno), error.strerror or os.strerror(error.errno))
        cause = " ".join(cause.split())
        return f"{os.fsdecode(error.filename)}: {cause}" if error.filename else cause
    if said := meant(text):
        return said
    return text or type(error).__name__ if isinstance(error, OSError) else None


def meant(text: str) -> str | None:
    """Return what the words of a library's error mean, None if the machine has nothing to do with it."""
    return next((meaning for words, meaning in SAID.items() if words in text), None)


def allow_files(number: int) -> None:
    """Let this process and its children open so many files; raise `OSError` if the system forbids it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= number:
        return
    if hard != resource.RLIM_INFINITY and hard < number:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


@contextmanager
def named(file: Path, *parts: Path) -> Iterator[None]:
    """Let system errors without a file, or about the `parts` that become it, name `file`."""
    try:
        yield
    except OSError as error:
        ours = error.filename is None or any(_within(error.filename, part) for part in parts)
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(file)) from error


def _within(file: str | bytes | int, part: Path) -> bool:
    return not isinstance(file, int) and Path(os.fsdecode(file)).is_relative_to(part)
