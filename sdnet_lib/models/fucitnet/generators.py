"""FuCiTNet's image-to-image networks, and the frozen features by which two images look alike.

Section 4, step 2 of the paper. Its text leaves out the first convolution and the place of the PReLU; both
follow the networks that its authors released.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import LITE0, Trunk, trunk

WAYS = ("paper", "code")  # of everything that the paper and its authors' code do differently
MAPS = 64
COLOURS = 3


class Normalise(nn.Module):
    """Bring images (n, 1 or 3, height, width) in [0, 1] to the mean and spread that a network knows.

    Both are part of the state dict if `stored`.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, stored: bool = False) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=stored)

    def forward(self, x: Tensor) -> Tensor:
        """Return the images less the mean, divided by the standard deviation."""
        return (x - self.mean) / self.std


class PerImageNorm(nn.BatchNorm2d):
    """Batch normalisation as the authors' code trains it: with the statistics of one image at a time.

    Their loop hands the generators single images. The running averages, which inference uses, move as far as
    after as many single images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, maps, height, width): each image by itself in training, all alike in inference."""
        if not self.training:
            return super().forward(x)
        share = 1 - (1 - self.momentum) ** len(x)
        averages = self.running_mean, self.running_var
        return F.instance_norm(x, *averages, self.weight, self.bias, True, share, self.eps)


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, a PReLU between them, and the way around them."""

    def __init__(self, norm: type[nn.BatchNorm2d]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(MAPS, MAPS, 3, padding=1)
        self.bn1 = norm(MAPS)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(MAPS, MAPS, 3, padding=1)
        self.bn2 = norm(MAPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 64, height, width), of the input's shape."""
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


def generator(way: str = "paper") -> nn.Sequential:
    """Build a generator: (n, 3, height, width) in [0, 1] to the same shape, 387,913 parameters.

    The names in its state dict are those of the networks that the authors of FuCiTNet released.

    Parameters
    ----------
    way : str
        ``paper``: batch normalisation over the batch, and a start at the identity (our choice: the paper does
        not say how to start, and from random weights the first images would be noise). ``code``: one image's
        statistics at a time, and random weights.
    """
    check_way(way)
    norm = PerImageNorm if way == "code" else nn.BatchNorm2d
    head = nn.Sequential(nn.Conv2d(COLOURS, MAPS, 9, padding=4), nn.PReLU())
    blocks = {f"block{number}": Block(norm) for number in range(2, 7)}
    tail = nn.Conv2d(MAPS, COLOURS, 3, padding=1)
    network = nn.Sequential(OrderedDict(block1=head, **blocks, block7=tail))
    if way == "paper":
        _start_at_the_identity(network)
    return network


def check_way(way: str) -> None:
    """Raise `InputError` unless `way` is one of `WAYS`."""
    if way not in WAYS:
        raise InputError(f"unknown way {way!r}: choose one of {', '.join(WAYS)}")


@torch.no_grad()
def _start_at_the_identity(network: nn.Sequential) -> None:
    """Let the image through in the first three maps: no block adds to them, and the tail reads them alone.

    A PReLU does not change them, because grey levels are not negative. The other 61 maps keep their random
    start, so the tail finds features to read from the first step on.
    """
    head, *blocks, tail = network
    nn.init.dirac_(head[0].weight[:COLOURS])
    nn.init.zeros_(head[0].bias[:COLOURS])
    for block in blocks:
        nn.init.zeros_(block.bn2.weight[:COLOURS])
    nn.init.dirac_(tail.weight)
    nn.init.zeros_(tail.bias)


def perceptual_network(normalise: bool = True) -> tuple[nn.Module, str]:
    """Return the frozen features that the perceptual loss compares, and their name.

    VGG-16 through its fifth pooling (31 layers), trained on ImageNet. Where its weights cannot be had, what
    EfficientNet-Lite0 computes down to stride 16: it needs no download, and of the stages that still have
    4 x 4 positions on an image of 64 x 64 it is the deepest. Its features are divided by the spread that
    batch normalisation gave them on ImageNet: without, they would be some 36 times as heavy in equation 1.

    Parameters
    ----------
    normalise : bool
        Whether ImageNet's mean and spread are applied to the input, in [0, 1], first. The authors' code
        does not.
    """
    try:
        network = trunk("vgg16")
        features, name = network.body.features, "vgg16 imagenet"
    except InputError:
        network = trunk(LITE0)
        features, name = _lite0_features(network.body), f"{LITE0} imagenet (VGG-16 could not be had)"
    return nn.Sequential(normaliser(network, normalise), features).requires_grad_(False).eval(), name


def _lite0_features(body: nn.Module) -> nn.Sequential:
    stages = body.blocks[:5]
    variances = [block.bn3.weight.detach().square().mean() for block in stages[-1]]  # each adds to the last
    return nn.Sequential(body.conv_stem, body.bn1, *stages, Normalise([0.0], [float(sum(variances).sqrt())]))


def normaliser(network: Trunk, normalise: bool) -> nn.Module:
    """Return what belongs in front of a pretrained network: its own normalisation, or nothing."""
    return Normalise(network.mean, network.std) if normalise else nn.Identity()
