"""Training FuCiTNet: fastai trains the classifier, and a callback the generators whose images it is shown.

Each batch moves all three networks once, by gradients from one forward pass of the generators.
`sdnet_lib.models.fucitnet.transform.fit` chooses lambda; it is what others call.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import OptimWrapper
from fastai.torch_core import no_random
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from sdnet_lib.config import Profile, pick_device
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import trunk
from sdnet_lib.models.fucitnet.checkpoints import Keeper
from sdnet_lib.models.fucitnet.generators import COLOURS, generator, normaliser
from sdnet_lib.models.fucitnet.losses import losses
from sdnet_lib.models.training_config import Recipe, loader, training_loader

# Adam's settings in the authors' code; the paper names none.
GENERATOR_RATE, GENERATOR_DECAY = 1e-4, 1e-4
CLASSIFIER_RATE = 1e-3


AS_IT_IS = (0.0,) * COLOURS, (1.0,) * COLOURS  # a mean and a spread that leave images in [0, 1]


class Networks(NamedTuple):
    """What is trained: a generator for each of `LABELS`, in that order, and a classifier of their images."""

    generators: nn.ModuleList
    classifier: nn.Sequential


class Run(NamedTuple):
    """What a training is given, whatever its lambda.

    Attributes
    ----------
    parts : pair of (uint8 array (n, image_size, image_size), int array (n,))
        Images and positions in `LABELS` of the training part, and of the part that decides when to stop.
    perceptual, perceptual_name : nn.Module, str
        From `generators.perceptual_network`.
    weights : str
        ``imagenet`` or ``none``, where the classifier starts.
    profile : Profile
        Its `generator_backbone`, `batch` and `patience` are used.
    way, seed : str, int
        See `fucitnet.fit`.
    """

    parts: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    perceptual: nn.Module
    perceptual_name: str
    weights: str
    profile: Profile
    way: str
    seed: int


class Trained(NamedTuple):
    """The networks as they were after epoch `best`, and a row an epoch of what happened."""

    networks: Networks
    history: pd.DataFrame
    best: int


def settings(run: Run) -> dict:
    """Say in plain values, ready for JSON, how a run trains."""
    backbone = run.profile.generator_backbone
    start = "imagenet" if run.weights == "imagenet" else "random (its ImageNet weights could not be had)"
    return {
        "way": run.way,
        "perceptual": run.perceptual_name,
        "classifier": f"{backbone} {start}",
        "backbone": backbone,
        "side": int(run.parts[0][0].shape[-1]),
        "images": [len(images) for images, _ in run.parts],
        "batch": run.profile.batch,
        "seed": run.seed,
    }


def classifier_network(backbone: str, weights: str, way: str) -> nn.Sequential:
    """Build the classifier: normalisation, a trunk, one layer with an output for each of `LABELS`.

    Parameters
    ----------
    backbone, weights : str
        See `backbones.trunk`.
    way : str
        ``code``: no normalisation, and the layers down to stride 8 are not trained, though their batch
        statistics move (of ResNet-18 these are the stem, layer 1 and layer 2).

    Raises
    ------
    InputError
        If backbone or weights cannot be used, or the way ``code`` does not know which layers come first.
    """
    network = trunk(backbone, weights)
    body = network.body
    if way == "code":
        for part in _early_layers(body, backbone):
            part.requires_grad_(False)
    with torch.no_grad():
        features = body.eval()(torch.zeros(1, COLOURS, 64, 64)).shape[1]
    return nn.Sequential(normaliser(network, way == "paper"), body, nn.Linear(features, len(LABELS)))


def _early_layers(body: nn.Module, backbone: str) -> list[nn.Module]:
    if hasattr(body, "layer2"):
        return [body.conv1, body.bn1, body.layer1, body.layer2]
    if hasattr(body, "conv_stem"):
        return [body.conv_stem, body.bn1, body.blocks[:3]]
    raise InputError(
        f"way 'code' freezes the early layers of a ResNet or an EfficientNet, not of {backbone!r}"
    )


def start(backbone: str, weights: str, way: str) -> Networks:
    """Return networks to train; see `classifier_network` for the arguments."""
    return Networks(nn.ModuleList(generator(way) for _ in LABELS), classifier_network(backbone, weights, way))


def fuse(logits: Tensor) -> Tensor:
    """Bring the classifier's answers (k n, k), generator by generator, side by side: (n, k k)."""
    return torch.cat(logits.chunk(len(LABELS)), 1)


