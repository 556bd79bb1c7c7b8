"""What a command costs: seconds and memory, those of its child processes included."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from sdnet_lib.files import InputError

SDNET = (sys.executable, "-m", "sdnet_lib.cli.main")
EVERY = 0.1  # seconds between two looks at the memory


def measured(command: Sequence[str]) -> dict[str, float]:
    """Run a command, such as one that begins with `SDNET`, and measure it.

    Returns
    -------
    dict
        ``seconds`` by the clock, ``cpu_seconds`` of it and its child processes, which a busy machine alters
        little, and ``megabytes``, the most that they held at once.

    Raises
    ------
    InputError
        If it ends with another status than 0 or 1 (an audit that is red), with what it printed.
    """
    before, start, most = _cpu(), time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        while child.poll() is None:
            most = max(most, _held(child.pid))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
        if child.returncode not in (0, 1):
            raise InputError(f"{command[0]} ended with {child.returncode}:\n{child.stdout.read()[-2000:]}")
    return {"seconds": seconds, "cpu_seconds": _cpu() - before, "megabytes": most / 1e6}


def _held(pid: int) -> int:
    """Return the bytes that a process and all below it hold now; those that they share count for each."""
    import psutil  # comes with what builds the book

    process, total = psutil.Process(pid), 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it has ended since it was listed
    return total


def _cpu() -> float:
    """Return the CPU seconds of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
