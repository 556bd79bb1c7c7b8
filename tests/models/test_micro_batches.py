"""Batches in parts: the gradient of the whole without batch normalisation; a small memory that is limited."""

import copy
from dataclasses import replace

import fastai.callback.progress  # noqa: F401  (no_bar)
import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD
from torch import nn

from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError
from sdnet_lib.models import batches, classifier, training_config
from sdnet_lib.models.batches import loader
from sdnet_lib.models.micro_batches import PartsLearner
from sdnet_lib.models.training_config import UNCHANGED
from tests.models.memory import Limit


class Short(nn.Module):
    """A network that runs out of memory for more than so many images, in forward or in backward."""

    def __init__(self, network: nn.Module, limit: int, backward: bool = False) -> None:
        super().__init__()
        self.network, self.limit, self.backward, self.seen = network, limit, backward, []

    def forward(self, x):
        self.seen.append(len(x))
        result = self.network(x)
        if self.training and len(x) > self.limit:
            if not self.backward:
                raise torch.OutOfMemoryError("a fake limit")
            result.register_hook(self.fail)
        return result

    def fail(self, _):
        raise torch.OutOfMemoryError("a fake limit")


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def deep() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()) for _ in range(6)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
    )


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def trained(network: nn.Module, part: int | None = None, batch: int = 16) -> PartsLearner:
    pixels = np.random.default_rng(0).integers(0, 256, (2 * batch, 12, 12), np.uint8)
    served = loader(pixels, np.arange(2 * batch) % 2, UNCHANGED, batch)
    learner = PartsLearner(
        DataLoaders(served, served), network, loss_func=CrossEntropyLossFlat(), opt_func=SGD, lr=0.1
    )
    learner.part = part
    with learner.no_bar(), learner.no_logging():
        learner.fit(2)
    return learner


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("part", [1, 5, 8])
def test_parts_have_the_gradient_of_the_whole(part):
    whole, parts = trained(plain()), trained(plain(), part)
    assert torch.allclose(weights(whole.model), weights(parts.model), atol=1e-6)
    assert float(whole.recorder.values[-1][0]) == pytest.approx(float(parts.recorder.values[-1][0]), abs=1e-5)
    assert whole.train_iter == parts.train_iter  # a step is a step, however many parts it has


def test_with_batch_normalisation_they_have_not():
    assert not torch.allclose(
        weights(trained(normed(), batch=32).model), weights(trained(normed(), 16, 32).model), atol=1e-5
    )


@pytest.mark.parametrize(("batch", "sizes"), [(16, [16]), (31, [31]), (32, [16, 16]), (50, [17, 17, 16])])
def test_batch_normalisation_never_trains_on_fewer_than_sixteen_images(batch, sizes):
    watched = Short(normed(), 99)
    trained(watched, 1, batch)
    assert watched.seen[: len(sizes)] == sizes and min(watched.seen) >= training_config.LEAST


def test_parts_are_as_large_as_the_free_memory_lets_them(monkeypatch, caplog):
    with Limit(np.inf) as memory:
        whole = trained(deep(), batch=64)
    for part_of_it, least in ((0.8, 20), (0.5, 7)):
        caplog.clear()
        with Limit(part_of_it * memory.peak) as short:
            monkeypatch.setattr(batches, "free_memory", short.free)
            learner = trained(deep(), batch=64)
        assert least < learner.part < part_of_it * 64  # for the weights take their part, too
        assert len(caplog.messages) == 1  # it was chosen, not found out by failing
        assert torch.allclose(weights(learner.model), weights(whole.model), atol=1e-6)


def test_where_all_fits_asking_changes_nothing(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(432, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    states = []
    for free in (np.inf, 1e12):
        monkeypatch.setattr(batches, "free_memory", lambda _, free=free: free)
        torch.manual_seed(1)
        learner = trained(copy.deepcopy(network))
        states.append(learner.model.state_dict())
        assert learner.part in (None, 16)
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())


@pytest.mark.parametrize("backward", [False, True])
def test_running_out_of_memory_halves_the_parts_and_goes_on(backward, caplog):
    short = trained(Short(plain(), 6, backward))
    assert short.part == 4 and short.model.seen[:3] == [16, 8, 4]
    assert sum("parts of" in line for line in caplog.messages) == 2  # once each, not at every step
    assert torch.allclose(weights(short.model), weights(trained(plain()).model), atol=1e-6)


def test_it_gives_up_in_one_line_where_parts_cannot_be_smaller():
    with pytest.raises(InputError, match="not enough memory for 16 images at a time"):
        trained(Short(normed(), 15), batch=32)
    with pytest.raises(InputError, match="not enough memory for 1 images at a time"):
        trained(Short(plain(), 0))


def test_the_classifier_trains_with_it(toy_cohort):
    sizes = get_profile("smoke")
    pixels = classifier.read_pixels(toy_cohort, 32)
    learner = classifier.learner(
        toy_cohort, range(16), range(16, 20), profile=sizes, weights="none", pixels=pixels
    )
    learner.model, learner.config = Short(plain(), 8), replace(learner.config, epochs=1)
    history = classifier.fit(learner, sizes)
    assert len(history) == 1 and learner.part == 8
    assert classifier.summary(learner, history)["images_at_once"] == 8