def fused_accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of right decisions: of all answers to an image the largest counts, whoever gave it."""
    answers = fuse(logits)
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
        From `generators.perceptual_network`.
    weight : float
        The paper's lambda.
    way : str
        See `fucitnet_loss.losses`.
    """

    order = MixedPrecision.order + 1  # within its autocast

    def __init__(self, generators: nn.ModuleList, perceptual: nn.Module, weight: float, way: str) -> None:
        self.generators, self.perceptual, self.weight, self.way = generators, perceptual, weight, way
        settings = {"lr": GENERATOR_RATE, "weight_decay": GENERATOR_DECAY, "fused": True}
        self.optimisers = [torch.optim.Adam(network.parameters(), **settings) for network in generators]

    def before_fit(self) -> None:
        """Scale gradients where the classifier's are scaled: in float16, on a GPU. Start running averages."""
        self.scaler = getattr(self.learn, "scaler", None) or torch.amp.GradScaler("cpu", enabled=False)
        if self.way == "paper":  # running averages that start at 0 and 1 are wrong for dozens of batches
            images = self.dls.train.one_batch()[0].as_subclass(Tensor)
            for network in self.generators:
                update_bn([images], network)

    def before_train(self) -> None:
        """Begin an epoch's training."""
        self.generators.train()
        self.rows = []

    def after_train(self) -> None:
        """Leave the means over the batches: the terms of `fucitnet_loss.Losses`, the classifier's loss."""
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
        self.model.eval()  # its statistics stay as they are, and each image's loss is its own
        terms = losses(twins, images, self.y, self.model, self.perceptual, self.weight, self.way)
        self.model.train()
        with torch.autocast(images.device.type, enabled=False):
            self.scaler.scale(terms.total.sum()).backward(inputs=list(self.generators.parameters()))
            for optimiser in self.optimisers:
                self.scaler.step(optimiser)
                optimiser.zero_grad()
        self.rows.append(torch.cat(terms).detach())

    def after_batch(self) -> None:
        """Note the classifier's loss after those of the generators."""
        if self.training:
            self.rows[-1] = torch.cat([self.rows[-1], self.loss.detach().view(1)])


def learner(
    loaders: DataLoaders, networks: Networks, perceptual: nn.Module, weight: float, way: str
) -> Learner:
    """Return fastai's loop over the three networks; see `Twins` for how they share it.

    Parameters
    ----------
    loaders : DataLoaders
        Of images (n, 3, image_size, image_size) in [0, 1] and positions in `LABELS`.
    networks, perceptual, weight, way
        See `Run` and `fucitnet_loss.losses`.
    """
    device = pick_device()
    for network in (*networks, perceptual):
        network.to(device, memory_format=torch.channels_last)
    callbacks = [ChannelsLast(), Twins(networks.generators, perceptual, weight, way)]
    return Learner(
        loaders,
        networks.classifier,
        loss_func=CrossEntropyLossFlat(weight=_class_weights(loaders) if way == "code" else None),
        opt_func=partial(OptimWrapper, opt=partial(torch.optim.Adam, fused=True)),
        lr=CLASSIFIER_RATE,
        wd_bn_bias=True,  # there is no decay to keep from them
        train_bn=False,  # the way ``code`` freezes them with their layers
        metrics=fused_accuracy,
        cbs=callbacks + ([MixedPrecision()] if device.type == "cuda" else []),
    )


def _class_weights(loaders: DataLoaders) -> Tensor:
    """Return what the authors' code multiplies each class's cross-entropy with: the rarest class with 1."""
    targets = torch.tensor([int(target) for _, target in loaders.train.dataset])
    counts = targets.bincount(minlength=len(LABELS))
    return (counts.min() / counts).to(pick_device())


def train(run: Run, weight: float, epochs: int, file: Path | None) -> Trained:
    """Train with one lambda until the validation loss stops falling.

    Parameters
    ----------
    run : Run
        Everything else.
    weight : float
        The paper's lambda.
    epochs : int
        The most epochs, those that `file` has seen included.
    file : Path or None
        Where each epoch leaves all that is needed to go on.

    Raises
    ------
    InputError
        If the loss is not a number, or the file is damaged, or of other data or settings.
    """
    with ExitStack() as stack:
        stack.enter_context(no_random(run.seed))
        networks = start(run.profile.generator_backbone, run.weights, run.way)
        keeper = Keeper(networks, run.profile.patience, run.seed, file, _key(run, weight))
        batch, (first, second) = run.profile.batch, run.parts
        loaders = DataLoaders(
            training_loader(*first, AS_IT_IS, Recipe(batch=batch)),
            loader(*second, AS_IT_IS, batch),
            device=pick_device(),
        )
        loop = learner(loaders, networks, run.perceptual, weight, run.way)
        if not sys.stdout.isatty():
            stack.enter_context(loop.no_bar())
            stack.enter_context(loop.no_logging())
        if not keeper.finished and len(keeper.history) < epochs:
            loop.fit(epochs - len(keeper.history), cbs=keeper)
    keeper.restore_best()
    return Trained(networks, pd.DataFrame(keeper.history), keeper.best)


def _key(run: Run, weight: float) -> str:
    """Return 64 hex digits that change with the data and with every setting that changes the result."""
    told = settings(run) | {"lambda": weight, "patience": run.profile.patience}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for images, targets in run.parts:
        digest.update(np.ascontiguousarray(images))
        digest.update(np.ascontiguousarray(targets))
    return digest.hexdigest()
