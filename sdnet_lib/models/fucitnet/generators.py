"""FuCiTNet's generators: networks from image to image, one for each class.

Section 4, step 2 of the paper. Its text leaves out the first convolution and the place of the PReLU; both
follow the networks that its authors released.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from sdnet_lib.files import InputError

VARIANTS = ("paper", "code")  # of everything that the paper and its authors' code do differently
MAPS = 64
FEW = 2  # images that a trained generator sees at once on a CPU
COLOURS = 3


class PerImageNorm(nn.BatchNorm2d):
    """Batch normalisation as the authors' code trains it: with the statistics of one image at a time.

    Their loop hands the generators single images. The running averages, which inference uses, move as far as
    after as many single images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, maps, height, width): each image by itself in training, all alike in inference."""
        if not self.training:
            return super().forward(x)
        momentum = 1 - (1 - self.momentum) ** len(x)
        averages = self.running_mean, self.running_var
        return F.instance_norm(x, *averages, self.weight, self.bias, True, momentum, self.eps)


class PReLU(nn.PReLU):
    """torch's, with the same gradient in operations that a CPU does on many numbers at a time.

    Its own way back does one after the other there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x where it is positive, else x times the one slope."""
        return _Bent.apply(x, self.weight) if x.device.type == "cpu" else super().forward(x)


class _Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.prelu(x, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, x, 0)
        below = gradient - above
        return torch.addcmul(above, below, slope), (below * x).sum().view(1)


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, a PReLU between them, and a shortcut around them."""

    def __init__(self, norm: type[nn.BatchNorm2d]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(MAPS, MAPS, 3, padding=1)
        self.bn1 = norm(MAPS)
        self.prelu = PReLU()
        self.conv2 = nn.Conv2d(MAPS, MAPS, 3, padding=1)
        self.bn2 = norm(MAPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 64, height, width), of the input's shape."""
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


def generator(variant: str = "paper") -> nn.Sequential:
    """Build a generator: (n, 3, height, width) in [0, 1] to the same shape, 387,913 parameters.

    The names in its state dict are those of the networks that the authors of FuCiTNet released.

    Parameters
    ----------
    variant : str
        ``paper``: batch normalisation over the batch, and a start at the identity (our choice: the paper does
        not say how to start, and from random weights the first images would be noise). ``code``: one image's
        statistics at a time, and random weights, the scales of batch normalisation too.
    """
    check_variant(variant)
    norm = PerImageNorm if variant == "code" else nn.BatchNorm2d
    head = nn.Sequential(nn.Conv2d(COLOURS, MAPS, 9, padding=4), PReLU())
    blocks = {f"block{number}": Block(norm) for number in range(2, 7)}
    tail = nn.Conv2d(MAPS, COLOURS, 3, padding=1)
    network = nn.Sequential(OrderedDict(block1=head, **blocks, block7=tail))
    if variant == "paper":
        _start_at_the_identity(network)
    else:
        _scale_at_random(network)
    return network


def run_generator(generator: nn.Module, colours: Tensor) -> Tensor:
    """Run a trained generator; on a CPU a few images at a time, whose many maps then stay in its cache."""
    few = FEW if colours.device.type == "cpu" else len(colours)
    return torch.cat([generator(part) for part in colours.split(few)])


def check_variant(variant: str) -> None:
    """Raise `InputError` unless `variant` is one of `VARIANTS`."""
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: choose one of {', '.join(VARIANTS)}")


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


def _scale_at_random(network: nn.Module) -> None:
    """Draw the scales of batch normalisation from 0 to 1, as the PyTorch of the authors' code (1.1) did."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight)
