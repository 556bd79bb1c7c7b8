"""The paper's classifier as a fastai Learner: an ImageNet trunk, 512 units, a softmax (Section 4, step 3).

`profiles.pick_device` decides where to train: a CUDA GPU with mixed precision if there is one, else the CPU.
Apple's GPU is left alone, because results should not depend on which laptop a student owns.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import lru_cache
from pathlib import Path

import fastai.callback.schedule  # noqa: F401  (teaches Learner to fit_one_cycle)
import numpy as np
import pandas as pd
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.tracker import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.torch_core import no_random
from torch import nn
from tqdm import tqdm

from sdnet_lib.config import Profile, pick_device
from sdnet_lib.data import images
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import LITE0, trunk
from sdnet_lib.models.training_config import Recipe, augmentations, loader, measure, training_loader

__all__ = ["Recipe", "augmentations", "embed", "fit", "learner", "network", "predict", "read_pixels"]


@lru_cache(maxsize=4096)
def _read(file: str, image_size: int, changed: int) -> np.ndarray:
    return (
        np.round(255 * images.resize(images.read_gray(file), (image_size, image_size)))
        .clip(0, 255)
        .astype(np.uint8)
    )


def read_pixels(cohort: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return the images of a cohort as one array; files that were read before come from memory.

    An image that is not square is squeezed to one, like the authors' code squeezes its test images.

    Parameters
    ----------
    cohort : DataFrame
        The column `file` is used.
    image_size : int
        Side in pixels of the result.

    Returns
    -------
    uint8 array, (n, image_size, image_size)

    Raises
    ------
    sdnet_lib.data.images.ImageError
        If a file is not a usable image.
    """

    def read(file: str) -> np.ndarray:
        path = Path(file)
        return _read(file, image_size, path.stat().st_mtime_ns if path.exists() else 0)

    with ThreadPoolExecutor() as pool:
        rows = pool.map(read, cohort["file"])
        return np.stack(list(tqdm(rows, "reading images", len(cohort), disable=None, leave=False)))


def _targets(cohort: pd.DataFrame, classes: Sequence[str]) -> list[int]:
    strange = set(cohort["label"]) - set(classes)
    if strange:
        raise InputError(f"label {sorted(strange)[0]!r} is not one of the classes {', '.join(classes)}")
    return [list(classes).index(label) for label in cohort["label"]]


def network(
    backbone: str, weights: str = "imagenet", classes: int = 2, image_size: int = 224
) -> tuple[nn.Sequential, tuple[float, float, float], tuple[float, float, float]]:
    """Return the paper's CNN, a trunk, 512 units with ReLU and one output a class, and what its input needs.

    Parameters
    ----------
    backbone, weights : str
        See `backbones.trunk`.
    classes : int
        Two or four in the paper.
    image_size : int
        Side of the images in pixels.

    Returns
    -------
    network, mean, std
        The last two as in `Recipe`.
    """
    body, mean, std = trunk(backbone, weights)
    head = nn.Sequential(
        nn.Linear(_count_features(body, backbone, image_size), 512), nn.ReLU(), nn.Linear(512, classes)
    )
    return nn.Sequential(body, head), mean, std


def learner(
    cohort: pd.DataFrame,
    train: Sequence[int],
    valid: Sequence[int],
    *,
    profile: Profile,
    backbone: str | None = None,
    weights: str = "imagenet",
    model: nn.Module | None = None,
    recipe: Recipe | None = None,
    classes: Sequence[str] = ("N", "P"),
    seed: int = 0,
    pixels: np.ndarray | None = None,
    targets: np.ndarray | None = None,
) -> Learner:
    """Return an untrained classifier with its data: the paper's network, or a given one with its recipe.

    Parameters
    ----------
    cohort : DataFrame
        Columns `file` and `label` are used.
    train, valid : sequence of int
        Positions (rows) of the training part and of the part that decides when to stop.
    profile : Profile
        Its `image_size`, `batch` and, unless given, `backbone` are used.
    backbone, weights : str
        See `backbones.trunk`.
    model : torch.nn.Module, optional
        A network of one's own, from (n, 3, image_size, image_size) to (n, classes), in place of the paper's.
    recipe : Recipe, optional
        How to train it; the paper's network brings its own `mean` and `std`.
    classes : sequence of str
        Labels in the order of the outputs.
    seed : int
        Draws the head, the order of the batches and the augmentation; same seed, same network on a CPU.
    pixels : uint8 array, (n, image_size, image_size), or float array in [0, 1], (n, channels, side, side), optional
        Images to use instead of the files', row for row.
    targets : int array, (n, ...), optional
        What to predict, if it is not the label.

    Raises
    ------
    InputError
        If backbone or weights cannot be used, a label is unknown, or a part is empty.
    """
    if not len(train) or not len(valid):
        raise InputError("a classifier needs training and validation images: one of the two parts is empty")
    targets = np.array(_targets(cohort, classes)) if targets is None else targets
    pixels = read_pixels(cohort, profile.image_size) if pixels is None else pixels
    recipe = recipe or Recipe(batch=profile.batch)
    with no_random(seed):
        normal = recipe.mean, recipe.std
        if model is None:
            model, *normal = network(backbone or profile.backbone, weights, len(classes), pixels.shape[-1])
        normal = measure(pixels[train]) if None in normal else tuple(normal)
        loaders = DataLoaders(
            training_loader(pixels[train], targets[train], normal, recipe),
            loader(pixels[valid], targets[valid], normal, recipe.batch),
            device=pick_device(),
        )
        callbacks = [ChannelsLast()] + ([MixedPrecision()] if pick_device().type == "cuda" else [])
        result = Learner(
            loaders,
            model.to(pick_device()),
            loss_func=recipe.loss(),
            opt_func=recipe.optimiser,
            wd=recipe.weight_decay,
            cbs=callbacks,
        )
    result.normal, result.seed, result.recipe = normal, seed, recipe
    return result


