"""Worker processes by joblib: they print nothing, ignore Ctrl-C, and end with the process that started them.

This module imports little, because every worker does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import Parallel, parallel_config
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from sdnet_lib.children import end_with, safe_path


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
    safe_path()
    try:
        with (
            parallel_config("loky", **start),
            # pixels go through pipes: joblib would leave large arrays in a folder that others may read
            Parallel(jobs, return_as=order, batch_size=1, max_nbytes=None) as parallel,
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
    end_with(parent)
    tqdm.set_lock(threading.RLock())  # its own is the system's, and would outlive a worker that is killed
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # native code prints too; what goes wrong is an exception that the parent gets
        os.dup2(nothing, descriptor)
    os.close(nothing)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (as long as the process lives)
