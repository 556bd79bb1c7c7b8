"""The paper's classifier as a fastai Learner: an ImageNet backbone, 512 units, a softmax (Section 4, step 3).

`config.pick_device` decides where to train: a CUDA GPU with mixed precision if there is one, else the CPU.
Apple's GPU is left alone, because results should not depend on which laptop a student owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import fastai.callback.schedule  # noqa: F401  (teaches Learner to fit_one_cycle)
import numpy as np
import pandas as pd
import torch
from fastai.callback.tracker import EarlyStoppingCallback, ReduceLROnPlateau, TrackerCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.torch_core import no_random
from torch import nn
from tqdm import tqdm

from sdnet_lib.config import LITE0, Profile, one_thread, pick_device
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.files import InputError
from sdnet_lib.models import on_gpu
from sdnet_lib.models.backbones import load_backbone
from sdnet_lib.models.batches import loader, training_loader
from sdnet_lib.models.micro_batches import PartsLearner
from sdnet_lib.models.training_config import (
    TrainingConfig,
    budgeted,
    measure,
    quietly,
    recipe,
)


def _targets(cohort: pd.DataFrame, classes: Sequence[str]) -> list[int]:
    strange = set(cohort["label"]) - set(classes)
    if strange:
        raise InputError(f"label {sorted(strange)[0]!r} is not one of the classes {', '.join(classes)}")
    return [list(classes).index(label) for label in cohort["label"]]


def network(
    backbone: str, weights: str = "imagenet", classes: int = 2, image_size: int = 224
) -> tuple[nn.Sequential, tuple[float, float, float], tuple[float, float, float]]:
    """Return the paper's CNN (a backbone, 512 units, one output per class) and what its input needs.

    Parameters
    ----------
    backbone, weights : str
        See `backbones.load_backbone`.
    classes : int
        Two or four in the paper.
    image_size : int
        Height and width of the images in pixels.

    Returns
    -------
    network, mean, std
        The last two as in `TrainingConfig`.

    Raises
    ------
    InputError
        If backbone or weights cannot be used, or the backbone takes images of another size only.
    """
    body, mean, std = load_backbone(backbone, weights)
    described = body.pretrained_cfg
    if described.get("fixed_input_size") and image_size != described["input_size"][-1]:
        size = f"{image_size} x {image_size}"
        raise InputError(f"backbone {backbone!r} does not take images of {size} pixels")
    head = nn.Sequential(nn.Linear(body.head_hidden_size, 512), nn.ReLU(), nn.Linear(512, classes))
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
    config: TrainingConfig | None = None,
    classes: Sequence[str] = ("N", "P"),
    seed: int = 0,
    pixels: np.ndarray | None = None,
    targets: np.ndarray | None = None,
) -> Learner:
    """Return an untrained classifier with its data: the paper's network, or another with its configuration.

    Parameters
    ----------
    cohort : DataFrame
        Columns `file` and `label` are used.
    train, valid : sequence of int
        Positions (rows) of the training part and of the part that decides when to stop.
    profile : Profile
        Its `image_size`, `batch` and, unless given, `backbone` are used.
    backbone, weights : str
        See `backbones.load_backbone`.
    model : torch.nn.Module, optional
        Another network, from (n, 3, image_size, image_size) to (n, classes), in place of the paper's.
    config : TrainingConfig, optional
        How to train it; the paper's network brings its own `mean` and `std`.
    classes : sequence of str
        Labels in the order of the outputs.
    seed : int
        Draws the head, the order of the batches and the augmentation; same seed, same network on a CPU,
        however many threads it has.
    pixels : array, optional
        Images to use instead of the files', row for row: uint8 (n, image_size, image_size), or float
        (n, channels, image_size, image_size) in [0, 1].
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
    config = budgeted(config or TrainingConfig(batch=profile.batch), profile, len(train))
    with no_random(seed):
        normal = config.mean, config.std
        if model is None:
            model, *normal = network(backbone or profile.backbone, weights, len(classes), pixels.shape[-1])
        normal = measure(pixels[train]) if None in normal else tuple(normal)
        loaders = DataLoaders(
            training_loader(pixels[train], targets[train], normal, config),
            loader(pixels[valid], targets[valid], normal, config.batch),
            device=pick_device(),
        )
        result = PartsLearner(
            loaders,
            model.to(pick_device()),
            loss_func=config.loss(),
            cbs=on_gpu.callbacks(),
            **on_gpu.optimiser(config, pick_device().type == "cuda"),
        )
    result.normal, result.seed, result.config = normal, seed, config
    return result


