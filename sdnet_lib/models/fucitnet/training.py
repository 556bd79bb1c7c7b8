"""Training FuCiTNet: generators that pull images towards a class, with the classifier that judges them.

Section 4, step 2 of the paper. `fit` chooses lambda and trains; `twins` puts to use what comes of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from fastai.data.core import DataLoaders
from fastai.torch_core import no_random
from torch import nn

from sdnet_lib.config import OWN_RECIPE, Profile, one_thread, pick_device
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError, digest
from sdnet_lib.files.temporary import private_folder
from sdnet_lib.models.backbones import available_weights
from sdnet_lib.models.batches import loader, training_loader
from sdnet_lib.models.fucitnet.checkpoints import Checkpoint, remove
from sdnet_lib.models.fucitnet.generators import check_variant
from sdnet_lib.models.fucitnet.loop import learner
from sdnet_lib.models.fucitnet.losses import perceptual_network
from sdnet_lib.models.fucitnet.networks import Networks, start
from sdnet_lib.models.fucitnet.twins import Fitted
from sdnet_lib.models.training_config import (
    UNCHANGED,
    TrainingConfig,
    budgeted,
    steps_an_epoch,
)

SMALLEST_SIZE = 32  # pixels: VGG-16 halves them five times
SEARCH = 4  # a lambda is tried for a fourth of the epochs


class Setup(NamedTuple):
    """What a training is given, whatever its lambda.

    Attributes
    ----------
    parts : pair of (uint8 array (n, image_size, image_size), int array (n,))
        Images and positions in `LABELS` of the training part, and of the part that decides when to stop.
    perceptual, perceptual_name : nn.Module, str
        From `losses.perceptual_network`.
    weights : str
        ``imagenet`` or ``none``, where the classifier starts.
    profile : Profile
        Its `generator_backbone`, `batch` and `patience` are used.
    variant, seed : str, int
        See `fit`.
    """

    parts: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    perceptual: nn.Module
    perceptual_name: str
    weights: str
    profile: Profile
    variant: str
    seed: int


def fit(
    pixels: np.ndarray,
    labels: Sequence[str],
    train: Sequence[int],
    valid: Sequence[int],
    *,
    profile: Profile,
    seed: int = 0,
    variant: str = "paper",
    checkpoint: Path | None = None,
) -> Fitted:
    """Train the generators of both classes together with a classifier.

    Of several lambdas each is tried for a fourth of the epochs, and the one with the lowest validation loss
    goes on. The loss decides, as it does on when to stop: 16 validation images know only 17 accuracies.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
        For instance from `classifier.read_pixels`, of a cropped cohort.
    labels : sequence of str
        N or P, one per image.
    train, valid : sequence of int
        Positions of the images to learn from, and of those that decide when to stop and which lambda is best.
        No other image is looked at.
    profile : Profile
        Its `generator_epochs`, `lambdas`, `generator_backbone`, `batch` and `patience` are used.
    seed : int
        Same seed and machine, same networks, however many threads there are.
    variant : str
        ``paper``: its description. ``code``: its authors' program, which starts generators from random
        weights, normalises each image in them by itself, normalises none in front of the pretrained networks,
        adds total variation to the loss, spreads lambda over all generators, weighs classes by their rarity,
        freezes the classifier's early layers and divides its learning rate by ten every five epochs.
    checkpoint : pathlib.Path, optional
        Files whose names begin like this are written after each epoch and removed at the end. After an
        interruption the same call goes on from them and ends as if nothing had happened.

    Raises
    ------
    InputError
        If images or labels cannot be used, a part is empty or lacks a class, the loss is not a number, or the
        checkpoint is of other data or settings.
    """
    check_variant(variant)
    profile, parts = _in_budget(profile), _parts(pixels, labels, train, valid)
    with no_random(seed):  # building a network draws random numbers, even if a file then fills it
        features = perceptual_network(variant == "paper", profile.weights)
        weights = available_weights(profile.generator_backbone, profile.weights)
    setup = Setup(parts, *features, weights, profile, variant, seed)
    with private_folder() as folder:
        stem = Path(checkpoint or folder / "fucitnet")
        files = {weight: stem.with_name(f"{stem.name}.lambda-{weight:g}") for weight in profile.lambdas}
        tried = _try_all(setup, files) if len(files) > 1 else []
        weight = min(tried, key=lambda row: row["valid_loss"])["lambda"] if tried else profile.lambdas[0]
        keep = files[weight] if checkpoint or tried else None
        trained = train_with(setup, weight, profile.generator_epochs, keep)  # after a trial, goes on
        for file in files.values():
            remove(file)
    origin = settings(setup) | {
        "lambda": weight,
        "lambdas_tried": tried,
        "epochs": len(trained.history),
        "best_epoch": trained.best,
        "steps": len(trained.history) * steps_an_epoch(_config(setup), len(parts[0][0])),
    }
    minus, plus = trained.networks.generators
    return Fitted(plus.eval(), minus.eval(), trained.networks.classifier.eval(), trained.history, origin)


def _in_budget(profile: Profile) -> Profile:
    """Return the profile with as many epochs as its budget has; in equal steps none stops before the end."""
    if profile.budget == OWN_RECIPE:
        return profile
    return replace(profile, generator_epochs=profile.epochs, patience=profile.epochs)


def _config(setup: Setup) -> TrainingConfig:
    """Return how images are served; optimisers and stopping are those of `loop` and `checkpoints`."""
    return budgeted(TrainingConfig(batch=setup.profile.batch), setup.profile, len(setup.parts[0][0]))


def _try_all(setup: Setup, files: dict[float, Path]) -> list[dict[str, float]]:
    """Train with each lambda for a while; return how each did, one row per lambda."""
    epochs = max(1, setup.profile.generator_epochs // SEARCH)
    rows = []
    for weight, file in files.items():
        trained = train_with(setup, weight, epochs, file)
        best = trained.history.iloc[trained.best - 1]
        found = {name: float(best[name]) for name in ("valid_loss", "valid_accuracy", "valid_mse")}
        rows.append({"lambda": weight, "epochs": epochs} | found)
    return rows


class Trained(NamedTuple):
    """The networks as they were after epoch `best`, and a row per epoch of what happened."""

    networks: Networks
    history: pd.DataFrame
    best: int


def train_with(setup: Setup, weight: float, epochs: int, file: Path | None) -> Trained:
    """Train with one lambda until the validation loss stops falling.

    Parameters
    ----------
    setup : Setup
        Everything else.
    weight : float
        The paper's lambda.
    epochs : int
        The most epochs, those that `file` has seen included.
    file : Path or None
        Where each epoch leaves all that is needed to go on.

    Raises
    ------
    InputError
        If the loss is not a number, or the file is of other data or settings.
    """
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(no_random(setup.seed))
        networks = start(setup.profile.generator_backbone, setup.weights, setup.variant)
        checkpoint = Checkpoint(networks, setup.profile.patience, setup.seed, file, _key(setup, weight))
        config, (first, second) = _config(setup), setup.parts
        loaders = DataLoaders(
            training_loader(*first, UNCHANGED, config),
            loader(*second, UNCHANGED, config.batch),
            device=pick_device(),
        )
        loop = learner(loaders, networks, setup.perceptual, weight, setup.variant)
        if not sys.stdout.isatty():
            stack.enter_context(loop.no_bar())
            stack.enter_context(loop.no_logging())
        if not checkpoint.finished and len(checkpoint.history) < epochs:
            loop.fit(epochs - len(checkpoint.history), cbs=checkpoint)
    checkpoint.restore_best()
    return Trained(networks, pd.DataFrame(checkpoint.history), checkpoint.best)


def _key(setup: Setup, weight: float) -> str:
    """Return 64 hex digits that change with the data and with every setting that changes the result."""
    asked = settings(setup) | {"lambda": weight, "patience": setup.profile.patience}
    arrays = (array.tobytes() for part in setup.parts for array in part)
    return digest(json.dumps(asked, sort_keys=True), *arrays, digits=64)


def settings(setup: Setup) -> dict:
    """Say in plain values, ready for JSON, how a training goes; stored files have these keys."""
    backbone = setup.profile.generator_backbone
    first = "imagenet" if setup.weights == "imagenet" else "random (its ImageNet weights could not be had)"
    return {
        "way": setup.variant,
        "perceptual": setup.perceptual_name,
        "classifier": f"{backbone} {first}",
        "backbone": backbone,
        "side": int(setup.parts[0][0].shape[-1]),
        "images": [len(images) for images, _ in setup.parts],
        "batch": setup.profile.batch,
        "budget": setup.profile.budget,
        "seed": setup.seed,
    }


def _parts(
    pixels: np.ndarray, labels: Sequence[str], train: Sequence[int], valid: Sequence[int]
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Check what `fit` is given; return images and positions in `LABELS` of both parts, and of no other."""
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise InputError(
            f"pixels: {pixels.dtype} of shape {pixels.shape}, uint8 (n, image_size, image_size) is needed"
        )
    if min(pixels.shape[1:]) < SMALLEST_SIZE:
        raise InputError(
            f"pixels: images of {pixels.shape[1]} x {pixels.shape[2]}, {SMALLEST_SIZE} is the least"
        )
    if len(labels) != len(pixels):
        raise InputError(f"{len(labels)} labels for {len(pixels)} images")
    labels = np.asarray(labels)
    for name, rows in (("training", train), ("validation", valid)):
        for label in LABELS:
            if label not in labels[np.asarray(rows, int)]:
                raise InputError(f"the {name} part has no image of class {label}")
    strange = set(labels[[*train, *valid]]) - set(LABELS)
    if strange:
        raise InputError(f"label {str(sorted(strange)[0])!r} is not one of {', '.join(LABELS)}")
    return tuple(
        (pixels[rows], np.array([LABELS.index(label) for label in labels[rows]]))
        for rows in (np.asarray(train, int), np.asarray(valid, int))
    )
