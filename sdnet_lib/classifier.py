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
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.tracker import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD
from fastai.torch_core import TensorCategory, TensorImageBW, no_random
from fastai.vision.augment import (
    AffineCoordTfm,
    Brightness,
    Contrast,
    Rotate,
    Zoom,
    setup_aug_tfms,
)
from fasttransform import Pipeline
from torch import nn
from tqdm import tqdm

from sdnet_lib import images
from sdnet_lib.backbones import LITE0, trunk
from sdnet_lib.errors import InputError
from sdnet_lib.profiles import Profile, pick_device

# The paper names no rate. At 1e-2, five epochs on 150 images are enough; plateaus divide it by ten.
LEARNING_RATE = 1e-2


@lru_cache(maxsize=4096)
def _read(file: str, side: int, changed: int) -> np.ndarray:
    return np.round(255 * images.resize(images.read_gray(file), (side, side))).clip(0, 255).astype(np.uint8)


def read_pixels(cohort: pd.DataFrame, side: int) -> np.ndarray:
    """Return the images of a cohort as one array; files that were read before come from memory.

    An image that is not square is squeezed to one, like the authors' code squeezes its test images.

    Parameters
    ----------
    cohort : DataFrame
        The column `file` is used.
    side : int
        Side in pixels of the result.

    Returns
    -------
    uint8 array, (n, side, side)

    Raises
    ------
    sdnet_lib.images.ImageError
        If a file is not a usable image.
    """

    def read(file: str) -> np.ndarray:
        path = Path(file)
        return _read(file, side, path.stat().st_mtime_ns if path.exists() else 0)

    with ThreadPoolExecutor() as pool:
        rows = pool.map(read, cohort["file"])
        return np.stack(list(tqdm(rows, "reading images", len(cohort), disable=None, leave=False)))


def _shift_matrix(x: torch.Tensor, most: float = 0.05) -> torch.Tensor:
    """Return a random translation for each image, by at most `most` of its side, which is 2 in this frame."""
    matrix = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    matrix[:, :2, 2] = matrix.new_empty(len(x), 2).uniform_(-2 * most, 2 * most)
    return matrix


def augmentations() -> list:
    """Return the random changes a training batch undergoes; no flip, because the heart is on the left.

    The paper says "a proper set". This is the set its authors' code had in October 2020 without the blur:
    rotation by up to 10 degrees, translation by up to 5 % of the side, scale 0.8 to 1.2, brightness and
    contrast by up to 5 %, each with probability 0.7 (the translation always).
    """
    return setup_aug_tfms(
        [
            Rotate(max_deg=10, p=0.7),
            Zoom(min_zoom=0.8, max_zoom=1.2, p=0.7, draw_x=0.5, draw_y=0.5),
            AffineCoordTfm(aff_fs=_shift_matrix),
            Brightness(max_lighting=0.05, p=0.7),
            Contrast(max_lighting=0.05, p=0.7),
        ]
    )


def _loader(
    pixels: np.ndarray,
    targets: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    batch: int,
    train: bool,
) -> DataLoader:
    device = pick_device()
    items = [
        (TensorImageBW(torch.from_numpy(image)[None]), TensorCategory(target))
        for image, target in zip(pixels, targets, strict=True)
    ]
    # One grey channel less a mean of three channels is the grey image three times over: Normalize broadcasts.
    normalize = Normalize(*(torch.tensor(v, device=device)[None, :, None, None] for v in (mean, std)))
    steps = [IntToFloatTensor(), *(augmentations() if train else []), normalize]
    return DataLoader(
        items,
        bs=batch,
        shuffle=train,
        drop_last=train and len(items) > batch,  # a last batch of one image would upset batch normalisation
        device=device,
        after_batch=Pipeline(steps, split_idx=0 if train else 1),
    )


def _targets(cohort: pd.DataFrame, classes: Sequence[str]) -> list[int]:
    strange = set(cohort["label"]) - set(classes)
    if strange:
        raise InputError(f"label {sorted(strange)[0]!r} is not one of the classes {', '.join(classes)}")
    return [list(classes).index(label) for label in cohort["label"]]


