"""COVID-CAPS: four convolutions and three capsule layers (Afshar et al., Pattern Recognition Letters 2020).

The layers are those of the published code, whose weights `covidcaps_weights` converts.
"""

from __future__ import annotations

import torch
from torch import nn

from sdnet_lib.files import InputError

ROUNDS = 3  # of routing


def squash(vectors: torch.Tensor) -> torch.Tensor:
    """Shorten vectors to a length below one and keep their direction.

    Parameters
    ----------
    vectors : float tensor, (..., dimensions)
    """
    square = vectors.square().sum(-1, keepdim=True) + 1e-7
    return vectors * square.sqrt() / (1 + square)


def route(inputs: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Route capsules by agreement, without storing their 11,236 x 256 predictions.

    The kernel is shared, so it can be applied to the weighted sum of the capsules, and for the agreement to
    the few outputs. The logits of a round replace those of the round before, they are not added to them.

    Parameters
    ----------
    inputs : float tensor, (n, capsules, dimensions)
    kernel : float tensor, (dimensions, new capsules, new dimensions)
        The one matrix that all capsules share.

    Returns
    -------
    float tensor, (n, new capsules, new dimensions)
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
    """Images (n, 3, height, width) in [0, 1] to the lengths of the last capsules, (n, classes), below one."""

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


def network(image_size: int, classes: int = 2) -> CovidCaps:
    """Return an untrained COVID-CAPS; `covidcaps_weights.load` returns a trained one.

    Parameters
    ----------
    image_size : int
        Height and width of the images in pixels, at least 14; no layer depends on it.
    classes : int
        Two in the published network, five in its pre-training on ChestX-ray14.

    Raises
    ------
    InputError
        If the images are too small.
    """
    if image_size < 14:
        raise InputError(f"COVID-CAPS takes images of 14 pixels or more, not of {image_size}")
    return CovidCaps(classes)
