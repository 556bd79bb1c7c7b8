"""What all tests share: a cache of their own, no network, and the toy cohort."""

import os
import signal
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.data.cohort import check_cohort
from sdnet_lib.data.images import write_gray

HERE = ("127.0.0.1", "::1", "localhost")


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell has a command in the background ignore Ctrl-C, and so would all children that the tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Keep the user's cache out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_process():
    """Undo what a command makes of this process: children would inherit its signals and variables."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    os.environ.pop("PYTHONSAFEPATH", None)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Refuse connections to other machines: what a test needs, it makes or serves itself."""
    connect = socket.socket.connect

    def connect_here(self, address):
        if isinstance(address, tuple) and address[0] not in HERE:
            raise ConnectionRefusedError("tests have no network")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


def make_squares(folder: Path, n: int = 24) -> pd.DataFrame:
    """Write noisy squares whose positives have a bright upper half; every fourth patient has two images."""
    rng, rows = np.random.default_rng(0), []
    for number in range(n):
        image = rng.uniform(0.2, 0.4, (40, 40))
        image[:20] += 0.5 * (number % 2)
        file = folder / f"{number}.png"
        write_gray(file, image)
        levels = ("Normal-PCR+", "Mild", "Severe")
        rows.append(
            {
                "image_id": f"i{number:02d}",
                "file": str(file),
                "label": "NP"[number % 2],
                "severity": levels[number // 2 % 3] if number % 2 else "",
                "patient_id": f"p{number - 2}" if number % 8 == 3 else f"p{number}",
                "source": "squares",
                "view": "",
            }
        )
    return check_cohort(pd.DataFrame(rows))


@pytest.fixture(scope="session")
def make_cohort():
    """The maker of toy cohorts, for tests that change the images: `make_cohort(folder, n)`."""
    return make_squares


@pytest.fixture(scope="session")
def toy_cohort(tmp_path_factory) -> pd.DataFrame:
    """A cohort of 24 squares that a network can tell apart; leave its table and its images as they are."""
    return make_squares(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def learning_threads():
    """Give two threads, and yield with how many of them networks computed while they learned.

    On a busy machine two wait for each other at each of thousands of small steps, and a training takes five
    times as long.
    """
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    def note(*_):
        if torch.is_grad_enabled():
            seen.add(torch.get_num_threads())

    before, seen = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    hook = register_module_forward_pre_hook(note)
    yield seen
    hook.remove()
    torch.set_num_threads(before)
