"""MobileNetV2 by transfer learning (after Apostolopoulos and Mpesiana, Phys. Eng. Sci. Med. 2020).

No code was published, and the details below are from general knowledge of the article, not from its text.
"""

from __future__ import annotations

from functools import partial

from fastai.optimizer import Adam
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import at_hand, trunk
from sdnet_lib.models.training_config import Recipe

BACKBONE = "mobilenet_v2"
IMAGE_SIZE = 224
HIDDEN = (1000, 750)  # units of the classifier's two layers


def network(classes: int = 2, image_size: int = IMAGE_SIZE, weights: str | None = None) -> nn.Sequential:
    """Return a MobileNetV2 with a classifier of two hidden layers, float (n, 3, image_size, image_size) to (n, classes).

    From ImageNet the stem and the first inverted residual stay as they are: they are the first ten layers as
    Keras counts them, the "layer cutoff" of the article. Random ones are trained.

    Parameters
    ----------
    classes : int
        Two or three in the article.
    image_size : int
        Side of the images in pixels, at least 32; no layer depends on it. The article has 200 x 266.
    weights : str, optional
        Of the trunk, see `backbones.trunk`; if not given, ImageNet's where they can be had, else random.

    Returns
    -------
    torch.nn.Sequential
        Its `weights` is what the trunk starts from.

    Raises
    ------
    InputError
        If the images are too small, or the weights cannot be had.
    """
    if image_size < 32:
        raise InputError(
            f"MobileNet halves an image five times: {image_size} pixels are too few, give at least 32"
        )
    weights = weights or at_hand(BACKBONE)
    body = trunk(BACKBONE, weights).body
    body.classifier = nn.Identity()  # it still has its dropout; that of this classifier is between its layers
    body.features[:2].requires_grad_(weights == "none")
    head = nn.Sequential(
        nn.Linear(body.last_channel, HIDDEN[0]),
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
# article's as far as we know; the rate is Keras's default. Normalisation is that of the trunk's weights.
RECIPE = Recipe(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    rate=1e-3,
    batch=64,
    epochs=10,
    weight_decay=0.0,
    schedule="constant",
    keep="last",
    augment=list,
)
