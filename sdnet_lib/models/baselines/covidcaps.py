"""COVID-CAPS as its authors trained it, with their weights or from random ones (Afshar et al. 2020)."""

from __future__ import annotations

from functools import partial

import torch
from fastai.optimizer import Adam
from torch import nn
from torch.nn import functional as F

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import covidcaps_weights
from sdnet_lib.models.baselines.common import resize_plainly, train, untrained
from sdnet_lib.models.baselines.covidcaps_network import network
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import UNCHANGED, TrainingConfig

prepare = resize_plainly  # as the published code does


class MarginLoss(nn.Module):
    """Margin loss of capsule lengths, summed over classes: 0.9 is long enough, 0.1 short enough."""

    def forward(self, lengths: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over the batch.

        Parameters
        ----------
        lengths : float tensor, (n, classes)
        targets : int tensor, (n,)
        """
        lengths = lengths.float()
        present = F.one_hot(targets.long(), lengths.shape[1])
        short, long = (0.9 - lengths).relu().square(), (lengths - 0.1).relu().square()
        return (present * short + 0.5 * (1 - present) * long).sum(1).mean()

    def activation(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return lengths divided by their sum.

        Lengths are no probabilities: all may be long, or none. The quotients add up to one for the tables
        and have the same largest class, no more.
        """
        return lengths / lengths.sum(1, keepdim=True)

    def decodes(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the class of the longest capsule."""
        return lengths.argmax(1)


# As published, and as the paper retrains it: 100 epochs, batch 16, no class weights, a learning rate that is
# constant, and of all epochs the one with the lowest validation loss. It answers 0.5 to every image for its
# first 130 steps or so, more than a small profile has epochs for: it always trains to its recipe's end.
CONFIG = TrainingConfig(
    optimiser=partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    lr=1e-3,
    batch=16,
    epochs=100,
    whole=True,
    weight_decay=0.0,
    schedule="constant",
    keep="best of all",
    augment=list,
    loss=MarginLoss,
    mean=UNCHANGED[0],
    std=UNCHANGED[1],
)


def fit(task: Task, published: bool = False, further: bool = True) -> tuple[Single, dict]:
    """Train COVID-CAPS, or take it as it is (Table 4).

    Parameters
    ----------
    task : Task
    published : bool
        Whether it starts from its authors' weights.
    further : bool
        Whether it is trained (further).

    Raises
    ------
    InputError
        If there are no published weights in the task's data folder.
    """
    if not published:
        learner, notes = train(network, CONFIG, task)
        return Single.of(learner), notes
    file = None if task.data is None else task.data / "covidcaps" / covidcaps_weights.PUBLISHED
    if file is None or not file.is_file():
        raise InputError(
            f"the authors' weights are needed: covidcaps/{covidcaps_weights.PUBLISHED} in --data DIR"
        )

    def load(image_size: int) -> nn.Module:
        return covidcaps_weights.load(file)

    learner, notes = train(load, CONFIG, task) if further else (untrained(load, CONFIG, task), {})
    return Single.of(learner), notes | {"weights": file.name}


def build(profile: Profile) -> Single:
    """Return an untrained one."""
    return Single(network(profile.image_size), activation=MarginLoss().activation)
