"""How fastai's loop trains three networks: the classifier is its own, a callback trains the generators.

Each batch moves all three once, by gradients from one forward pass of the generators.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import OptimWrapper
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from sdnet_lib.config import pick_device
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.models import on_gpu
from sdnet_lib.models.fucitnet.losses import losses
from sdnet_lib.models.fucitnet.networks import Networks

# Adam's settings in the authors' code; the paper names none.
GENERATOR_LR, GENERATOR_DECAY = 1e-4, 1e-4
CLASSIFIER_LR = 1e-3


def fused_accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the fraction of right decisions: the largest answer to any twin of an image decides.

    Parameters
    ----------
    logits : Tensor, (k n, k)
        The classifier's answers, generator by generator.
    targets : int Tensor, (k n,)
        The true classes, as often.
    """
    answers = torch.cat(logits.chunk(len(LABELS)), 1)
    return (answers.argmax(1) % len(LABELS) == targets[: len(answers)]).float().mean()


class Twins(Callback):
    """Train the generators on each batch, then hand their images to the Learner, which trains the classifier.

    In validation the Learner's own loss therefore is the classifier's on all twins of an image, which decides
    when to stop, as in the authors' code.

    Parameters
    ----------
    generators : nn.ModuleList
        One for each of `LABELS`.
    perceptual : nn.Module
        From `losses.perceptual_network`.
    weight : float
        The paper's lambda.
    variant : str
        See `losses.losses`.
    """

    order = MixedPrecision.order + 1  # within its autocast

    def __init__(self, generators: nn.ModuleList, perceptual: nn.Module, weight: float, variant: str) -> None:
        self.generators, self.perceptual = generators, perceptual
        self.weight, self.variant = weight, variant
        settings = {"lr": GENERATOR_LR, "weight_decay": GENERATOR_DECAY, "fused": True}
        self.optimisers = [torch.optim.Adam(network.parameters(), **settings) for network in generators]

    def before_fit(self) -> None:
        """Scale gradients where the classifier's are scaled, in float16. Start running averages."""
        self.scaler = getattr(self.learn, "scaler", None) or torch.amp.GradScaler("cpu", enabled=False)
        if self.variant == "paper":  # running averages that start at 0 and 1 are wrong for dozens of batches
            images = self.dls.train.one_batch()[0].as_subclass(Tensor)
            for network in self.generators:
                update_bn([images], network)

    def before_epoch(self) -> None:
        """In the authors' variant, divide the classifier's learning rate by ten every five epochs."""
        if self.variant == "code":
            self.opt.set_hypers(lr=self.learn.lr * 0.1 ** ((len(self.learn.checkpoint.history) + 1) // 5))

    def before_train(self) -> None:
        """Begin an epoch's training."""
        self.generators.train()
        self.rows = []

    def after_train(self) -> None:
        """Leave the means over the batches: the terms of `losses.Losses`, the classifier's loss."""
        self.train_means = torch.stack(self.rows).mean(0).tolist()

    def before_validate(self) -> None:
        """Begin an epoch's validation."""
        self.generators.eval()
        self.rows = []

    def after_validate(self) -> None:
        """Leave how far, in mean square, the twins of the validation images are from these."""
        self.valid_mse = torch.cat(self.rows).mean().item()

    def before_batch(self) -> None:
        """Turn a batch of images into their twins, generator by generator, with the true labels."""
        images = self.x.contiguous(memory_format=torch.channels_last)
        twins = torch.stack([network(images) for network in self.generators])
        if self.training:
            self._step(twins, images)
        else:
            self.rows.append((twins.float() - images).square().mean((0, 2, 3, 4)))
        self.learn.xb = (twins.detach().flatten(0, 1),)
        self.learn.yb = (self.y.repeat(len(twins)),)

    def _step(self, twins: Tensor, images: Tensor) -> None:
        with _judging(self.model, self.variant):
            terms = losses(twins, images, self.y, self.model, self.perceptual, self.weight, self.variant)
        with torch.autocast(images.device.type, enabled=False):
            if self.variant == "paper":  # of the sum each has its own gradient
                self.scaler.scale(terms.total.sum()).backward(inputs=list(self.generators.parameters()))
            else:
                for network, total in zip(self.generators, terms.total, strict=True):
                    self.scaler.scale(total).backward(inputs=list(network.parameters()), retain_graph=True)
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
                optimiser.zero_grad()
        self.rows.append(torch.cat(terms).detach())

    def after_batch(self) -> None:
        """Note the classifier's loss after those of the generators."""
        if self.training:
            self.rows[-1] = torch.cat([self.rows[-1], self.loss.detach().view(1)])


@contextmanager
def _judging(classifier: nn.Module, variant: str) -> Iterator[None]:
    """Let the classifier judge twins for the generators' loss; its running statistics stay as they are.

    In the paper's variant each image's loss is its own, as in inference. The authors' program has one forward
    pass for this loss and the classifier's, hence the statistics of the batch.
    """
    classifier.train(variant == "code")
    norms = [part for part in classifier.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    classifier.train()


def learner(
    loaders: DataLoaders, networks: Networks, perceptual: nn.Module, weight: float, variant: str
) -> Learner:
    """Return fastai's loop over the three networks; see `Twins` for how they share it.

    Parameters
    ----------
    loaders : DataLoaders
        Of images (n, 3, image_size, image_size) in [0, 1] and positions in `LABELS`.
    networks, perceptual, weight, variant
        See `Twins`.
    """
    device = pick_device()
    for network in (networks, perceptual):
        network.to(device, memory_format=torch.channels_last)
    return Learner(
        loaders,
        networks.classifier,
        loss_func=CrossEntropyLossFlat(weight=_class_weights(loaders) if variant == "code" else None),
        opt_func=partial(OptimWrapper, opt=partial(torch.optim.Adam, fused=True)),
        lr=CLASSIFIER_LR,
        wd_bn_bias=True,  # there is no decay to keep from them
        train_bn=False,  # the variant ``code`` freezes them with their layers
        metrics=fused_accuracy,
        cbs=[*on_gpu.callbacks(), Twins(networks.generators, perceptual, weight, variant)],
    )


def _class_weights(loaders: DataLoaders) -> Tensor:
    """Return what the authors' code multiplies each class's cross-entropy with: the rarest class with 1."""
    counts = loaders.train.dataset.tensors[1].as_subclass(Tensor).bincount(minlength=len(LABELS))
    return (counts.min() / counts).to(pick_device())
