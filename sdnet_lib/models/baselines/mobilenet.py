"""MobileNetV2 by transfer learning (after Apostolopoulos and Mpesiana, Phys. Eng. Sci. Med. 2020).

No code was published, and the details below are from general knowledge of the article, not from its text.
"""

from __future__ import annotations

from functools import partial

from fastai.optimizer import Adam
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import MOBILENET, available_weights, load_backbone
from sdnet_lib.models.baselines.common import train
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig

HIDDEN = (1000, 750)  # units of the classifier's two layers


def network(image_size: int, classes: int = 2, weights: str = "none") -> nn.Sequential:
    """Return a MobileNetV2 with two hidden layers, float (n, 3, image_size, image_size) to (n, classes).

    From ImageNet the stem and the first inverted residual stay as they are: they are the first ten layers as
    Keras counts them, the "layer cutoff" of the article. Random ones are trained.

    Parameters
    ----------
    image_size : int
        Height and width of the images in pixels, at least 32; no layer depends on it. The article has
        200 x 266.
    classes : int
        Two or three in the article.
    weights : str
        Of the backbone, see `backbones.load_backbone`.

    Returns
    -------
    torch.nn.Sequential
        Its `weights` is what the backbone starts from.

    Raises
    ------
    InputError
        If the images are too small, or the weights cannot be had.
    """
    if image_size < 32:
        raise InputError(
            f"MobileNet halves an image five times: {image_size} pixels are too few, give at least 32"
        )
    body = load_backbone(MOBILENET, weights).body
    body.features[:2].requires_grad_(weights == "none")
    head = nn.Sequential(
        nn.Linear(body.head_hidden_size, HIDDEN[0]),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(*HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN[1], classes),
    )
    result = nn.Sequential(body, head)
    result.weights = weights
    return result


# Adam, batch 64 and ten epochs, without random changes and without a rule for the best epoch, are the
# article's as far as we know; the learning rate is Keras's default. Normalisation is ImageNet's.
CONFIG = TrainingConfig(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    lr=1e-3,
    batch=64,
    epochs=10,
    weight_decay=0.0,
    schedule="constant",
    keep="last",
    augment=list,
)


def fit(task: Task) -> tuple[Single, dict]:
    """Train it by the article's configuration."""
    weights = available_weights(MOBILENET, task.profile.weights)
    learner, notes = train(partial(network, weights=weights), CONFIG, task)
    return Single.of(learner), notes


def build(profile: Profile) -> Single:
    """Return an untrained one."""
    return Single(network(profile.image_size))
