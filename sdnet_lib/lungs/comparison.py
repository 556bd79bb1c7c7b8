"""Which small U-Net gives the best accuracy per megabyte? A few epochs each, the same data and recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sdnet_lib.files import InputError, write_json
from sdnet_lib.lungs import crop, training, unet

EPOCHS = 4


def candidates() -> dict[str, Callable[[], nn.Module]]:
    """Return what is compared; MONAI's BasicUNet is a plain U-Net with convolutions of 3 x 3 pixels.

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


def compare(data: Path | None, out: Path, seed: int = 0) -> Path:
    """Train each candidate without fold 0 and measure it there; write ``compared.json`` to `out`.

    Dice is the mean over the images at `unet.SIDE` pixels, before the mask is tidied up.
    """
    cohort = training.training_cohort(data)
    unseen = torch.tensor([crop.fold_of(patient) == 0 for patient in cohort["patient_id"]])
    images, masks = training.pixels(cohort)
    sides = [(images[side], masks[side]) for side in (~unseen, unseen)]
    rows = []
    for name, build in candidates().items():
        start = time.monotonic()
        learner = training.fit(*sides, epochs=EPOCHS, seed=seed, build=build)
        parameters = sum(weight.numel() for weight in learner.model.parameters())
        row = {"network": name, "epochs": EPOCHS, "parameters": parameters}
        row["megabytes"] = round(2 * parameters / 1e6, 2)  # float16
        row["dice"] = round(float(learner.recorder.values[-1][-1]), 4)
        rows.append(row | {"seconds": round(time.monotonic() - start)})
    out.mkdir(parents=True, exist_ok=True)
    file = out / "compared.json"
    write_json(file, rows)
    return file
