import dataclasses

import numpy as np
import pytest
import torch

from sdnet_lib.models.fucitnet.twins import Fitted
from tests.models.fucitnet.small import TINY, fit, make_all_small


@pytest.fixture(autouse=True)
def small_and_offline(monkeypatch):
    threads = torch.get_num_threads()
    make_all_small(monkeypatch)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data() -> tuple[np.ndarray, np.ndarray]:
    """16 noisy squares; the positives have a bright upper half."""
    labels = np.array(["N", "P"] * 8)
    pixels = np.random.default_rng(0).integers(50, 100, (16, 32, 32))
    pixels[labels == "P", :16] += 120
    return pixels.astype(np.uint8), labels


@pytest.fixture(scope="session")
def fitted(data) -> Fitted:
    """Trained after a search of two lambdas."""
    with pytest.MonkeyPatch.context() as patch:
        make_all_small(patch)
        return fit(data, dataclasses.replace(TINY, lambdas=(1.0, 0.001)))
