"""How fastai's loop trains three networks: the classifier is its own, a callback trains the generators.

Each batch moves all three once, by gradients from one forward pass of the generators. Where memory is short,
what judges the twins sees them part by part, and the generators keep only what goes in and out of their
blocks, whose maps they compute once more on the way back. Both leave the numbers as they are: the batch
normalisation of the generators always has the whole batch. What does not fit then is the classifier's batch
of twins, which `micro_batches` splits, and in the variant ``code`` its statistics when it judges.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import OptimWrapper
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.checkpoint import checkpoint

from sdnet_lib.config import pick_device
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.models import micro_batches, on_gpu, training_config
from sdnet_lib.models.fucitnet.losses import Losses, losses
from sdnet_lib.models.fucitnet.networks import Networks
from sdnet_lib.models.micro_batches import PartsLearner

# Adam's settings in the authors' code; the paper names none.
GENERATOR_LR, GENERATOR_DECAY = 1e-4, 1e-4
CLASSIFIER_LR = 1e-3
_log = logging.getLogger("sdnet_lib")


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

    Attributes
    ----------
    frugal : bool
        Whether the generators compute their maps once more on the way back.
    parts : int
        In how many parts twins are judged.
    """

    frugal, parts = False, 1
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
        if self.training:
            if self.train_iter == 0:
                self._fit_to_memory(images)
            micro_batches.persist(partial(self._step, images), self._less)
        else:
            self.made = self._make(self.generators, images)
            self.rows.append((self.made.float() - images).square().mean((0, 2, 3, 4)))
        self.learn.xb = (self.made.flatten(0, 1),)
        self.learn.yb = (self.y.repeat(len(self.made)),)

    def _make(self, generators: nn.ModuleList, images: Tensor) -> Tensor:
        run = _frugally if self.frugal and self.training else nn.Module.__call__
        return torch.stack([run(network, images) for network in generators])

    def _step(self, images: Tensor) -> None:
        made = self._make(self.generators, images)
        self.made = made.detach()
        terms, gradients = [], []
        for rows in torch.arange(len(images)).tensor_split(self.parts):
            of_part = slice(int(rows[0]), int(rows[-1]) + 1)
            twins = self.made[:, of_part].requires_grad_()
            with _judging(self.model, self.variant):
                terms.append(self._judge(self.model, twins, images[of_part], self.y[of_part]))
            gradients.append(self._gradient(terms[-1].total, twins))
            terms[-1] = torch.cat(terms[-1]).detach()
        with torch.autocast(images.device.type, enabled=False):
            made.backward(torch.cat(gradients, 1))
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
                optimiser.zero_grad()
        self.rows.append(torch.stack(terms).sum(0))

    def _judge(self, classifier: nn.Module, twins: Tensor, images: Tensor, targets: Tensor) -> Losses:
        return losses(twins, images, targets, classifier, self.perceptual, self.weight, self.variant, self.y)

    def _gradient(self, totals: Tensor, twins: Tensor) -> Tensor:
        """Return how the twins of each generator change its own total, and no other's."""
        with torch.autocast(twins.device.type, enabled=False):
            if self.variant == "paper":  # there it is the gradient of the sum
                return torch.autograd.grad(self.scaler.scale(totals.sum()), twins)[0]
            each = (
                torch.autograd.grad(self.scaler.scale(one), twins, retain_graph=True)[0] for one in totals
            )
            return torch.stack([gradient[k] for k, gradient in enumerate(each)])

    def _fit_to_memory(self, images: Tensor) -> None:
        """Find out, on copies, whether all fits as it is; if not, be frugal, and judge what then fits."""

        def judge(twins: Tensor) -> Losses:
            classifier, count = copy.deepcopy(self.model), twins.shape[1]
            with _judging(classifier, self.variant):
                return self._judge(classifier, twins, images[:count], self.y[:count])

        def step(count: int) -> Losses:
            return judge(self._make(copy.deepcopy(self.generators), images[:count]))

        if micro_batches.at_once(step, images) < len(images):
            self._less()
            twins = torch.stack([images] * len(self.generators)).requires_grad_()
            most = micro_batches.at_once(lambda count: judge(twins[:, :count]), images)
            self.parts = min(-(-len(images) // most), self._most_parts(len(images)))

    def _most_parts(self, images: int) -> int:
        least = training_config.pairs(training_config.LEAST) if self.variant == "code" else 1
        return max(1, images // least)

    def _less(self) -> None:
        """Take less memory: first compute maps again, then judge fewer twins at once."""
        images = len(self.y)
        if not self.frugal:
            self.frugal = True
            _log.warning("memory is short: generators compute their maps twice")
        elif self.parts < self._most_parts(images):
            self.parts = min(2 * self.parts, self._most_parts(images))
            _log.warning("memory is short: twins are judged in %d parts", self.parts)
        else:
            raise micro_batches.too_large(images)

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
    with _standing_still(classifier):
        yield
    classifier.train()


@contextmanager
def _standing_still(network: nn.Module) -> Iterator[None]:
    """Keep running statistics as they are."""
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def _frugally(generator: nn.Sequential, images: Tensor) -> Tensor:
    """Run a generator that keeps what goes in and out of its blocks alone; they compute twice."""
    for block in generator:
        images = checkpoint(
            block,
            images,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda block=block: (nullcontext(), _standing_still(block)),
        )
    return images


def learner(
    loaders: DataLoaders, networks: Networks, perceptual: nn.Module, weight: float, variant: str
) -> PartsLearner:
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
    return PartsLearner(
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
