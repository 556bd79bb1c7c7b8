"""Budget-matched re-implementations of COVID-Net (Wang, Lin and Wong, Scientific Reports 2020).

The architectures of the COVIDNet-CXR releases came out of a proprietary search: their layers' widths were
never published, only a figure of the macro-architecture, a parameter and a multiply-add count. The variants
here follow the figure, with widths chosen to come near those counts. None of them is a COVIDNet-CXR, and
none has its weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from sdnet_lib.files import InputError

WIDTHS = (64, 256, 512, 1024, 2048)  # of the stem and the four stages
MODULES = (3, 4, 6, 3)  # in each stage


class Variant(NamedTuple):
    """The choices of one variant, and the budget of the release that it is matched to.

    Attributes
    ----------
    narrow, wide : float
        Channels of a module's projections and of its expansion, as fractions of its input's.
    shortcut : str
        Where 1x1 shortcuts convolve: ``none``, ``before`` or ``after`` the pooling between stages.
    head : str
        ``dense``: flatten and two layers of 1024; ``pool``: global average and one layer.
    image_size : int
        Height and width of the input in pixels.
    parameters, macs : float
        Published size of the release, in millions, and its cost at `image_size`, in thousand millions of
        multiply-adds. Ours are in the tests.
    """

    narrow: float
    wide: float
    shortcut: str
    head: str
    image_size: int
    parameters: float
    macs: float


VARIANTS = {
    "small": Variant(1 / 4, 1 / 2, "none", "dense", 224, 117.4, 2.26),
    "large": Variant(1 / 4, 1 / 2, "before", "dense", 224, 127.4, 3.59),
    "a": Variant(1 / 2, 3 / 4, "after", "pool", 480, 40.2, 23.63),
    "b": Variant(1 / 4, 1 / 2, "none", "pool", 480, 11.7, 7.50),
    "c": Variant(1 / 8, 1 / 4, "after", "pool", 480, 9.2, 5.55),
}


def pepx(inputs: int, outputs: int, narrow: float, wide: float) -> nn.Sequential:
    """Return a projection-expansion-projection-extension module.

    The expansion, the depth-wise convolution and the extension have batch normalisation and ReLU, the
    projections batch normalisation alone: nothing of this is published, and without it a module would be
    linear.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    narrow, wide : float
        See `Variant`.
    """
    few, many = int(inputs * narrow), int(inputs * wide)
    return nn.Sequential(
        *(nn.Conv2d(inputs, few, 1), nn.BatchNorm2d(few)),
        *(nn.Conv2d(few, many, 1), nn.BatchNorm2d(many), nn.ReLU()),
        *(nn.Conv2d(many, many, 3, padding=1, groups=many), nn.BatchNorm2d(many), nn.ReLU()),
        *(nn.Conv2d(many, few, 1), nn.BatchNorm2d(few)),
        *(nn.Conv2d(few, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()),
    )


class CovidNet(nn.Module):
    """Stem, four stages of densely connected modules, head; (n, 3, height, width) to (n, classes).

    A module sees the sum of all earlier modules of its stage and of the stage's shortcut; the first one sees
    the sum of all terms of the stage before, each max-pooled.
    """

    def __init__(self, variant: Variant, classes: int, image_size: int) -> None:
        super().__init__()
        self.weights = "none"
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(2))
        ends = list(zip(WIDTHS, WIDTHS[1:], strict=False))
        self.stages = nn.ModuleList(
            nn.ModuleList(
                pepx(outputs if number else inputs, outputs, variant.narrow, variant.wide)
                for number in range(modules)
            )
            for (inputs, outputs), modules in zip(ends, MODULES, strict=True)
        )
        self.shortcuts = nn.ModuleList()
        for number, (inputs, outputs) in enumerate(ends if variant.shortcut != "none" else []):
            steps = [nn.Conv2d(inputs, outputs, 1), nn.MaxPool2d(2)]
            steps = steps[::-1] if variant.shortcut == "after" else steps
            self.shortcuts.append(nn.Sequential(*steps) if number else steps[variant.shortcut == "after"])
        self.head = _head(variant.head, classes, image_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one output per class, before the softmax."""
        total = self.stem(x)
        terms = []
        for number, stage in enumerate(self.stages):
            entry = sum(F.max_pool2d(term, 2) for term in terms) if number else total
            total = self.shortcuts[number](total) if self.shortcuts else 0
            terms = [total] if self.shortcuts else []
            for module in stage:
                terms.append(module(entry))
                total = entry = total + terms[-1]
        return self.head(total)


def _head(kind: str, classes: int, image_size: int) -> nn.Sequential:
    last = WIDTHS[-1]
    if kind == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes))
    # the stem's stride rounds up, its pooling and three more down
    flat = last * ((image_size + 1) // 2 // 16) ** 2
    dense = [nn.Linear(flat, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, classes)]
    return nn.Sequential(nn.Flatten(), *dense)


def network(variant: str, classes: int, image_size: int) -> CovidNet:
    """Return an untrained network, matched in budget to a release of COVID-Net.

    Parameters
    ----------
    variant : str
        ``small``, ``large``, ``a``, ``b`` or ``c``, see `VARIANTS`.
    classes : int
        Outputs. The paper keeps three when it retrains, see `covidnet.CLASSES`.
    image_size : int
        Height and width of the images in pixels, at least 31.

    Raises
    ------
    InputError
        If there is no such variant, or the images are too small.
    """
    if variant not in VARIANTS:
        raise InputError(f"unknown COVID-Net variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    if image_size < 31:
        raise InputError(
            f"COVID-Net halves an image five times: {image_size} pixels are too few, give at least 31"
        )
    return CovidNet(VARIANTS[variant], classes, image_size)
