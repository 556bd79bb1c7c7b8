"""The ensemble of DeepCOVIDExplainer: a "VGG-19" and a "DenseNet-161" (Karim et al., IEEE BIBM 2020).

The names are the authors'. Their published code builds networks of that many layers with far fewer channels
(488 thousand and 1.7 million parameters, where the real ones have 144 and 29 million), and an erratum in its
README says that they were trained from scratch, not from ImageNet as the article has it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from fastai.optimizer import OptimWrapper
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.common import train
from sdnet_lib.models.predictors import Mean, Single
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig

GROUPS = ((2, 2), (4, 2), (8, 4), (16, 4), (16, 4))  # VGG: channels and number of convolutions
BLOCKS = (6, 12, 36, 24)  # DenseNet: layers in each block
GROWTH = 12  # channels that a layer adds
STEM = 8  # channels


def vgg19(image_size: int, classes: int = 2) -> nn.Sequential:
    """Return an untrained "VGG-19", float (n, 3, image_size, image_size) to (n, classes).

    Parameters
    ----------
    image_size : int
        Height and width of the images in pixels, at least 32; the first dense layer depends on it.
    classes : int
        Four in the code: normal, bacterial, viral, COVID-19.

    Raises
    ------
    InputError
        If the images are too small.
    """
    _check(image_size)
    steps, channels = [], 3
    for outputs, layers in GROUPS:
        for _ in range(layers):
            steps += [_he(nn.Conv2d(channels, outputs, 3, padding=1)), nn.ReLU()]
            channels = outputs
        steps.append(nn.MaxPool2d(2))
    flat = channels * (image_size // 32) ** 2
    dense = [nn.Linear(flat, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 128), nn.ReLU()]
    result = nn.Sequential(*steps, nn.Flatten(), *dense, nn.Linear(128, classes))
    result.weights = "none"
    return result


class _DenseLayer(nn.Sequential):
    """Batch normalisation, ReLU, 1x1, and again with 3x3; the result is appended to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            _normalise(channels), _he(nn.Conv2d(channels, 4 * GROWTH, 1, bias=False)),
            _normalise(4 * GROWTH), _he(nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, super().forward(x)], 1)


class _FirstChannel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


def densenet161(image_size: int, classes: int = 2) -> nn.Sequential:
    """Return an untrained "DenseNet-161", float (n, 3, image_size, image_size) to (n, classes).

    It takes grey images, so it looks at the first of three equal channels. The code feeds it images of
    352 x 320 pixels; any size from 32 x 32 will do.

    Parameters
    ----------
    image_size : int
        Height and width of the images in pixels; no layer depends on it.
    classes : int
        Four in the code.

    Raises
    ------
    InputError
        If the images are too small.
    """
    _check(image_size)
    steps = [_FirstChannel(), _he(nn.Conv2d(1, STEM, 7, stride=2, padding=3, bias=False))]
    steps += [_normalise(STEM), nn.MaxPool2d(3, stride=2, padding=1)]
    channels = STEM
    for number, layers in enumerate(BLOCKS):
        if number:  # between blocks half of the channels, and of width and height
            half = _he(nn.Conv2d(channels, channels // 2, 1, bias=False))
            steps += [_normalise(channels), half, nn.AvgPool2d(2)]
            channels //= 2
        steps += [_DenseLayer(channels + GROWTH * layer) for layer in range(layers)]
        channels += GROWTH * layers
    steps += [_normalise(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    result = nn.Sequential(*steps)
    result.weights = "none"
    return result


def _check(image_size: int) -> None:
    if image_size < 32:
        raise InputError(
            f"the networks halve an image five times: {image_size} pixels are too few, give at least 32"
        )


def _he(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(layer.weight)
    return layer


def _normalise(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels, eps=1.1e-5), nn.ReLU())


# The notebooks' training. Their "decay 1e-6" is Keras's, which makes the learning rate 0.2 % smaller over the
# whole training and nothing else, so it is left out. They create early stopping but do not pass it on.
CONFIG = TrainingConfig(
    optimiser=partial(OptimWrapper, opt=partial(torch.optim.SGD, momentum=0.95, nesterov=True)),
    lr=0.01,
    batch=32,
    epochs=50,
    weight_decay=0.0,
    schedule="constant",
    keep="last",
    augment=list,
    mean=None,
    std=None,
)
# Each is trained by itself. Keras adds 1e-6 times the squared weights of most of the DenseNet's convolutions
# to the loss; the decay that has twice that gradient is applied to all of its weights here.
MEMBERS = {
    "VGG-19": (vgg19, CONFIG),
    "DenseNet-161": (densenet161, replace(CONFIG, weight_decay=2e-6)),
}


def fit(task: Task) -> tuple[Single, dict]:
    """Train both networks and average their softmax outputs."""
    trained = {name: train(network, config, task) for name, (network, config) in MEMBERS.items()}
    members = [Single.of(learner) for learner, _ in trained.values()]
    return Single(Mean(members)), {name: notes for name, (_, notes) in trained.items()}


def build(profile: Profile) -> Single:
    """Return an untrained ensemble."""
    return Single(Mean([Single(network(profile.image_size)) for network, _ in MEMBERS.values()]))
