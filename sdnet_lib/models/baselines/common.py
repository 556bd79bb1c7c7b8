"""What several baselines need: images resized as they did it, and training by their own configuration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from fastai.learner import Learner
from fastai.torch_core import no_random
from torch import nn
from torch.nn import functional as F

from sdnet_lib.data.cohort import LABELS
from sdnet_lib.models import classifier
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig


def train(
    build: Callable[[int], nn.Module], config: TrainingConfig, task: Task, classes: tuple[str, ...] = LABELS
) -> tuple[Learner, dict]:
    """Train a network by its own configuration.

    Parameters
    ----------
    build : callable
        From the image size to an untrained network, whose `weights` is what it starts from.
    config : TrainingConfig
    task : Task
    classes : tuple of str
        In the order of the network's outputs.

    Returns
    -------
    Learner, dict
        And what the provenance says about the training.
    """
    learner = untrained(build, config, task, classes)
    weights = learner.model.weights
    history = classifier.fit(learner, task.profile)
    return learner, {"weights": weights} | classifier.summary(learner, history)


def untrained(
    build: Callable[[int], nn.Module], config: TrainingConfig, task: Task, classes: tuple[str, ...] = LABELS
) -> Learner:
    """Return what `train` trains."""
    with no_random(task.seed):
        model = build(task.profile.image_size)
    return classifier.learner(
        task.cohort,
        task.train,
        task.valid,
        profile=task.profile,
        model=model,
        config=config,
        classes=classes,
        seed=task.seed,
        pixels=task.pixels,
    )


def resize_plainly(image: np.ndarray, image_size: int) -> np.ndarray:
    """Resize to a square by bilinear interpolation between four pixels, as OpenCV does by default.

    Unlike `images.resize` it does not average when it shrinks: fine structures alias, as they did in the
    baselines' own experiments.

    Parameters
    ----------
    image : float array, (height, width)
        In [0, 1].
    image_size : int
        Height and width of the result in pixels.

    Returns
    -------
    uint8 array, (image_size, image_size)
    """
    small = F.interpolate(
        torch.as_tensor(image)[None, None].float(), (image_size, image_size), mode="bilinear"
    )[0, 0]
    return (255 * small).round().clamp(0, 255).byte().numpy()
