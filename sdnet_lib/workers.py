"""Worker processes by joblib: they print nothing, ignore Ctrl-C, and end with the process that started them.

This module imports little, because every worker does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import Parallel, parallel_config
from joblib.externals.loky import get_reusable_executor

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


@contextmanager
def workers(jobs: int, order: str = "generator_unordered") -> Iterator[Parallel]:
    """Lend `joblib.Parallel` with so many processes, which end with the block; one job stays in this process.

    Parameters
    ----------
    jobs : int
    order : str
        ``generator_unordered`` yields results as they come, ``generator`` in the order of the tasks.
    """
    start = {"initializer": _start, "initargs": (os.getpid(),), "inner_max_num_threads": 1}
    try:
        with (
            parallel_config("loky", **start),
            Parallel(jobs, return_as=order, batch_size=1) as parallel,
        ):
            yield parallel
    finally:
        if jobs > 1:  # joblib would keep them, and what they hold in memory, for the next call
            get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def _start(parent: int) -> None:
    """Prepare a worker.

    By themselves joblib's workers outlive a parent that was killed, a busy one until its task is done: Linux
    is asked to kill them. Elsewhere they end after their task or when they have been idle for a while.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C stops
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before Linux was asked
            os._exit(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (as long as the process lives)
