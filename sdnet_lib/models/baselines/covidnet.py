"""Budget-matched re-implementations of COVID-Net (Wang, Lin and Wong, Scientific Reports 2020).

The architectures of the COVIDNet-CXR releases came out of a proprietary search: their layers' widths were
never published, only a figure of the macro-architecture, a parameter and a multiply-add count. The variants
here follow the figure, with widths chosen to come near those counts. None of them is a COVIDNet-CXR, and
none has its weights; `distance` says how far off each is in size.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from fastai.optimizer import Adam
from fastai.torch_core import TensorImageBW
from fastai.vision.augment import AffineCoordTfm, PadMode
from fasttransform import Transform
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.common import AS_IT_IS, read_with, resize_plainly
from sdnet_lib.models.training_config import Recipe

CLASSES = ("N", "Pneumonia", "P")  # order of the outputs, as in the official code
COVID = CLASSES.index("P")

WIDTHS = (64, 256, 512, 1024, 2048)  # of the stem and the four stages
MODULES = (3, 4, 6, 3)  # in each stage


class Variant(NamedTuple):
    """The choices of one variant, and the release that it is matched to.

    Attributes
    ----------
    narrow, wide : float
        Channels of a module's projections and of its expansion, as shares of its input's.
    shortcut : str
        Where 1x1 shortcuts convolve: ``none``, ``before`` or ``after`` the pooling between stages.
    head : str
        ``dense``: flatten and two layers of 1024; ``pool``: global average and one layer.
    image_size : int
        Side of the input in pixels.
    release : str
        Name of the release.
    parameters, macs : float
        Published size of the release, in millions, and its cost at `image_size`, in thousand millions of
        multiply-adds.
    """

    narrow: float
    wide: float
    shortcut: str
    head: str
    image_size: int
    release: str
    parameters: float
    macs: float


VARIANTS = {
    "small": Variant(1 / 4, 1 / 2, "none", "dense", 224, "COVIDNet-CXR Small", 117.4, 2.26),
    "large": Variant(1 / 4, 1 / 2, "before", "dense", 224, "COVIDNet-CXR Large", 127.4, 3.59),
    "a": Variant(1 / 2, 3 / 4, "after", "pool", 480, "COVIDNet-CXR3-A", 40.2, 23.63),
    "b": Variant(1 / 4, 1 / 2, "none", "pool", 480, "COVIDNet-CXR3-B", 11.7, 7.50),
    "c": Variant(1 / 8, 1 / 4, "after", "pool", 480, "COVIDNet-CXR3-C", 9.2, 5.55),
}
IMAGE_SIZES = {name: variant.image_size for name, variant in VARIANTS.items()}
IMAGE_SIZE = IMAGE_SIZES["a"]


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
    """Stem, four stages of densely connected modules, head; float (n, 3, image_size, image_size) to (n, classes).

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
        """Return one output a class, before the softmax."""
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
    flat = (
        last * ((image_size + 1) // 2 // 16) ** 2
    )  # the stem's stride rounds up, its pooling and three more down
    dense = [nn.Linear(flat, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, classes)]
    return nn.Sequential(nn.Flatten(), *dense)


def network(variant: str = "a", classes: int = 3, image_size: int | None = None) -> CovidNet:
    """Return an untrained network, matched in budget to a release of COVID-Net.

    Parameters
    ----------
    variant : str
        ``small``, ``large``, ``a``, ``b`` or ``c``, see `VARIANTS`.
    classes : int
        Outputs. The paper keeps three when it retrains (`CLASSES`), see `two_classes`.
    image_size : int, optional
        Side of the images in pixels, at least 31; the variant's own if not given.

    Raises
    ------
    InputError
        If there is no such variant, or the images are too small.
    """
    if variant not in VARIANTS:
        raise InputError(f"unknown COVID-Net variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    chosen = VARIANTS[variant]
    image_size = image_size or chosen.image_size
    if image_size < 31:
        raise InputError(
            f"COVID-Net halves an image five times: {image_size} pixels are too few, give at least 31"
        )
    return CovidNet(chosen, classes, image_size)


class Distance(NamedTuple):
    """Size in millions of parameters and cost in thousand millions of multiply-adds: theirs, ours."""

    release: str
    image_size: int
    published_parameters: float
    parameters: float
    published_macs: float
    macs: float


def distance(variant: str) -> Distance:
    """Compare the budget of a variant with that of the release it is matched to.

    Every parameter of ours counts, those of batch normalisation too. Nothing is computed or stored but the
    counts.

    Raises
    ------
    InputError
        If there is no such variant.
    """
    with torch.device("meta"):
        ours = network(variant)
        chosen = VARIANTS[variant]
        with FlopCounterMode(display=False) as counter:
            ours(torch.zeros(1, 3, chosen.image_size, chosen.image_size))
    return Distance(
        chosen.release,
        chosen.image_size,
        chosen.parameters,
        sum(parameter.numel() for parameter in ours.parameters()) / 1e6,
        chosen.macs,
        counter.get_total_flops() / 2e9,
    )


def read_pixels(cohort: pd.DataFrame, image_size: int = IMAGE_SIZE) -> np.ndarray:
    """Return a cohort's images as the official code of May 2020 prepares them.

    The top 8 % of the rows go, where labels are printed; then the centre is cut out as a square of the
    shorter side and resized without antialiasing.

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
    return read_with(lambda image: resize_plainly(_cut(image), image_size), cohort)


def _cut(image: np.ndarray) -> np.ndarray:
    image = image[int(0.08 * len(image)) :]
    edge = min(image.shape)
    top, left = ((length - edge) // 2 for length in image.shape)
    return image[top : top + edge, left : left + edge]


def published_order(
    targets: np.ndarray, batch: int, rng: np.random.Generator, percent: float = 0.33
) -> np.ndarray:
    """Return the rows of one epoch as the official sampler draws them.

    The images without COVID-19 come once each, in random order. In each batch some random places, never
    fewer than one, are overwritten with COVID-19 images, and what stood there is skipped in this epoch. Their
    number is truncated: of a batch of 8, the paper's 0.33 and the code's 0.3 both give 2, a quarter. Unlike
    the code of May 2020, which by a slip repeated the same batches, each epoch is drawn anew.

    Parameters
    ----------
    targets : int array, (n,)
        Places in `CLASSES`.
    batch : int
        Images in a batch.
    rng : numpy.random.Generator
        Draws.
    percent : float
        Share of COVID-19 images asked for.

    Returns
    -------
    int array, (images without COVID-19,)

    Raises
    ------
    InputError
        If there are too few COVID-19 images for one batch, or no others.
    """
    covid, others = np.flatnonzero(targets == COVID), np.flatnonzero(targets != COVID)
    wanted = max(int(batch * percent), 1)
    if len(covid) < wanted or not len(others):
        raise InputError(
            f"COVID-Net's sampler needs {wanted} COVID-19 images or more, and others: "
            f"there are {len(covid)} and {len(others)}"
        )
    rows = rng.permutation(others)
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        places = rng.permutation(len(part))[:wanted]
        part[places] = rng.choice(covid, len(places), replace=False)
    return rows


def balanced_order(targets: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of an epoch with every image, and with as many of each class as the largest has.

    Parameters
    ----------
    targets : int array, (n,)
        Classes.
    batch : int
        Not used: the classes are balanced over the epoch, not in each batch.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    int array, (classes x images of the largest class,)
    """
    groups = [rng.permutation(np.flatnonzero(targets == target)) for target in np.unique(targets)]
    most = max(map(len, groups))
    return rng.permutation(np.concatenate([np.resize(group, most) for group in groups]))


def augmentations() -> list:
    """Return the random changes of the official training, all but the stretching of grey levels.

    With probability 0.3 the width or the height is squeezed by up to a tenth; then rotation by up to 10
    degrees, shifts by up to a tenth of the side, a zoom of 0.85 to 1.15 for each axis, a flip half of the
    time; black comes in from outside. Grey levels are multiplied by 0.9 to 1.1.
    """
    return [
        AffineCoordTfm(aff_fs=_random_maps, pad_mode=PadMode.Zeros, align_corners=True),
        Transform(_brighten, split_idx=0, order=40),
    ]


def _random_maps(x: torch.Tensor) -> torch.Tensor:
    """Return for each image where a pixel of the changed image comes from, in a frame from -1 to 1."""

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.empty(len(x), device=x.device).uniform_(low, high)

    ratio = torch.where(draw(0, 1) < 0.3, draw(0.9, 1.1), 1.0)
    squeeze = torch.stack([(1 / ratio).clamp(min=1), ratio.clamp(min=1)], 1)
    angle = torch.deg2rad(draw(-10, 10))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    zoom = torch.stack([flip * draw(0.85, 1.15), draw(0.85, 1.15)], 1)
    maps = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    maps[:, :2, :2] = squeeze[:, :, None] * turn * zoom[:, None]
    maps[:, :2, 2] = squeeze * torch.stack([draw(-0.2, 0.2), draw(-0.2, 0.2)], 1)
    return maps


def _brighten(x: TensorImageBW) -> TensorImageBW:
    return (x * torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(0.9, 1.1)).clamp(0, 1)


# The paper's retraining: 10 epochs, batch 8, rate 0.0002, weight 1 for COVID-19, COVID percent 0.33. The
# official script has no validation part and keeps every epoch; the paper's protocol says that the validation
# part decides when to stop, so the best of the ten epochs is kept. The script may have run with the
# statistics of batch normalisation frozen; from scratch they would stay at 0 and 1, so here they move.
RECIPE = Recipe(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-8),
    rate=2e-4,
    batch=8,
    epochs=10,
    weight_decay=0.0,
    schedule="constant",
    keep="best",
    augment=augmentations,
    order=published_order,
    **AS_IT_IS,
)
RECIPE_BALANCED = replace(RECIPE, order=balanced_order)


def two_classes(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Report three outputs for a cohort of two classes.

    The probabilities of N and P are what they are given that it is not pneumonia, for curves and scores. The
    paper counts a vote for pneumonia as an error, whether the image is N or P: take `vote` for that.

    Parameters
    ----------
    probabilities : float array, (n, 3)
        In the order of `CLASSES`, each row summing to one.

    Returns
    -------
    dict of arrays, (n,)
        `prob_N` and `prob_P`, which sum to one; `prob_pneumonia`, as it was; `vote`, one of `CLASSES`.

    Raises
    ------
    InputError
        If there are not three columns.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(CLASSES):
        raise InputError(f"three probabilities an image are needed, not an array {probabilities.shape}")
    # the smallest number keeps 0 / 0 out where pneumonia has it all
    negative, positive = (probabilities[:, [0, COVID]] + np.finfo(np.float32).tiny).T
    return {
        "prob_N": negative / (negative + positive),
        "prob_P": positive / (negative + positive),
        "prob_pneumonia": probabilities[:, 1],
        "vote": np.array(CLASSES)[probabilities.argmax(1)],
    }


# What `readers.Single` has to know of three outputs.
ANSWERS = {"columns": two_classes, "places": (CLASSES.index("N"), COVID)}
