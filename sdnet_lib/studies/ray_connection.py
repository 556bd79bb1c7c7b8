"""A connection to a Ray cluster: checked before anything heavy is imported, quiet, and closed in the end.

This module imports little, so that a wrong address is said at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from types import ModuleType

from sdnet_lib.files import InputError, one_line
from sdnet_lib.files.temporary import private_folder

LOCAL, AUTO = "local", "auto"  # a cluster of this machine alone, and the one that it is part of
ANSWER = 1.5  # seconds that the head of a cluster has to answer
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a run that asks for no GPU sees none
}


def check(address: str) -> None:
    """Make sure that Ray is installed, and that something answers at an address.

    Parameters
    ----------
    address : str
        ``local``, ``auto``, or HOST:PORT of a cluster's head.

    Raises
    ------
    InputError
        If not.
    """
    if find_spec("ray") is None:
        raise InputError("--ray: Ray is not installed; pip install 'ray>=2.60,<3'")
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS", AUTO)
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal():
        raise InputError(
            f"--ray {address}: say auto or the head's HOST:PORT on a machine of the cluster, elsewhere local"
        )
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray {address}: no cluster answers there ({one_line(error)})") from None


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Lend Ray, connected to a cluster; see `check`. A ``local`` cluster ends with the block.

    Workers import what is installed where they run, and nothing of this machine's working directory, which
    Ray would put first on their path: they work in an empty folder. Whatever is printed while the block lasts
    goes nowhere: Ray tells of each machine that was lost, and its runs are done again.

    Raises
    ------
    InputError
        If there is no cluster, or one of another version.
    """
    check(address)
    os.environ.update(SETTINGS)
    import ray

    terminated = signal.getsignal(signal.SIGTERM)
    options = {"include_dashboard": False} if address == LOCAL else {}
    with private_folder() as empty, open(os.devnull, "w", encoding="utf-8") as out, redirect_stdout(out):
        try:
            ray.init(
                address,
                runtime_env={"working_dir": str(empty)},
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **options,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"--ray {address}: {one_line(error)}") from None
        if threading.current_thread() is threading.main_thread():  # Ray has put its own in this place
            signal.signal(signal.SIGTERM, terminated)
        try:
            yield ray
        finally:
            ray.shutdown()