class _Best(TrackerCallback):
    """Keep the weights of the best epoch, and go back to them at the end."""

    order = TrackerCallback.order + 1
    weights = None

    def after_epoch(self) -> None:
        """Note the weights if validation was never better."""
        super().after_epoch()
        if self.new_best:
            self.weights = deepcopy(self.model.state_dict())

    def after_fit(self) -> None:
        """Load them; there are none if no loss was a number."""
        if self.weights:
            self.model.load_state_dict(self.weights)


def fit(learner: Learner, profile: Profile, lr: float | None = None) -> pd.DataFrame:
    """Train: the paper fine-tunes all layers until the validation loss stops falling.

    Parameters
    ----------
    learner : Learner
        From `learner`.
    profile : Profile
        Its `patience` is used; epochs and budget are in the learner's configuration.
    lr : float, optional
        Learning rate, if it is not the configuration's.

    Returns
    -------
    DataFrame
        One row per epoch: `epoch` (from 1), `train_loss`, `valid_loss`.

    Raises
    ------
    InputError
        If the loss is not a number in the very first epoch.
    """
    config, best = learner.config, _Best()
    epochs, lr = config.epochs, config.lr if lr is None else lr
    trackers = [] if config.keep == "last" else [best]
    if config.keep == "best":
        trackers.append(EarlyStoppingCallback(patience=profile.patience))
    if config.schedule == "plateau":
        trackers.insert(0, ReduceLROnPlateau(patience=max(1, profile.patience // 2)))
    with quietly(learner):
        if config.schedule == "one-cycle":
            # as the fastai of 2020 did, with which the baseline that asks for it was trained
            learner.fit_one_cycle(epochs, lr, pct_start=0.3, div_final=250_000, cbs=trackers)
        else:
            learner.fit(epochs, lr, cbs=trackers)
    if best in trackers and best.weights is None:
        raise InputError(f"the validation loss is not a number: try a learning rate below {lr}")
    learner.steps = learner.train_iter  # which the next prediction sets to 0
    history = pd.DataFrame(list(learner.recorder.values), columns=["train_loss", "valid_loss"])
    return history.rename_axis("epoch").reset_index().assign(epoch=lambda t: t["epoch"] + 1)


def summary(learner: Learner, history: pd.DataFrame) -> dict:
    """Say for a run's provenance how a network was trained, how long, and how well it did in validation.

    Among it are `steps`, which its optimiser made, and `steps_kept`, after which it was as it is now; where
    memory was short, `images_at_once`, by which batch normalisation went.
    """
    best, steps = history.loc[history["valid_loss"].idxmin()], learner.steps
    in_parts = {"images_at_once": learner.part} if learner.part else {}
    return (
        recipe(learner.config)
        | in_parts
        | {
            "epochs": len(history),
            "best_epoch": int(best["epoch"]),
            "valid_loss": float(best["valid_loss"]),
            "steps": steps,
            "steps_kept": steps
            if learner.config.keep == "last"
            else steps // len(history) * int(best["epoch"]),
        }
    )


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
        Each row sums to one; of whatever shape the outputs of another network have.
    """
    pixels = read_pixels(cohort, learner.dls.valid.dataset[0][0].shape[-1]) if pixels is None else pixels
    with quietly(learner):
        target = np.zeros((len(pixels), *learner.dls.valid.dataset[0][1].shape), int)  # asked for, not used
        served = loader(pixels, target, learner.normal, learner.dls.valid.bs)
        return learner.get_preds(dl=served)[0].float().cpu().numpy()


def embed(
    pixels: np.ndarray, backbone: str = LITE0, weights: str = "imagenet", batch: int = 32
) -> np.ndarray:
    """Return the features that a backbone finds in images, without any further training.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
        For instance from `read_pixels`.
    backbone, weights : str
        See `backbones.load_backbone`.

    Returns
    -------
    float32 array, (n, features)
    """
    body, mean, std = load_backbone(backbone, weights)
    body.eval().to(pick_device(), memory_format=torch.channels_last)
    with torch.inference_mode(), no_random(), one_thread():
        served = loader(pixels, np.zeros(len(pixels), int), (mean, std), batch)
        rows = [body(x) for x, _ in tqdm(served, "features", disable=None, leave=False)]
    return torch.cat(rows).float().cpu().numpy()
