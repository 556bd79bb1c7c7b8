"""COVID-CAPS: four convolutions and three capsule layers (Afshar et al., Pattern Recognition Letters 2020).

The layers are those of the published code, whose weights `covidcaps_weights` converts.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
from fastai.optimizer import Adam
from torch import nn
from torch.nn import functional as F

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.common import AS_IT_IS, read_with, resize_plainly
from sdnet_lib.models.training_config import Recipe

IMAGE_SIZE = 224
ROUNDS = 3  # of routing


def squash(vectors: torch.Tensor) -> torch.Tensor:
    """Shorten vectors to a length below one and keep their direction.

    Parameters
    ----------
    vectors : float tensor, (..., dimensions)
    """
    square = vectors.square().sum(-1, keepdim=True) + 1e-7
    return vectors * square.sqrt() / (1 + square)


def route_plainly(inputs: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Route capsules by agreement, as it is defined: `route` gives the same and stores less.

    The logits of a round replace those of the round before, they are not added to them.

    Parameters
    ----------
    inputs : float tensor, (n, capsules, dimensions)
    kernel : float tensor, (dimensions, new capsules, new dimensions)
        The one matrix that all capsules share.

    Returns
    -------
    float tensor, (n, new capsules, new dimensions)
    """
    predictions = torch.einsum("nid,dke->nkie", inputs, kernel)
    logits = torch.zeros_like(predictions[..., 0])
    for _ in range(ROUNDS):
        outputs = squash((logits.softmax(1)[..., None] * predictions).sum(2))
        logits = torch.einsum("nke,nkie->nki", outputs, predictions)
    return outputs


def route(inputs: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Route capsules by agreement without their 11,236 x 256 predictions.

    The kernel is shared, so it can be applied to the weighted sum of the capsules, and for the agreement to
    the few outputs. Parameters and result are those of `route_plainly`.
    """
    sums = inputs.sum(1, keepdim=True).expand(-1, kernel.shape[1], -1) / kernel.shape[1]
    for _ in range(ROUNDS - 1):
        outputs = squash(torch.einsum("nkd,dke->nke", sums, kernel))
        logits = inputs @ torch.einsum("nke,dke->ndk", outputs, kernel)
        sums = logits.softmax(2).transpose(1, 2) @ inputs
    return squash(torch.einsum("nkd,dke->nke", sums, kernel))


class Capsules(nn.Module):
    """A capsule layer, (n, capsules, dimensions) to (n, new capsules, new dimensions), without biases."""

    def __init__(self, dimensions: int, capsules: int, new_dimensions: int) -> None:
        super().__init__()
        flat = nn.init.xavier_uniform_(torch.empty(dimensions, capsules * new_dimensions))
        self.kernel = nn.Parameter(flat.view(dimensions, capsules, new_dimensions))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Route; never in half precision, where squared lengths near zero would vanish."""
        with torch.autocast(x.device.type, enabled=False):
            return route(x.to(self.kernel.dtype), self.kernel)


class CovidCaps(nn.Module):
    """Float (n, 3, image_size, image_size) in [0, 1] to the lengths of the last capsules, (n, classes), below one."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weights = "none"
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3),
            nn.ReLU(),
            nn.BatchNorm2d(64, eps=1e-3, momentum=0.01),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(64, 128, 3),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3),
            nn.ReLU(),
        )
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # as Keras starts them
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.first, self.second = Capsules(128, 32, 8), Capsules(8, 32, 8)
        self.last = Capsules(8, classes, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the lengths; the epsilon keeps the gradient of a capsule of length zero finite."""
        pixels = self.features(x).flatten(2).transpose(1, 2)
        return (self.last(self.second(self.first(pixels))).square().sum(2) + 1e-8).sqrt()


def network(classes: int = 2, image_size: int = IMAGE_SIZE) -> CovidCaps:
    """Return an untrained COVID-CAPS; `covidcaps_weights.load` returns a trained one.

    Parameters
    ----------
    classes : int
        Two in the published network, five in its pre-training on ChestX-ray14.
    image_size : int
        Side of the images in pixels, at least 14; no layer depends on it.

    Raises
    ------
    InputError
        If the images are too small.
    """
    if image_size < 14:
        raise InputError(f"COVID-CAPS takes images of 14 pixels or more, not of {image_size}")
    return CovidCaps(classes)


def freeze(network: CovidCaps) -> CovidCaps:
    """Keep the convolutions as they are from now on: batch normalisation and capsules are trained.

    So the authors fine-tune the network that they pre-trained. The paper's retraining frees all layers.
    """
    for layer in network.features:
        layer.requires_grad_(not isinstance(layer, nn.Conv2d))
    return network


def read_pixels(cohort: pd.DataFrame, image_size: int = IMAGE_SIZE) -> np.ndarray:
    """Return a cohort's images squeezed to squares without antialiasing, as the published code does.

    Parameters
    ----------
    cohort : DataFrame
        The column `file` is used.
    image_size : int
        Side in pixels of the result.

    Returns
    -------
    uint8 array, (n, image_size, image_size)
    """
    return read_with(lambda image: resize_plainly(image, image_size), cohort)


class MarginLoss(nn.Module):
    """Margin loss of capsule lengths, summed over classes: 0.9 is long enough, 0.1 short enough."""

    def forward(self, lengths: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over the batch.

        Parameters
        ----------
        lengths : float tensor, (n, classes)
        targets : int tensor, (n,)
        """
        lengths = lengths.float()
        present = F.one_hot(targets.long(), lengths.shape[1])
        short, long = (0.9 - lengths).relu().square(), (lengths - 0.1).relu().square()
        return (present * short + 0.5 * (1 - present) * long).sum(1).mean()

    def activation(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return lengths divided by their sum.

        Lengths are no probabilities: all may be long, or none. The quotients add up to one for the tables
        and have the same largest class, no more.
        """
        return lengths / lengths.sum(1, keepdim=True)

    def decodes(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the class of the longest capsule."""
        return lengths.argmax(1)


# As published, and as the paper retrains it: 100 epochs, batch 16, no class weights. The rate is constant.
RECIPE = Recipe(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    rate=1e-3,
    batch=16,
    epochs=100,
    weight_decay=0.0,
    schedule="constant",
    keep="best",
    augment=list,
    loss=MarginLoss,
    **AS_IT_IS,
)
