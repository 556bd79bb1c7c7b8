"""A Bayesian ResNet50V2 by Monte Carlo dropout (after Ghoshal and Tucker, arXiv 2003.10769).

No code was published, and the details below are from general knowledge of the article, not from its text.
They drop weights of the last layer at random, in training and in prediction; here units are dropped in front
of the last two layers, which is Monte Carlo dropout as it is usually meant (Gal and Ghahramani, ICML 2016).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from fastai.optimizer import Adam
from fastai.torch_core import no_random
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import dropout, predictors
from sdnet_lib.models.backbones import available_weights, load_backbone
from sdnet_lib.models.baselines.common import train
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig

BACKBONE = "resnetv2_50"  # timm's ResNet-50 with batch normalisation and ReLU in front of the convolutions
DROPOUT = 0.5
PASSES = 50


class BayesianResNet(nn.Module):
    """A backbone and a head with dropout, float (n, 3, image_size, image_size) to (n, classes).

    Attributes
    ----------
    body, head : torch.nn.Module
        All randomness of a prediction is in the head, so that many passes need the body's features once.
    weights : str
        What the body starts from, ``imagenet`` or ``none``.
    """

    def __init__(self, classes: int, weights: str) -> None:
        super().__init__()
        self.weights = weights
        self.body = load_backbone(BACKBONE, weights).body
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(self.body.head_hidden_size, 512),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(512, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one output per class, before the softmax; outside of training without dropout."""
        return self.head(self.body(x))


def network(image_size: int, classes: int = 2, weights: str = "none") -> BayesianResNet:
    """Return a Bayesian ResNet50V2.

    Parameters
    ----------
    image_size : int
        Height and width of the images in pixels, at least 32; no layer depends on it.
    classes : int
        Four in the article: normal, bacterial, viral, COVID-19.
    weights : str
        Of the backbone, see `backbones.load_backbone`.

    Raises
    ------
    InputError
        If the images are too small, or the weights cannot be had.
    """
    if image_size < 32:
        raise InputError(
            f"a ResNet halves an image five times: {image_size} pixels are too few, give at least 32"
        )
    return BayesianResNet(classes, weights)


class Predictor(predictors.Single):
    """Each prediction is the mean of many passes with dropout left on.

    Parameters
    ----------
    seed : int
        Draws the units that are dropped.
    others
        As in `predictors.Single`.
    """

    def __init__(self, *parts: object, seed: int = 0, **options: object) -> None:
        super().__init__(*parts, **options)
        self.seed = seed

    def predict(self, pixels: np.ndarray) -> predictors.Columns:
        """Return `prob_N`, `prob_P` and `entropy`, each (n,), for uint8 images (n, height, width)."""
        found = predict(self, pixels, seed=self.seed)
        return predictors.two_columns(found.probabilities) | {"entropy": found.entropy}


def predict(
    predictor: predictors.Single, pixels: np.ndarray, *, passes: int = PASSES, seed: int = 0
) -> dropout.Prediction:
    """Predict with dropout left on, many times.

    A pass draws one network and shows it all images, so an image's prediction does not depend on the others.

    Parameters
    ----------
    predictor : predictors.Single
        Of this module's network.
    pixels : uint8 array, (n, image_size, image_size)
        Images.
    passes : int
        How often the head is asked; the features are computed once.
    seed : int
        Draws the units that are dropped.

    Raises
    ------
    InputError
        If there is not at least one pass.
    """
    if passes < 1:
        raise InputError(f"a prediction needs at least one pass, not {passes}")
    body, head, features = predictor.network.body, predictor.network.head, []
    hook = body.register_forward_hook(lambda *call: features.append(call[-1].float()))
    try:
        predictor.outputs(pixels)
    finally:
        hook.remove()
    with torch.inference_mode(), no_random(seed):
        seen = torch.cat(features)
        samples = torch.stack([_drawn(head, seen).softmax(1) for _ in range(passes)])
    return dropout.summarise(samples.double().cpu().numpy())


def _drawn(head: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """Run the head, (n, features) to (n, classes), with the same units dropped for every row."""
    for layer in head:
        x = dropout.drop_units(x, layer.p) if isinstance(layer, nn.Dropout) else layer(x)
    return x


# Adam, images of 512 pixels and a start from ImageNet are the article's as far as we know; learning rate,
# batch, epochs, dropout and passes are our choices, and the random changes are the paper's for its main CNN.
CONFIG = TrainingConfig(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    lr=1e-4,
    batch=16,
    epochs=50,
    weight_decay=0.0,
    schedule="plateau",
    keep="best",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def fit(task: Task) -> tuple[Predictor, dict]:
    """Train the Bayesian ResNet50V2."""
    weights = available_weights(BACKBONE, task.profile.weights)
    learner, notes = train(partial(network, weights=weights), CONFIG, task)
    return Predictor.of(learner, seed=task.seed), notes


def build(profile: Profile) -> Predictor:
    """Return an untrained one."""
    return Predictor(network(profile.image_size))