def _count_features(body: nn.Module, backbone: str, image_size: int) -> int:
    body.eval()
    try:
        with torch.no_grad():
            return body(torch.zeros(1, 3, image_size, image_size)).shape[1]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"backbone {backbone!r} does not take images of {image_size} x {image_size} pixels"
        ) from error


@contextmanager
def _quietly(learner: Learner) -> Iterator[None]:
    """Leave the caller's random numbers alone, and be silent unless a person watches a terminal.

    fastai's trackers print a line at each step, outside of its log.
    """
    with ExitStack() as stack:
        stack.enter_context(no_random(learner.seed))
        if not sys.stdout.isatty():
            stack.enter_context(learner.no_bar())
            stack.enter_context(learner.no_logging())
            stack.enter_context(redirect_stdout(io.StringIO()))
        yield


def fit(learner: Learner, profile: Profile, lr: float | None = None) -> pd.DataFrame:
    """Train by the learner's recipe: the paper fine-tunes all layers until the validation loss stops falling.

    Parameters
    ----------
    learner : Learner
        From `learner`.
    profile : Profile
        Its `epochs`, if the recipe has more, and its `patience` are used.
    lr : float, optional
        Learning rate, if it is not the recipe's.

    Returns
    -------
    DataFrame
        One row an epoch: `epoch` (from 1), `train_loss`, `valid_loss`.

    Raises
    ------
    InputError
        If the loss is not a number in the very first epoch.
    """
    with tempfile.TemporaryDirectory() as folder, _quietly(learner):
        learner.path = Path(folder)
        recipe = learner.recipe
        epochs, lr = min(recipe.epochs, profile.epochs), recipe.rate if lr is None else lr
        trackers = [SaveModelCallback(), EarlyStoppingCallback(patience=profile.patience)]
        trackers = trackers if recipe.keep == "best" else []
        if recipe.schedule == "plateau":
            trackers.insert(0, ReduceLROnPlateau(patience=max(1, profile.patience // 2)))
        try:
            if recipe.schedule == "one-cycle":
                # as the fastai of 2020 did, which the rival that asks for it was trained with
                learner.fit_one_cycle(epochs, lr, pct_start=0.3, div_final=250_000, cbs=trackers)
            else:
                learner.fit(epochs, lr, cbs=trackers)
        except FileNotFoundError as error:  # no epoch was ever the best one
            raise InputError(f"the validation loss is not a number: try a rate below {lr}") from error
    history = pd.DataFrame(list(learner.recorder.values), columns=["train_loss", "valid_loss"])
    return history.rename_axis("epoch").reset_index().assign(epoch=lambda t: t["epoch"] + 1)


def predict(learner: Learner, cohort: pd.DataFrame | None, *, pixels: np.ndarray | None = None) -> np.ndarray:
    """Return the softmax outputs for a cohort's images, in its order.

    Parameters
    ----------
    learner : Learner
        From `learner`, after `fit`.
    cohort : DataFrame or None
        The column `file` is used, unless `pixels` are given.
    pixels : uint8 array, (n, image_size, image_size), optional
        Images to use instead of the files'.

    Returns
    -------
    float array, (n, classes)
        Each row sums to one; of whatever shape the outputs of a network of one's own have.
    """
    pixels = read_pixels(cohort, learner.dls.valid.dataset[0][0].shape[-1]) if pixels is None else pixels
    with _quietly(learner):
        target = np.zeros((len(pixels), *learner.dls.valid.dataset[0][1].shape), int)  # asked for, not used
        served = loader(pixels, target, learner.normal, learner.dls.valid.bs)
        return learner.get_preds(dl=served)[0].float().numpy()


def embed(
    pixels: np.ndarray, backbone: str = LITE0, weights: str = "imagenet", batch: int = 32
) -> np.ndarray:
    """Return what a trunk that is not trained any further says about images.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
        For instance from `read_pixels`.
    backbone, weights : str
        See `backbones.trunk`.

    Returns
    -------
    float32 array, (n, features)
    """
    body, mean, std = trunk(backbone, weights)
    body.eval().to(pick_device(), memory_format=torch.channels_last)
    with torch.inference_mode(), no_random():
        served = loader(pixels, np.zeros(len(pixels), int), (mean, std), batch)
        rows = [body(x) for x, _ in tqdm(served, "features", disable=None, leave=False)]
    return torch.cat(rows).float().cpu().numpy()
