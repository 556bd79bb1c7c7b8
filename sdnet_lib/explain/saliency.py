"""Why did the model say so? Maps of what spoke for P and for N: Grad-CAM, its counterfactual, other methods.

Section 6 of the paper, and the methods that its Section 2.3 names. A predictor has one score for N and one
for P (`Predictor.scores`: COVID-SDNet's are the outputs that the fusion compares, each on the twin that gave
it). Both are explained: the map of the predicted label is the paper's explanation, the other its
counterfactual.

A new method is one function, and one entry in `CAMS` (how to weigh the maps of a layer) or `METHODS`.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdnet_lib.data import images
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import layers
from sdnet_lib.files import InputError
from sdnet_lib.lungs.crop import Box
from sdnet_lib.models.predictors import BATCH, Columns, Predictor, to_images

STEPS = 16  # of integrated gradients, from a black image to this one
PATCHES = 8  # in a row of the image, which occlusion covers one after the other
GREY = 0.5  # what a covered patch shows


def explained(
    predictor: Predictor, pixels: np.ndarray, method: str = "grad-cam", layer: str | None = None
) -> tuple[Columns, np.ndarray]:
    """Predict images and explain both answers; Grad-CAM needs one pass forward for all of it.

    Parameters
    ----------
    predictor : Predictor
        Of any approach.
    pixels : uint8 array, (n, image_size, image_size)
        Images as the predictor was trained on: cropped, if it was.
    method : str
        One of `METHODS`.
    layer : str, optional
        For class activation maps (`CAMS`), one of `layers.cells`; `layers.fine` by default. `layers.last` is
        everyone's habit.

    Returns
    -------
    columns, maps : dict of arrays, and float32 array (n, 2, image_size, image_size)
        As from `Predictor.predict`; maps why N and why P, each in [0, 1], divided by its own maximum. All
        zero where nothing speaks for an answer.

    Raises
    ------
    InputError
        If there is no such method or layer.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}: choose from {', '.join(METHODS)}")
    if layer is not None and method not in CAMS:
        raise InputError(f"{method} looks at pixels: a layer is for {' and '.join(CAMS)}")
    predictor.ready()
    explain = partial(METHODS[method], layer=layer) if layer else METHODS[method]
    all_outputs, maps = [], []
    for start in range(0, len(pixels), BATCH):
        outputs, found = explain(predictor, to_images(pixels[start : start + BATCH]))
        all_outputs.append(outputs.detach())
        maps.append(_to_unit(_enlarge(found.detach().float(), pixels.shape[-1])).cpu().numpy())
    return predictor.columns(torch.cat(all_outputs)), np.concatenate(maps)


def pair(
    predictor: Predictor, pixels: np.ndarray, method: str = "grad-cam", layer: str | None = None
) -> np.ndarray:
    """Return the maps of `explained`: why N and why P, float32 (n, 2, image_size, image_size) in [0, 1]."""
    return explained(predictor, pixels, method, layer)[1]


def place(found: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """Put a map of a crop where it belongs on the radiograph.

    Parameters
    ----------
    found : float array, (image_size, image_size)
    box : tuple of int
        left, top, right, bottom of the crop, in pixels of the radiograph.
    shape : tuple of int
        Height and width of the radiograph.

    Returns
    -------
    float32 array, (height, width)
        Zero outside the box.
    """
    left, top, right, bottom = box
    whole = np.zeros(shape, np.float32)
    whole[top:bottom, left:right] = images.resize(found, (bottom - top, right - left)).clip(0, 1)
    return whole


def _layer(predictor: Predictor, image_size: int, name: str | None) -> nn.Module:
    """Return a layer by its name, or the one to take."""
    if name is None:
        name = layers.fine(predictor, image_size)
    elif name not in (names := list(layers.cells(predictor, image_size))):
        near = ", ".join(difflib.get_close_matches(name, names, 3, 0.3) or names[-3:])
        raise InputError(f"unknown layer {name!r}: did you mean one of {near}? See explain.layers.cells")
    return predictor.network.get_submodule(name)


def _cam(weigh: Callable, predictor: Predictor, pictures: Tensor, layer: str | None = None) -> tuple:
    """Explain both scores by the maps of a layer, which `weigh` weighs: one pass forward, two backward.

    The passes backward end at the layer, and no gradient is kept in front of it.
    """
    module, activations = _layer(predictor, pictures.shape[-1], layer), []

    def hold(_: nn.Module, __: object, output: Tensor) -> Tensor:
        activations.append(output.detach().requires_grad_())
        return activations[-1].clone()  # the next layer may work in place

    hook = module.register_forward_hook(hold)
    try:
        with _frozen(predictor), torch.enable_grad():
            outputs = predictor(pictures)
            gradients = _gradients(predictor.scores(outputs), activations)
    finally:
        hook.remove()
    maps = [
        sum((weigh(a.detach(), g) * a.detach()).sum(1).relu() for a, g in zip(activations, each, strict=True))
        for each in gradients
    ]
    return outputs, torch.stack(maps, 1)


def _gradients(scores: Tensor, inputs: list[Tensor]) -> list[list[Tensor]]:
    """Return the gradients of the scores of N and of P; a view that had no part in a score gets zeros."""
    both = []
    for column in range(len(LABELS)):
        found = torch.autograd.grad(
            scores[:, column].sum(), inputs, retain_graph=column == 0, allow_unused=True
        )
        both.append([torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)])
    return both


