"""How a GPU is kept busy while it trains: 16 bits, one operation for all weights, no waiting for answers.

A GPU works through a queue of operations, and whoever asks it for a number waits until the queue is empty. So
losses stay on it until an epoch ends, and what a step needs to know is decided there. None of this has run on
a GPU yet; the tests run it on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature

import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.core import Callback, CancelStepException
from fastai.callback.fp16 import MixedPrecision
from fastai.learner import AvgSmoothLoss, Learner
from fastai.optimizer import SGD, Adam, OptimWrapper
from fastai.torch_core import norm_bias_params
from torch import Tensor, nn

from sdnet_lib.config import pick_device
from sdnet_lib.models.training_config import TrainingConfig


def half_type() -> torch.dtype:
    """Return bfloat16, which needs no scaled gradients, where the card has circuits for it, else float16."""
    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float16


class Half(MixedPrecision):
    """Train in 16 bits, with optimisers of torch that by themselves leave out a step that overflowed."""

    def before_fit(self) -> None:
        """Choose the numbers; let losses stay where they are."""
        device, dtype = pick_device().type, half_type()
        self.autocast = torch.autocast(device, dtype)
        self.learn.scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
        self.learn.recorder.smooth_loss = _Smoothed()

    def before_step(self) -> None:
        """Make the step, and tell the Learner that it need not."""
        self.scaler.step(self.opt.opt)
        raise CancelStepException


class _Smoothed(AvgSmoothLoss):
    """fastai's running mean of the training loss, on the device of the loss."""

    def accumulate(self, learn: Learner) -> None:
        """Add a batch."""
        loss = learn.loss.detach()
        self.count += 1
        self.val = torch.lerp(loss, self.val.to(loss.device), self.beta)


def callbacks() -> list[Callback]:
    """Return what training needs on the device that there is."""
    return [ChannelsLast()] + ([Half()] if pick_device().type == "cuda" else [])


def optimiser(config: TrainingConfig, gpu: bool) -> dict[str, object]:
    """Return a Learner's options for the optimiser of a configuration.

    On a GPU it is torch's, which changes all weights by one operation; fastai's takes several for each. Like
    fastai's it leaves biases and batch normalisation without weight decay.

    Parameters
    ----------
    config : TrainingConfig
    gpu : bool
        Whether it is for one.
    """
    if not gpu:
        return {"opt_func": config.optimiser, "wd": config.weight_decay}
    own = config.optimiser.keywords.get("opt")  # torch's already, which decays all weights
    fused = partial(OptimWrapper, opt=partial(own or _torchs(config.optimiser), fused=True))
    if own:
        return {"opt_func": fused, "wd": config.weight_decay}
    return {"opt_func": fused, "wd": [config.weight_decay, 0.0], "splitter": _decayed_and_others}


def _torchs(optimiser: partial) -> Callable[..., torch.optim.Optimizer]:
    """Return torch's name for one of fastai's optimisers."""
    given = {name: one.default for name, one in signature(optimiser).parameters.items()}
    if optimiser.func is SGD and not given["decouple_wd"]:
        return partial(torch.optim.SGD, momentum=given["mom"])
    if optimiser.func is Adam:
        kind = torch.optim.AdamW if given["decouple_wd"] else torch.optim.Adam
        return partial(kind, betas=(given["mom"], given["sqr_mom"]), eps=given["eps"])
    raise ValueError(f"no optimiser of torch does what {optimiser} does")


def _decayed_and_others(network: nn.Module) -> list[list[Tensor]]:
    others = {id(parameter) for parameter in norm_bias_params(network)}
    groups = [], []
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups[id(parameter) in others].append(parameter)
    return list(groups)
