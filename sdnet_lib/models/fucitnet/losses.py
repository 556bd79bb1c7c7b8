"""Equation 1 of the paper, for all generators at once, and the features that its perceptual term compares.

Wherever an axis is called k here, it counts generators and the classes they pull towards, in the order of
`sdnet_lib.data.cohort.LABELS`: first N, then P.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdnet_lib.config import AVAILABLE, IMAGENET, LITE0
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import Normalise, load_backbone

PERCEPTUAL = 0.006  # equation 1
VARIATION = 2e-8  # in the authors' code only


class Losses(NamedTuple):
    """The terms of equation 1, each (k,): unweighted, averaged over the batch; and their weighted sum.

    Those of a part of a batch are what it adds to the whole.
    """

    mse: Tensor
    perceptual: Tensor
    cross_entropy: Tensor
    total: Tensor


def perceptual_network(normalise: bool = True, weights: str = AVAILABLE) -> tuple[nn.Module, str]:
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
    weights : str
        `Profile.weights`.

    Raises
    ------
    InputError
        If ImageNet's weights are wanted and VGG-16's cannot be had.
    """
    try:
        body, mean, std = load_backbone("vgg16")
        features, name = body.features, "vgg16 imagenet"
    except InputError:
        if weights == IMAGENET:
            raise
        body, mean, std = load_backbone(LITE0)
        features, name = _lite0_features(body), f"{LITE0} imagenet (VGG-16 could not be had)"
    first = Normalise(mean, std) if normalise else nn.Identity()
    return nn.Sequential(first, features).requires_grad_(False).eval(), name


def _lite0_features(body: nn.Module) -> nn.Sequential:
    stages = body.blocks[:5]
    variances = [block.bn3.weight.detach().square().mean() for block in stages[-1]]  # each adds to the last
    return nn.Sequential(body.conv_stem, body.bn1, *stages, Normalise([0.0], [float(sum(variances).sqrt())]))


def losses(
    twins: Tensor,
    images: Tensor,
    targets: Tensor,
    classifier: nn.Module,
    perceptual: nn.Module,
    weight: float,
    variant: str = "paper",
    whole: Tensor | None = None,
) -> Losses:
    """Return L_MSE + 0.006 L_perceptual + lambda L_CE(y == k) of each generator.

    The generators share the batch, the classifier and the perceptual network, but no weights: for each
    generator the gradient of the sum of all totals is that of its own.

    Parameters
    ----------
    twins : Tensor, (k, n, 3, height, width)
        What each generator makes of the images.
    images : Tensor, (n, 3, height, width)
        In [0, 1]. All of them count in the first two terms: a generator also has to keep the images of the
        other class.
    targets : int Tensor, (n,)
        The true classes.
    classifier : nn.Module
        Takes images in [0, 1]. In eval mode nothing in it depends on the rest of the batch.
    perceptual : nn.Module
        From `perceptual_network`. Its features of the images are computed once, without a graph.
    weight : float
        The paper's lambda.
    variant : str
        ``code`` adds total variation, and divides lambda by the number of generators (see `cross_entropies`).
        There the classifier is in train mode, so that its batch statistics tie the generators together: the
        gradient of a generator is that of its own total, no longer that of their sum.
    whole : int Tensor, optional
        The classes of the whole batch, if this is a part of it.
    """
    whole = targets if whole is None else whole
    share = len(targets) / len(whole)
    features = perceptual(twins.flatten(0, 1)).unflatten(0, twins.shape[:2])
    with torch.no_grad():
        wanted = perceptual(images)
    logits = classifier(twins.flatten(0, 1)).unflatten(0, twins.shape[:2])
    terms = (
        share * _mean_square(twins.float() - images.float()),  # float16 is too coarse for a mean of squares
        share * _mean_square(features.float() - wanted.float()),
        cross_entropies(logits, targets, variant, whole),
    )
    total = terms[0] + PERCEPTUAL * terms[1] + weight * terms[2]
    if variant == "code":
        total = total + VARIATION * share * total_variation(twins)
    return Losses(*terms, total)


def cross_entropies(
    logits: Tensor, targets: Tensor, variant: str = "paper", whole: Tensor | None = None
) -> Tensor:
    """Return L_CE(y == k): how far the images of class k, and no others, still are from k.

    Parameters
    ----------
    logits : Tensor, (k, n, k)
        The classifier's answer to what each generator made of each image.
    targets : int Tensor, (n,)
        The true classes.
    variant : str
        ``paper``: the mean over what generator k made of class k. ``code``: the mean over what all generators
        made of class k. Of that only what generator k made moves it, but for the classifier's batch
        statistics, so that there lambda weighs half as much with two generators.
    whole : int Tensor, optional
        The classes of the whole batch, if this is a part of it.

    Returns
    -------
    Tensor, (k,)
        0 for a class that the batch lacks.
    """
    of_class, all_classes = (
        F.one_hot(one, logits.shape[-1]).float() for one in (targets, targets if whole is None else whole)
    )
    means = -(logits.log_softmax(-1) * of_class).sum(1) / all_classes.sum(0).clamp(min=1)  # generator x class
    return means.diagonal() if variant == "paper" else means.mean(0)


def total_variation(images: Tensor) -> Tensor:
    """Return, for each k of (k, n, 3, height, width), twice the mean square of the steps down and across."""
    steps = images.float().diff(dim=-2), images.float().diff(dim=-1)
    return 2 * (_mean_square(steps[0]) + _mean_square(steps[1]))


def _mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(1)