@contextmanager
def _frozen(predictor: Predictor) -> Iterator[None]:
    """Compute no gradient of any weight inside the block."""
    wanted = [weight for weight in predictor.parameters() if weight.requires_grad]
    for weight in wanted:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in wanted:
            weight.requires_grad_(True)


def _mean_gradient(_: Tensor, gradient: Tensor) -> Tensor:
    """Weigh as Grad-CAM does (Selvaraju et al., ICCV 2017, equation 1): (n, maps, 1, 1)."""
    return gradient.mean((2, 3), keepdim=True)


def _own_gradient(_: Tensor, gradient: Tensor) -> Tensor:
    """Weigh each cell by its own gradient, as HiResCAM does (Draelos and Carin, arXiv:2011.08891, 2020)."""
    return gradient


def _plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh as Grad-CAM++ does (Chattopadhay et al., WACV 2018, equation 19), where exp(score) cancels."""
    below = 2 * gradient**2 + gradient**3 * activation.sum((2, 3), keepdim=True)
    alpha = gradient**2 / torch.where(below == 0, 1.0, below)
    return (alpha * gradient.relu()).sum((2, 3), keepdim=True)


def _attribution(attribute: Callable, predictor: Predictor, pictures: Tensor) -> tuple:
    """Explain both scores pixel by pixel with a method of Captum; what speaks against a score is left out."""

    def scores(given: Tensor) -> Tensor:
        return predictor.scores(predictor(given))

    with _frozen(predictor), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input Tensor .* did not already require gradients")
        maps = attribute(scores, pictures).sum(2).relu()
    with torch.inference_mode():
        return predictor(pictures), maps


def _one_by_one(attribute: Callable, pictures: Tensor, **options: int) -> Tensor:
    """Return what a method says of each score, asked for one after the other: (n, 2, channels, h, w)."""
    return torch.stack(
        [attribute(pictures.clone(), target=column, **options) for column in range(len(LABELS))], 1
    )


def _gradient(scores: Callable, pictures: Tensor) -> Tensor:
    from captum.attr import Saliency

    return _one_by_one(Saliency(scores).attribute, pictures)


def _integrated(scores: Callable, pictures: Tensor) -> Tensor:
    from captum.attr import IntegratedGradients

    at_once = max(BATCH, len(pictures))
    return _one_by_one(
        IntegratedGradients(scores).attribute, pictures, n_steps=STEPS, internal_batch_size=at_once
    )


def _occlusion(scores: Callable, pictures: Tensor) -> Tensor:
    from captum.attr import Occlusion

    patch = max(1, pictures.shape[-1] // PATCHES)
    with torch.inference_mode():  # one pass for both scores, in a row: image after image, N before P
        found = Occlusion(lambda given: scores(given).flatten()).attribute(
            pictures, (1, patch, patch), strides=(1, patch, patch), baselines=GREY
        )
    return found.unflatten(0, (len(pictures), len(LABELS)))


def _relevance(predictor: Predictor, pictures: Tensor) -> tuple:
    """Explain both scores by layer-wise relevance propagation, from the network's outputs to its views.

    Raises
    ------
    InputError
        If so much relevance is lost on the way that a map would show the rest of it.
    """
    from sdnet_lib.explain import relevance  # its library takes seconds to load

    with torch.no_grad():
        views = predictor.views(pictures)
    with relevance.canonical(predictor.network, views[0]) as network, torch.enable_grad():
        given = [view.clone().requires_grad_() for view in views]
        answers = [network(view) for view in given]
        outputs = predictor.combine(answers)
        both = _gradients(predictor.scores(outputs), given + answers)
    found = [each[: len(given)] for each in both]
    share = min(relevance.kept(each[: len(given)], each[len(given) :]) for each in both)
    if not share >= relevance.LEAST:
        raise InputError(
            f"lrp keeps {max(share, 0):.1%} of its relevance in this network, "
            f"less than {relevance.LEAST:.0%}: choose another method"
        )
    return outputs, torch.stack([sum(r.sum(1).relu() for r in each) for each in found], 1)


def _enlarge(maps: Tensor, image_size: int) -> Tensor:
    """Stretch maps over the image, as the paper's tools do.

    Strided convolutions of a network with random weights shift a cell by half a cell. Trained weights make
    up for it: by its gradients, a cell of 32 pixels of the ImageNet network at hand is
    centred about 11 pixels from its first (over noise images of 512 pixels), where 15.5 would be the middle
    and the untrained network's is 31.
    """
    return F.interpolate(maps, (image_size, image_size), mode="bilinear", align_corners=False)


def _to_unit(maps: Tensor) -> Tensor:
    """Divide each map by its own maximum; what is zero or not a number becomes zero."""
    maps = torch.nan_to_num(maps, 0, 0, 0).clamp_min(0)
    most = maps.amax((2, 3), keepdim=True)
    return torch.where(most > 0, maps / most.clamp_min(torch.finfo(maps.dtype).tiny), 0)


CAMS = {"grad-cam": _mean_gradient, "grad-cam++": _plus_plus, "hires-cam": _own_gradient}
METHODS: dict[str, Callable] = {
    **{name: partial(_cam, weigh) for name, weigh in CAMS.items()},
    "lrp": _relevance,
    "gradient": partial(_attribution, _gradient),
    "integrated-gradients": partial(_attribution, _integrated),
    "occlusion": partial(_attribution, _occlusion),
}
