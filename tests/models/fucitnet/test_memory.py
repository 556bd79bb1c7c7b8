"""FuCiTNet in a small memory: the same networks come of it."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from sdnet_lib.files import InputError
from sdnet_lib.models import batches, micro_batches, training_config
from sdnet_lib.models.fucitnet import loop, twins
from sdnet_lib.models.fucitnet.losses import losses
from tests.models.fucitnet.small import TINY, fit, make_all_small, same
from tests.models.memory import Limit

ONE = dataclasses.replace(TINY, generator_epochs=1, batch=8)


@pytest.fixture(scope="module")
def peak(data) -> float:
    """What a training takes at its highest."""
    with pytest.MonkeyPatch.context() as patch, Limit(np.inf) as memory:
        make_all_small(patch)
        fit(data, ONE)
    return memory.peak


def test_generators_that_compute_twice_are_the_same_bit_for_bit(data, monkeypatch):
    for variant in ("paper", "code"):
        whole = fit(data, ONE, variant=variant)
        with monkeypatch.context() as patch:
            patch.setattr(loop.Twins, "frugal", True)
            assert same(whole, fit(data, ONE, variant=variant))


def close(a: twins.Fitted, b: twins.Fitted, buffers: bool = True) -> bool:
    return all(
        torch.allclose(one, getattr(b, name).state_dict()[key], atol=1e-5)
        for name in twins.NETWORKS
        for key, one in getattr(a, name).state_dict().items()
        if buffers or not re.search("running|tracked", key)
    )


def test_twins_judged_in_parts_have_the_gradient_of_the_whole(data, monkeypatch):
    asked, judged = [], loop.Twins._judge  # how many images at once

    def judge(self, classifier, made, *given):
        asked.append(made.shape[1])
        return judged(self, classifier, made, *given)

    whole = fit(data, ONE)
    monkeypatch.setattr(loop.Twins, "parts", 3)
    monkeypatch.setattr(loop.Twins, "_judge", judge)
    parts = fit(data, ONE)
    assert close(whole, parts) and set(asked) == {2, 3}
    assert np.allclose(whole.history, parts.history, atol=1e-5)


@pytest.mark.parametrize("told", [True, False])
def test_it_trains_in_half_the_memory_to_the_same_networks(data, monkeypatch, peak, told, caplog):
    whole = fit(data, ONE)
    with monkeypatch.context() as patch, Limit(peak / 2), pytest.raises(torch.OutOfMemoryError):
        patch.setattr(micro_batches, "persist", lambda work, _: work())
        fit(data, ONE)
    with Limit(peak / 2) as memory:
        if told:
            monkeypatch.setattr(batches, "free_memory", memory.free)
        frugal = fit(data, ONE)
    assert memory.peak <= peak / 2 and close(whole, frugal, buffers=told)
    assert "generators compute their maps twice" in caplog.messages[0]


def test_a_small_part_is_no_excuse_for_other_statistics(data, monkeypatch):
    """The authors' variant judges with the classifier's statistics of the batch: of sixteen twins or more."""
    seen = []

    def watched(twins, *rest):
        seen.append(twins.shape[1])
        return losses(twins, *rest)

    monkeypatch.setattr(loop, "losses", watched)
    monkeypatch.setattr(training_config, "LEAST", 4)
    monkeypatch.setattr(batches, "free_memory", lambda _: 1)
    fit(data, ONE, variant="code")
    assert seen[-4:] == [2] * 4
    seen.clear()
    fit(data, ONE)
    assert seen[-8:] == [1] * 8


def test_it_gives_up_in_one_line(data, monkeypatch):
    def short(*_):
        raise torch.OutOfMemoryError("a fake limit")

    monkeypatch.setattr(loop, "losses", short)
    with pytest.raises(InputError, match="not enough memory for 8 images at a time"):
        fit(data, ONE)
