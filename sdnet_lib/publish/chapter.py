"""One chapter in a process of its own: run by papermill, it ends with the build however that ends."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from sdnet_lib.files import machine

STARTS, STILLBORN = 3, "Kernel died before replying"  # what jupyter_client says of such a kernel
USERS_OWN = ("InputError", "CohortError", "ImageError")


def execute(
    options: dict[str, object],
    environment: dict[str, str],
    scratch: Path,
    saying: multiprocessing.connection.Connection,
) -> None:
    """Run one notebook in this process of its own; say what went wrong: for short if not the book's fault."""
    import papermill

    os.setsid()  # Ctrl-C reaches `run` alone, which then ends all
    threading.Thread(target=end_with_the_build, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = str(scratch)  # for the file that tells a kernel its ports: it goes when all ends
    try:
        with_a_kernel(lambda: papermill.execute_notebook(**options))
    except Exception as error:  # its traceback would only show the inside of papermill
        saying.send((refused(error), f"{type(error).__name__}: {error}"))
        sys.exit(1)


def with_a_kernel(work: Callable[[], object]) -> None:
    """Do it; if its kernel died before it did anything, again, with another one.

    A kernel is given ports that were free, and by the time it asks for them another program may have them.
    """
    for left in reversed(range(STARTS)):
        try:
            work()
            return
        except RuntimeError as error:
            if STILLBORN not in str(error) or not left:
                raise
            print("a kernel did not start; another one is started", file=sys.stderr, flush=True)


def end_with_the_build() -> None:
    """End this process, its kernel and whatever that started as soon as the build has ended in any way."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    for member in family(os.getpid()):
        member.kill()
    os._exit(1)


def refused(error: Exception) -> str | None:
    """Return what the machine or the user's data, and not the book, did to a notebook, if anything."""
    name, value = getattr(error, "ename", ""), " ".join(str(getattr(error, "evalue", "")).split())
    if name in USERS_OWN:
        return value
    number = re.match(r"\[Errno (\d+)\] (.*?)(?:: ['\"](.*)['\"])?$", value)
    if number and int(number[1]) in machine.REFUSALS:
        return machine.reason(OSError(int(number[1]), number[2], number[3]))
    if name in machine.KINDS:
        return machine.KINDS[name]
    if isinstance(error, TimeoutError):  # a cell took too long
        return None
    if type(error).__name__ == "DeadKernelError":
        return "its kernel was killed, most likely for want of memory: choose fewer --jobs"
    return machine.meant(value) if name else machine.reason(error)


def family(pid: int) -> list[psutil.Process]:
    """Return the processes that descend from one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
