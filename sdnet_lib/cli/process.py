"""How every command begins and ends: what it cleans up first, what it does not print, and its exit status."""

from __future__ import annotations

import getpass
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from sdnet_lib.children import safe_path
from sdnet_lib.config import cache_dir
from sdnet_lib.files import InputError, machine, temporary
from sdnet_lib.names import shown

TERMINATED = 143  # exit status after SIGTERM


def begin() -> None:
    """Prepare this process, and remove what killed commands have left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # like Ctrl-C: nothing goes on or is left
    try:
        os.getcwd()
    except FileNotFoundError:  # libraries end the process in their own words
        raise InputError("the working directory is gone: change to one that is there") from None
    safe_path()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # terminals that are not UTF-8
    if not sys.warnoptions:  # what libraries warn of, a user cannot change; `python -W default` shows it
        warnings.simplefilter("ignore")
        logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    _be_somebody()
    _sweep()


def _be_somebody() -> None:
    """Give this user a name and a home where the system has none, as in some containers: libraries ask."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = "somebody"
    try:
        Path.home()
    except RuntimeError:
        if place := os.environ.get("SDNET_CACHE"):
            os.environ["HOME"] = os.path.abspath(place)


def _sweep() -> None:
    """Remove what killed commands have left: crops of patients, half-made entries of the cache."""
    temporary.sweep(Path(tempfile.gettempdir()))
    try:
        folders = [place for place in cache_dir().iterdir() if place.is_dir()]
    except (InputError, OSError):  # no cache, nothing to sweep
        return
    for folder in folders:
        temporary.sweep(folder)


def say(text: object) -> None:
    """Print what a command found; names of files in it cannot move the cursor or colour the terminal."""
    print(shown(str(text)), flush=True)


def end(command: Callable[[], None]) -> None:
    """Run a command; turn what a user or the machine can cause into one line and an exit status."""
    try:
        command()
    except SystemExit as stop:
        if stop.code in (130, TERMINATED):
            print("sdnet: interrupted", file=sys.stderr)
        raise
    except Exception as error:
        said, status = _said(error)
        if not said:
            raise
        print(f"sdnet: {shown(said)}", file=sys.stderr)
        sys.exit(status)


def _said(error: Exception) -> tuple[str | None, int]:
    """Return what to say of an error, nothing for one of our own making, and the exit status."""
    from sdnet_lib.publish.execution import BookError

    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, BookError):
        return str(error), error.status
    return machine.reason(error), 2
