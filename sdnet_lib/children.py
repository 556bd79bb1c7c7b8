"""Processes that this one starts: they end with it, and import nothing from the working directory.

Films and other files lie in the working directory, and Python puts it first on the path of ``python -m`` and
``python -c``, which is how joblib, multiprocessing and Jupyter start processes: a ``random.py`` beside the
films would run.

This module imports little, because every process does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

OLD = sys.version_info < (3, 11)  # without PYTHONSAFEPATH
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


def safe_path() -> None:
    """Keep the working directory off the path of all Pythons that this process starts from now on."""
    os.environ["PYTHONSAFEPATH"] = "1"
    if OLD:
        _isolate_multiprocessing()
        if "joblib" in sys.modules:
            _isolate_joblib()


def python(code: str, *arguments: str) -> list[str]:
    """Return the command of a child that runs `code` and imports what this process would."""
    return [sys.executable, "-I", "-c", f"{_same_path()}\n{code}", *arguments]


def module(name: str, *arguments: str) -> list[str]:
    """Return the command of a child that runs a module as ``python -m`` does, and ends with this process."""
    start = f"from sdnet_lib.children import end_with; end_with({os.getpid()})"
    run = f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    return python(f"{start}; {run}", *arguments)


def _same_path() -> str:
    """Return code that gives a child our path, without the working directory unless the package is there."""
    here, root = os.path.abspath(""), str(Path(__file__).parents[1])
    places = [os.path.abspath(place) for place in sys.path if place]
    return f"import sys; sys.path[:] = {[root, *(place for place in places if place != here)]!r}"


def end_with(parent: int) -> None:
    """Let Linux kill this process when the thread that started it ends; only Linux can.

    Parameters
    ----------
    parent : int
        As the parent itself says: a child that asks may ask when that one has ended, and get another number.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before Linux was asked
            os._exit(1)


def _isolate_multiprocessing() -> None:
    """Start the fork server and the trackers of resources with ``-I``."""
    flags = subprocess._args_from_interpreter_flags  # what multiprocessing itself calls
    if not hasattr(flags, "isolated"):

        def isolated() -> list[str]:
            return ["-I", *flags()]

        isolated.isolated = True
        subprocess._args_from_interpreter_flags = isolated


def _isolate_joblib() -> None:
    """Start joblib's workers with ``-I``; it has no option for it."""
    from joblib.externals.loky.backend import fork_exec as module

    fork_exec = module.fork_exec
    if not hasattr(fork_exec, "isolated"):

        def isolated(command: list[str], *arguments: object, **options: object) -> int:
            return fork_exec(isolated_command(command), *arguments, **options)

        isolated.isolated = True
        module.fork_exec = isolated


def isolated_command(command: list[str]) -> list[str]:
    """Turn ``python -m MODULE ...`` into the same without the working directory on its path."""
    executable, flag, module, *rest = command
    if flag != "-m":
        return command
    run = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [executable, "-I", "-c", f"{_same_path()}\n{run}", *rest]