def learner(
    cohort: pd.DataFrame,
    train: Sequence[int],
    valid: Sequence[int],
    *,
    profile: Profile,
    backbone: str | None = None,
    weights: str = "imagenet",
    classes: Sequence[str] = ("N", "P"),
    seed: int = 0,
    pixels: np.ndarray | None = None,
) -> Learner:
    """Return an untrained classifier with its data: the trunk, 512 units with ReLU, one output a class.

    Parameters
    ----------
    cohort : DataFrame
        Columns `file` and `label` are used.
    train, valid : sequence of int
        Positions (rows) of the training part and of the part that decides when to stop.
    profile : Profile
        Its `side`, `batch` and, unless given, `backbone` are used.
    backbone, weights : str
        See `backbones.trunk`.
    classes : sequence of str
        Labels in the order of the outputs, two or four of them in the paper.
    seed : int
        Draws the head, the order of the batches and the augmentation; same seed, same network on a CPU.
    pixels : uint8 array, (n, side, side), optional
        Images to use instead of the files', row for row.

    Raises
    ------
    InputError
        If backbone or weights cannot be used, a label is unknown, or a part is empty.
    """
    if not len(train) or not len(valid):
        raise InputError("a classifier needs training and validation images: one of the two parts is empty")
    targets = np.array(_targets(cohort, classes))
    pixels = read_pixels(cohort, profile.side) if pixels is None else pixels
    with no_random(seed):
        body, mean, std = trunk(backbone or profile.backbone, weights)
        features = _count_features(body, backbone or profile.backbone, pixels.shape[-1])
        head = nn.Sequential(nn.Linear(features, 512), nn.ReLU(), nn.Linear(512, len(classes)))
        loaders = DataLoaders(
            _loader(pixels[train], targets[train], mean, std, profile.batch, True),
            _loader(pixels[valid], targets[valid], mean, std, profile.batch, False),
            device=pick_device(),
        )
        callbacks = [ChannelsLast()] + ([MixedPrecision()] if pick_device().type == "cuda" else [])
        result = Learner(
            loaders,
            nn.Sequential(body, head).to(pick_device()),
            loss_func=CrossEntropyLossFlat(),
            opt_func=partial(SGD, mom=0.9, decouple_wd=False),
            wd=1e-4,
            cbs=callbacks,
        )
    result.normal, result.seed = (mean, std), seed
    return result


def _count_features(body: nn.Module, backbone: str, side: int) -> int:
    body.eval()
    try:
        with torch.no_grad():
            return body(torch.zeros(1, 3, side, side)).shape[1]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(f"backbone {backbone!r} does not take images of {side} x {side} pixels") from error


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


def fit(learner: Learner, profile: Profile, lr: float = LEARNING_RATE) -> pd.DataFrame:
    """Fine-tune all layers by SGD until the validation loss stops falling, and keep the best epoch's weights.

    Parameters
    ----------
    learner : Learner
        From `learner`.
    profile : Profile
        Its `epochs` and `patience` are used.
    lr : float
        Learning rate; the paper does not say.

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
        trackers = [
            SaveModelCallback(),
            ReduceLROnPlateau(patience=max(1, profile.patience // 2)),
            EarlyStoppingCallback(patience=profile.patience),
        ]
        try:
            learner.fit(profile.epochs, lr, cbs=trackers)
        except FileNotFoundError as error:  # no epoch was ever the best one
            raise InputError(f"the validation loss is not a number: try a rate below {lr}") from error
    history = pd.DataFrame(list(learner.recorder.values), columns=["train_loss", "valid_loss"])
    return history.rename_axis("epoch").reset_index().assign(epoch=lambda t: t["epoch"] + 1)


def predict(learner: Learner, cohort: pd.DataFrame, *, pixels: np.ndarray | None = None) -> np.ndarray:
    """Return the softmax outputs for a cohort's images, in its order.

    Parameters
    ----------
    learner : Learner
        From `learner`, after `fit`.
    cohort : DataFrame
        The column `file` is used.
    pixels : uint8 array, (n, side, side), optional
        Images to use instead of the files'.

    Returns
    -------
    float array, (n, classes)
        Each row sums to one.
    """
    pixels = read_pixels(cohort, learner.dls.valid.dataset[0][0].shape[-1]) if pixels is None else pixels
    with _quietly(learner):
        loader = _loader(pixels, [0] * len(pixels), *learner.normal, learner.dls.valid.bs, train=False)
        return learner.get_preds(dl=loader)[0].numpy()


def embed(
    pixels: np.ndarray, backbone: str = LITE0, weights: str = "imagenet", batch: int = 32
) -> np.ndarray:
    """Return what a trunk that is not trained any further says about images.

    Parameters
    ----------
    pixels : uint8 array, (n, side, side)
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
        loader = _loader(pixels, [0] * len(pixels), mean, std, batch, train=False)
        rows = [body(x) for x, _ in tqdm(loader, "features", disable=None, leave=False)]
    return torch.cat(rows).float().cpu().numpy()
