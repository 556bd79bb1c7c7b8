"""COVID-Net as its authors trained it: their sampler, their random changes, and three outputs.

Like their code it resizes without antialiasing. Their code of May 2020 first drops the top 8 % of the rows,
where films have labels, and cuts out the square in the centre. Here it sees crops, which have no margin to
lose: the same cut took 7 % of the lung pixels from them, so it is left out.

The paper retrains it with 426 images of pneumonia as a third class; `sdnet cv --third-class` does. Without
such a cohort its third output has nothing to learn.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from fastai.optimizer import Adam
from fastai.torch_core import TensorImageBW
from fastai.vision.augment import AffineCoordTfm, PadMode
from fasttransform import Transform

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.common import resize_plainly as prepare  # noqa: F401  (the registry's)
from sdnet_lib.models.baselines.common import train
from sdnet_lib.models.baselines.covidnet_network import network
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import THIRD, Task
from sdnet_lib.models.training_config import UNCHANGED, TrainingConfig

CLASSES = ("N", THIRD, "P")  # order of the outputs, as in the official code
COVID = CLASSES.index("P")


def published_order(
    targets: np.ndarray, batch: int, rng: np.random.Generator, percent: float = 0.33
) -> np.ndarray:
    """Return the rows of one epoch as the official sampler draws them.

    The images without COVID-19 come once each, in random order. In each batch some random places, never
    fewer than one, are overwritten with COVID-19 images, and what was there is skipped in this epoch. Their
    number is truncated: of a batch of 8, the paper's 0.33 and the code's 0.3 both give 2, a quarter; of 16,
    0.33 gives 5. Unlike
    the code of May 2020, which by a slip repeated the same batches, each epoch is drawn anew.

    Parameters
    ----------
    targets : int array, (n,)
        Places in `CLASSES`.
    batch : int
        Images in a batch.
    rng : numpy.random.Generator
        Draws.
    percent : float
        Fraction of COVID-19 images asked for.

    Returns
    -------
    int array, (images without COVID-19,)

    Raises
    ------
    InputError
        If there are too few COVID-19 images for one batch, or no others.
    """
    covid, others = np.flatnonzero(targets == COVID), np.flatnonzero(targets != COVID)
    wanted = max(int(batch * percent), 1)
    if len(covid) < wanted or not len(others):
        raise InputError(
            f"COVID-Net's sampler needs {wanted} COVID-19 images or more, and others: "
            f"there are {len(covid)} and {len(others)}"
        )
    rows = rng.permutation(others)
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        places = rng.permutation(len(part))[:wanted]
        part[places] = rng.choice(covid, len(places), replace=False)
    return rows


def balanced_order(targets: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of an epoch with every image, and with as many of each class as the largest has.

    Parameters
    ----------
    targets : int array, (n,)
        Classes.
    batch : int
        Not used: the classes are balanced over the epoch, not in each batch.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    int array, (classes x images of the largest class,)
    """
    groups = [rng.permutation(np.flatnonzero(targets == target)) for target in np.unique(targets)]
    most = max(map(len, groups))
    return rng.permutation(np.concatenate([np.resize(group, most) for group in groups]))


def augmentations() -> list:
    """Return the random changes of the official training, all but the stretching of grey levels.

    With probability 0.3 the width or the height is squeezed by up to a tenth; then rotation by up to 10
    degrees, shifts by up to a tenth of the edge, a zoom of 0.85 to 1.15 for each axis, a flip half of the
    time; black comes in from outside. Grey levels are multiplied by 0.9 to 1.1.
    """
    return [
        AffineCoordTfm(aff_fs=_random_maps, pad_mode=PadMode.Zeros, align_corners=True),
        Transform(_brighten, split_idx=0, order=40),
    ]


def _random_maps(x: torch.Tensor) -> torch.Tensor:
    """Return for each image where a pixel of the changed image comes from, in a frame from -1 to 1."""

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.empty(len(x), device=x.device).uniform_(low, high)

    ratio = torch.where(draw(0, 1) < 0.3, draw(0.9, 1.1), 1.0)
    squeeze = torch.stack([(1 / ratio).clamp(min=1), ratio.clamp(min=1)], 1)
    angle = torch.deg2rad(draw(-10, 10))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    zoom = torch.stack([flip * draw(0.85, 1.15), draw(0.85, 1.15)], 1)
    maps = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    maps[:, :2, :2] = squeeze[:, :, None] * turn * zoom[:, None]
    maps[:, :2, 2] = squeeze * torch.stack([draw(-0.2, 0.2), draw(-0.2, 0.2)], 1)
    return maps


def _brighten(x: TensorImageBW) -> TensorImageBW:
    return (x * torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(0.9, 1.1)).clamp(0, 1)


# The paper's retraining: 10 epochs, learning rate 0.0002, weight 1 for COVID-19, which weighs no class in the
# loss, and COVID percent 0.33. Its batch is 8; here it is 16, because batch normalisation learns noise from
# fewer (`training_config.LEAST`). The official script has no validation part and keeps every epoch; the
# paper's protocol says that the validation part decides when to stop, so the best of the ten epochs is kept.
# The script may have run with the statistics of batch normalisation frozen; from scratch they would stay at
# 0 and 1, so here they move.
CONFIG = TrainingConfig(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-8),
    lr=2e-4,
    batch=16,
    epochs=10,
    weight_decay=0.0,
    schedule="constant",
    keep="best",
    augment=augmentations,
    order=published_order,
    mean=UNCHANGED[0],
    std=UNCHANGED[1],
)
BALANCED = replace(CONFIG, order=balanced_order)


def two_classes(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Report three outputs for a cohort of two classes.

    The probabilities of N and P are what they are given that it is not pneumonia, for curves and scores.
    `evaluation.metrics` counts by `vote`: one for pneumonia is an error, whether the image is N or P.

    Parameters
    ----------
    probabilities : float array, (n, 3)
        In the order of `CLASSES`, each row summing to one.

    Returns
    -------
    dict of arrays, (n,)
        `prob_N` and `prob_P`, which sum to one; `prob_pneumonia`, as it was; `vote`, one of `CLASSES`.

    Raises
    ------
    InputError
        If there are not three columns.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(CLASSES):
        raise InputError(f"three probabilities per image are needed, not an array {probabilities.shape}")
    # the smallest number keeps 0 / 0 out where pneumonia has it all
    negative, positive = (probabilities[:, [0, COVID]] + np.finfo(np.float32).tiny).T
    return {
        "prob_N": negative / (negative + positive),
        "prob_P": positive / (negative + positive),
        "prob_pneumonia": probabilities[:, 1],
        "vote": np.array(CLASSES)[probabilities.argmax(1)],
    }


# What `predictors.Single` has to know of three outputs.
ANSWERS = {"columns": two_classes, "places": (CLASSES.index("N"), COVID)}


def fit(task: Task, variant: str, balanced: bool = False) -> tuple[Single, dict]:
    """Train a budget-matched COVID-Net; images labelled `THIRD` are its third class.

    Parameters
    ----------
    task : Task
    variant : str
        Of `covidnet_network.VARIANTS`.
    balanced : bool
        Whether every class comes equally often, or as the official sampler has it.
    """
    learner, notes = train(
        partial(network, variant, len(CLASSES)), BALANCED if balanced else CONFIG, task, CLASSES
    )
    third = int((task.cohort["label"].iloc[task.train] == THIRD).sum())
    return Single.of(learner, **ANSWERS), notes | {"third_class": third}


def build(profile: Profile, variant: str) -> Single:
    """Return an untrained one."""
    return Single(network(variant, len(CLASSES), profile.image_size), **ANSWERS)
