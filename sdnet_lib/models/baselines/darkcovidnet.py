"""DarkCovidNet: seventeen convolutions after Darknet-19 (Ozturk et al., Comput. Biol. Med. 2020).

Layers and training are those of the authors' two notebooks.
"""

from __future__ import annotations

from functools import partial

from fastai.optimizer import Adam
from fastai.vision.augment import aug_transforms
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.common import train
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig

# Output channels and kernel of each unit; 0 is a max-pooling.
LAYERS = (
    *((8, 3), 0, (16, 3), 0),
    *((32, 3), (16, 1), (32, 3), 0),
    *((64, 3), (32, 1), (64, 3), 0),
    *((128, 3), (64, 1), (128, 3), 0),
    *((256, 3), (128, 1), (256, 3), (128, 1), (256, 3)),
)


def network(image_size: int, classes: int = 2) -> nn.Sequential:
    """Return an untrained DarkCovidNet, float (n, 3, image_size, image_size) to (n, classes).

    Every convolution is padded by one pixel, so a 1x1 convolution enlarges its map by two: a quirk of the
    notebooks that is kept. The last unit has no leaky ReLU but a plain one, and before its batch
    normalisation, not after: an older fastai put them in that order. The linear layer at the end takes every
    pixel of every class's map, so its size depends on the image's.

    Parameters
    ----------
    image_size : int
        Height and width of the images in pixels, at least 8.
    classes : int
        Two or three in the notebooks.

    Raises
    ------
    InputError
        If the images are too small.
    """
    if image_size < 8:
        raise InputError(f"DarkCovidNet takes images of 8 pixels or more, not of {image_size}")
    steps, channels, edge = [], 3, image_size
    for layer in LAYERS:
        if layer == 0:
            steps.append(nn.MaxPool2d(2))
            edge //= 2
        else:
            outputs, kernel = layer
            steps.append(_unit(channels, outputs, kernel))
            channels, edge = outputs, edge + 3 - kernel
    last = nn.Conv2d(channels, classes, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(last.weight)
    steps += [nn.Sequential(last, nn.ReLU(), nn.BatchNorm2d(classes)), nn.Flatten()]
    result = nn.Sequential(*steps, nn.Linear(edge**2 * classes, classes))
    result.weights = "none"
    return result


def _unit(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


# Learning rate, epochs and batch are the notebooks'; decay, schedule and random changes (a horizontal flip
# among them) the defaults of fastai 1, which today's are close to. The notebooks keep the last epoch, and
# measure mean and deviation on one batch; here on the whole training part.
CONFIG = TrainingConfig(
    optimiser=partial(Adam, sqr_mom=0.99, decouple_wd=True),
    lr=3e-3,
    batch=32,
    epochs=100,
    weight_decay=0.01,
    schedule="one-cycle",
    keep="last",
    augment=aug_transforms,
    mean=None,
    std=None,
)


def fit(task: Task) -> tuple[Single, dict]:
    """Train it by the notebooks' configuration."""
    learner, notes = train(network, CONFIG, task)
    return Single.of(learner), notes


def build(profile: Profile) -> Single:
    """Return an untrained one."""
    return Single(network(profile.image_size))
