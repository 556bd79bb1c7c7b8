"""A trained system as one network: from grey images to its answers, ready to predict, be saved and explained.

Every approach ends in a predictor, whatever it was trained with. It may look at an image in several *views*
(COVID-SDNet: the twins x+ and x-); its network answers each, and `combine` puts the answers together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from fastai.learner import Learner
from torch import Tensor, nn

from sdnet_lib.config import pick_device
from sdnet_lib.models.backbones import Normalise

BATCH = 16
Columns = dict[str, np.ndarray]


class Predictor(nn.Module, ABC):
    """What all predictors have in common; a subclass says what its views are and what its answers mean.

    Attributes
    ----------
    network : nn.Module
        Answers a view, float (n, 3, image_size, image_size), with (n, outputs) before any softmax.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abstractmethod
    def views(self, images: Tensor) -> list[Tensor]:
        """Return what the network sees of grey images, (n, 1, image_size, image_size) in [0, 1]."""

    @abstractmethod
    def combine(self, answers: list[Tensor]) -> Tensor:
        """Put the network's answers to all views together: (n, ...)."""

    @abstractmethod
    def columns(self, outputs: Tensor) -> Columns:
        """Return a prediction table's columns: `prob_N`, `prob_P`, and perhaps more, each (n,)."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """Return the outputs that speak for N and for P, (n, 2), before any softmax: what is explained."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs for grey images, float (n, 1, image_size, image_size) in [0, 1]."""
        return self.combine([self.network(view) for view in self.views(images)])

    def ready(self) -> Predictor:
        """Go to the device, in inference mode, and return this predictor."""
        return self.eval().to(pick_device(), memory_format=torch.channels_last)

    def outputs(self, pixels: np.ndarray) -> Tensor:
        """Return the outputs for images, uint8 (n, image_size, image_size), a batch at a time."""
        self.ready()
        with torch.inference_mode(), half_precision():
            batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
            return torch.cat([self(to_images(batch)).float() for batch in batches])

    def predict(self, pixels: np.ndarray) -> Columns:
        """Return a prediction table's columns for images, uint8 (n, image_size, image_size)."""
        return self.columns(self.outputs(pixels))


def half_precision() -> torch.autocast:
    """Return the context in which a GPU computes in half precision, and a CPU as always."""
    device = pick_device()
    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def to_images(pixels: np.ndarray) -> Tensor:
    """Bring uint8 images (n, height, width) to the device, as float (n, 1, height, width) in [0, 1]."""
    return torch.from_numpy(pixels).to(pick_device())[:, None].float() / 255


def two_columns(probabilities: np.ndarray) -> Columns:
    """Name the columns of probabilities (n, 2)."""
    return {"prob_N": probabilities[:, 0], "prob_P": probabilities[:, 1]}


def softmax(outputs: Tensor) -> Tensor:
    """Return probabilities along the last axis, in float32 even where a GPU computed in half precision."""
    return outputs.float().softmax(-1)


class Single(Predictor):
    """One network that looks at the image itself.

    Parameters
    ----------
    network : nn.Module
        With an output for each class.
    mean, std : sequence of float
        The network's input is (image - mean) / std, channel by channel.
    activation : callable
        From outputs to probabilities; softmax by default.
    columns : callable
        From probabilities (n, classes), as a NumPy array, to the columns of a prediction table.
    places : tuple of int
        Positions of N and P among the outputs.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = (0.0,) * 3,
        std: Sequence[float] = (1.0,) * 3,
        *,
        activation: Callable[[Tensor], Tensor] = softmax,
        columns: Callable[[np.ndarray], Columns] = two_columns,
        places: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(network)
        self.normalise = Normalise(mean, std, stored=True)
        self.activation, self.name_columns, self.places = activation, columns, list(places)

    @classmethod
    def of(cls, learner: Learner, **options: object) -> Single:
        """Return the predictor of a trained fastai learner from `classifier.learner`."""
        activation = learner.config.loss().activation
        return cls(learner.model, *learner.normal, activation=activation, **options)

    def views(self, images: Tensor) -> list[Tensor]:
        """Return the image, grey in three channels and normalised."""
        return [self.normalise(images)]

    def combine(self, answers: list[Tensor]) -> Tensor:
        """Return the outputs (n, classes)."""
        return answers[0]

    def columns(self, outputs: Tensor) -> Columns:
        """Return the probabilities that the activation makes of the outputs."""
        return self.name_columns(self.activation(outputs).cpu().numpy())

    def scores(self, outputs: Tensor) -> Tensor:
        """Return the two outputs of N and P."""
        return outputs[:, self.places]


class Mean(nn.Module):
    """Several predictors as one network: the logarithm of their mean probabilities."""

    def __init__(self, members: Sequence[Single]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, classes) for images in [0, 1], (n, 1 or 3, image_size, image_size)."""
        probabilities = [member.activation(member(x)) for member in self.members]
        return torch.stack(probabilities).mean(0).clamp_min(1e-12).log()
