"""How a network is trained and fed: its settings, and batches of images, changed at random or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from fastai.data.load import DataLoader
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD
from fastai.torch_core import TensorCategory, TensorImageBW
from fastai.vision.augment import AffineCoordTfm, Brightness, Contrast, Rotate, Zoom, setup_aug_tfms
from fasttransform import Pipeline

from sdnet_lib.config import pick_device


def _shift_matrix(x: torch.Tensor, most: float = 0.05) -> torch.Tensor:
    """Return a random translation for each image, by at most `most` of its edge, which is 2 in this frame."""
    matrix = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    matrix[:, :2, 2] = matrix.new_empty(len(x), 2).uniform_(-2 * most, 2 * most)
    return matrix


def augmentations() -> list:
    """Return the random changes a training batch undergoes; no flip, because the heart is on the left.

    The paper says "a proper set". This is the set its authors' code had in October 2020 without the blur:
    rotation by up to 10 degrees, translation by up to 5 % of the edge, scale 0.8 to 1.2, brightness and
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
    schedule : str
        ``plateau`` (a tenth of the learning rate when the validation loss stalls), ``constant`` or
        ``one-cycle``.
    keep : str
        ``best`` stops when the validation loss stalls and keeps the epoch where it was lowest; ``last``
        trains to the end.
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
    """

    optimiser: Callable = partial(SGD, mom=0.9, decouple_wd=False)
    lr: float = 1e-2
    batch: int = 16
    epochs: int = 100
    weight_decay: float = 1e-4
    schedule: str = "plateau"
    keep: str = "best"
    augment: Callable[[], list] = augmentations
    loss: Callable[[], object] = CrossEntropyLossFlat
    mean: tuple[float, ...] | None = (0.485, 0.456, 0.406)  # ImageNet's
    std: tuple[float, ...] | None = (0.229, 0.224, 0.225)
    order: Callable[[np.ndarray, int, np.random.Generator], np.ndarray] | None = None


def loader(
    pixels: np.ndarray, targets: np.ndarray, normal: tuple[Sequence[float], Sequence[float]], batch: int
) -> DataLoader:
    """Serve images in their order, as they are."""
    return DataLoader(_items(pixels, targets), bs=batch, device=pick_device(), **_steps(pixels, normal, []))


def training_loader(
    pixels: np.ndarray,
    targets: np.ndarray,
    normal: tuple[Sequence[float], Sequence[float]],
    config: TrainingConfig,
) -> DataLoader:
    """Serve images in random order, or in that of the configuration, changed at random."""
    order = {}
    if config.order:
        order["get_idxs"] = lambda: config.order(
            targets, config.batch, np.random.default_rng(np.random.randint(2**31))
        ).tolist()
    return DataLoader(
        _items(pixels, targets),
        bs=config.batch,
        shuffle=True,
        drop_last=len(pixels) > config.batch,  # a last batch of one image would upset batch normalisation
        device=pick_device(),
        **_steps(pixels, normal, config.augment()),
        **order,
    )


def _items(pixels: np.ndarray, targets: np.ndarray) -> list[tuple[TensorImageBW, TensorCategory]]:
    images = pixels if pixels.ndim == 4 else pixels[:, None]
    return [
        (TensorImageBW(torch.from_numpy(image)), TensorCategory(torch.as_tensor(target)))
        for image, target in zip(images, targets, strict=True)
    ]


def _steps(pixels: np.ndarray, normal: tuple, changes: list) -> dict[str, Pipeline]:
    # One grey channel less a mean of three channels becomes three grey channels: Normalize broadcasts.
    normalize = Normalize(*(torch.tensor(v, device=pick_device())[None, :, None, None] for v in normal))
    scale = IntToFloatTensor(255.0 if pixels.dtype == np.uint8 else 1.0)
    return {"after_batch": Pipeline([scale, *changes, normalize], split_idx=0 if changes else 1)}


def measure(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of uint8 images on a scale of 0 to 1, three times each: for RGB."""
    return (float(pixels.mean() / 255),) * 3, (float(pixels.std() / 255),) * 3
