"""How a network is trained: its settings, and the random changes of its images."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD
from fastai.torch_core import no_random
from fastai.vision.augment import (
    AffineCoordTfm,
    Brightness,
    Contrast,
    PadMode,
    Rotate,
    Zoom,
    setup_aug_tfms,
)

from sdnet_lib.config import OWN_RECIPE, Profile, one_thread
from sdnet_lib.files import InputError


def _shift_matrix(x: torch.Tensor, most: float = 0.05, p: float = 0.7) -> torch.Tensor:
    """Return a translation for each image: with probability `p` random, by at most `most` of its edge.

    The edge is 2 in this frame.
    """
    matrix = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    shifts = matrix.new_empty(len(x), 2).uniform_(-2 * most, 2 * most)
    matrix[:, :2, 2] = shifts * (matrix.new_empty(len(x), 1).uniform_() < p)
    return matrix


def augmentations() -> list:
    """Return the random changes a training batch undergoes; no flip, because the heart is on the left.

    The paper says "a proper set". This is the set its authors' code had in October 2020 without the blur:
    rotation by up to 10 degrees, translation by up to 5 % of the edge, scale 0.8 to 1.2, brightness and
    contrast by up to 5 %, each with probability 0.7. As there, what comes in from outside is black.
    """
    return setup_aug_tfms(
        [
            Rotate(max_deg=10, p=0.7, pad_mode=PadMode.Zeros),
            Zoom(min_zoom=0.8, max_zoom=1.2, p=0.7, draw_x=0.5, draw_y=0.5, pad_mode=PadMode.Zeros),
            AffineCoordTfm(aff_fs=_shift_matrix, pad_mode=PadMode.Zeros),
            Brightness(max_lighting=0.05, p=0.7),
            Contrast(max_lighting=0.05, p=0.7),
        ]
    )


LEAST = 16  # images whose statistics batch normalisation may train on
UNCHANGED = (0.0,) * 3, (1.0,) * 3  # a mean and a standard deviation that leave images in [0, 1]


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained; the defaults are the paper's for its main CNN (Section 5), or our choices.

    Attributes
    ----------
    optimiser : callable
        A fastai `opt_func`.
    lr, weight_decay : float
        The paper names no learning rate. At 1e-2, five epochs on 150 images are enough.
    batch, epochs : int
        Of the network's paper; a small profile trains fewer epochs.
    views : int
        Images that the network sees of each in a batch; two of a pair of twins.
    steps : int, optional
        Optimiser steps of an epoch, after which the validation part is looked at; by default those of one
        pass through the training part.
    whole : bool
        Whether a small profile trains all these epochs too, because fewer show nothing.
    schedule : str
        ``plateau`` (a tenth of the learning rate when the validation loss stalls), ``constant`` or
        ``one-cycle``.
    keep : str
        ``best`` stops when the validation loss stalls and keeps the epoch where it was lowest; ``best of
        all`` keeps that too, but trains to the end; ``last`` trains to the end and keeps that.
    augment : callable
        Returns the random changes of a training batch; ``list`` for none.
    loss : callable
        Returns a loss in fastai's manner: called with output and target, and with an `activation` that turns
        outputs into probabilities.
    mean, std : tuple of float or None
        The network's input is (image - mean) / std, channel by channel, with images in [0, 1]; None is
        measured on the training part.
    order : callable, optional
        From targets, batch and a random generator to the rows of one epoch, if not all in random order.

    Raises
    ------
    InputError
        If a batch shows the network fewer than `LEAST` images: what batch normalisation learns from so few
        depends on which they are.
    """

    optimiser: Callable = partial(SGD, mom=0.9, decouple_wd=False)
    lr: float = 1e-2
    batch: int = 16
    views: int = 1
    steps: int | None = None
    epochs: int = 100
    whole: bool = False
    weight_decay: float = 1e-4
    schedule: str = "plateau"
    keep: str = "best"
    augment: Callable[[], list] = augmentations
    loss: Callable[[], object] = CrossEntropyLossFlat
    mean: tuple[float, ...] | None = (0.485, 0.456, 0.406)  # ImageNet's
    std: tuple[float, ...] | None = (0.229, 0.224, 0.225)
    order: Callable[[np.ndarray, int, np.random.Generator], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.batch * self.views < LEAST:
            raise InputError(
                f"a batch of {self.batch * self.views} images: batch normalisation needs {LEAST} or more"
            )


def pairs(batch: int) -> int:
    """Return how many pairs of twins make a batch of so many images."""
    return max(1, batch // 2)


def steps_of_twins(images: int, batch: int) -> int:
    """Return how many optimiser steps a pass through pairs of twins takes: twice those without twins."""
    return max(1, images // pairs(batch))


def budgeted(config: TrainingConfig, profile: Profile, images: int) -> TrainingConfig:
    """Return how a network is trained in a profile's budget.

    In its own recipe as its paper says, in at most the profile's epochs unless it is `whole`. In equal steps
    all approaches make as many as COVID-SDNet, look at the validation part as often, and keep the best of
    these looks; batch, optimiser and learning rate stay their own.

    Parameters
    ----------
    config : TrainingConfig
        The recipe.
    profile : Profile
        Its `budget`, `epochs` and `batch` are used.
    images : int
        Of the training part.
    """
    if profile.budget == OWN_RECIPE:
        return config if config.whole else replace(config, epochs=min(config.epochs, profile.epochs))
    steps = steps_of_twins(images, profile.batch)
    return replace(config, epochs=profile.epochs, steps=steps, keep="best of all")


def steps_an_epoch(config: TrainingConfig, images: int) -> int:
    """Return how many optimiser steps an epoch has, of so many images in the training part."""
    return config.steps or max(1, images // config.batch)


def recipe(config: TrainingConfig) -> dict:
    """Say in plain values what decides a training beside its data, start and length, for its provenance."""
    called = config.optimiser
    while isinstance(called, partial):
        called = called.keywords.get("opt", called.func)
    return {
        "optimiser": called.__name__,
        "lr": config.lr,
        "schedule": config.schedule,
        "batch": config.batch,
        "views": config.views,
        "stopping": config.keep,
    }


@contextmanager
def quietly(learner: Learner) -> Iterator[None]:
    """Use one thread, leave the caller's random numbers alone, and be silent unless a person watches.

    fastai's trackers print a line at each step, outside of its log.
    """
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(no_random(learner.seed))
        if not sys.stdout.isatty():
            stack.enter_context(learner.no_bar())
            stack.enter_context(learner.no_logging())
            stack.enter_context(redirect_stdout(io.StringIO()))
        yield


def measure(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of uint8 images on a scale of 0 to 1, three times each: for RGB."""
    return (float(pixels.mean() / 255),) * 3, (float(pixels.std() / 255),) * 3
