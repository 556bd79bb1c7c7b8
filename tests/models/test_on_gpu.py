"""What a GPU trains with, tried on a CPU: the same steps by one operation, 16 bits, no questions."""

import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from torch import nn

from sdnet_lib.models import batches, on_gpu
from sdnet_lib.models.baselines import bayesian, covidnet, darkcovidnet, deepcovidexplainer
from sdnet_lib.models.micro_batches import PartsLearner
from sdnet_lib.models.training_config import UNCHANGED, TrainingConfig, quietly
from tests.models.test_batches import PIXELS, TARGETS

CONFIGS = {
    "paper": TrainingConfig(weight_decay=0.1),
    "covidnet": covidnet.CONFIG,
    "bayesian": bayesian.CONFIG,
    "darkcovidnet": darkcovidnet.CONFIG,
    "deepcovidexplainer": deepcovidexplainer.CONFIG,
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),  # its gradient would be rounding alone, whose sign Adam follows
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def trained(config: TrainingConfig, gpu: bool, *callbacks, epochs: int = 3, batch: int = 16) -> PartsLearner:
    served = batches.loader(PIXELS, TARGETS, UNCHANGED, batch)
    options = on_gpu.optimiser(config, gpu)
    learner = PartsLearner(
        DataLoaders(served, served), network(), loss_func=CrossEntropyLossFlat(), cbs=callbacks, **options
    )
    learner.seed = 0
    with quietly(learner):
        if config.schedule == "one-cycle":
            learner.fit_one_cycle(epochs, config.lr)
        else:
            learner.fit(epochs, config.lr)
    return learner


def weights(learner: PartsLearner) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in learner.model.parameters()])


@pytest.mark.parametrize("name", CONFIGS)
def test_optimisers_of_torch_make_the_steps_of_fastai_s(name):
    ours, plain = (trained(CONFIGS[name], gpu) for gpu in (True, False))
    assert torch.allclose(weights(ours), weights(plain), atol=1e-5)
    assert not torch.allclose(
        weights(ours), torch.cat([p.flatten() for p in network().parameters()]), atol=1e-4
    )
    assert all(group["fused"] for group in ours.opt.opt.param_groups)


def test_biases_and_normalisation_are_not_decayed():
    learner = trained(CONFIGS["paper"], True)
    decayed, others = learner.opt.opt.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3, 3, 3), (2, 4)]
    assert len(others["params"]) == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_learn_about_the_same(monkeypatch, dtype):
    monkeypatch.setattr(on_gpu, "half_type", lambda: dtype)
    half, single = trained(CONFIGS["paper"], True, on_gpu.Half()), trained(CONFIGS["paper"], True)
    assert torch.allclose(weights(half), weights(single), atol=0.02)
    assert not torch.equal(weights(half), weights(single))
    assert half.recorder.values[-1][1] == pytest.approx(single.recorder.values[-1][1], abs=0.02)
    assert half.train_iter == single.train_iter


def test_a_step_that_overflows_is_left_out_and_the_scale_halved(monkeypatch):
    monkeypatch.setattr(on_gpu, "half_type", lambda: torch.float16)
    scales = []

    class Watch(on_gpu.Half):
        def before_fit(self):
            super().before_fit()
            self.learn.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=10_000)

        def after_step(self):
            super().after_step()
            scales.append(self.scaler.get_scale())

    learner = trained(CONFIGS["paper"], True, Watch(), epochs=1)
    assert scales == [2.0**119, 2.0**118, 2.0**117]  # all three overflowed
    assert torch.equal(weights(learner), torch.cat([p.detach().flatten() for p in network().parameters()]))


def test_bfloat16_where_the_card_has_it_not_where_it_is_imitated(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, dtype in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, has=has: has or including_emulation,
        )
        assert on_gpu.half_type() is dtype


def test_within_an_epoch_no_number_is_asked_for(monkeypatch):
    """Losses are read when an epoch's training and validation end, however many batches these had."""
    monkeypatch.setattr(on_gpu, "half_type", lambda: torch.bfloat16)
    asked, item = [], torch.Tensor.item

    def noted(tensor):
        asked.append(tuple(tensor.shape))
        return item(tensor)

    monkeypatch.setattr(torch.Tensor, "item", noted)
    counts = []
    for batch in (16, 2):
        asked.clear()
        trained(CONFIGS["paper"], True, on_gpu.Half(), epochs=1, batch=batch)
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0
    monkeypatch.setattr(torch.Tensor, "cpu", lambda _: pytest.fail("a tensor was fetched"))
    trained(CONFIGS["paper"], True, on_gpu.Half(), epochs=1)
