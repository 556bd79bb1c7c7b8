"""COVID-SDNet, the paper's method: generators, a network of four classes on their twins, and the fusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sdnet_lib.config import Profile
from sdnet_lib.models import classifier, fusion
from sdnet_lib.models.backbones import Normalise, available_weights
from sdnet_lib.models.fucitnet import twins
from sdnet_lib.models.fucitnet.approach import in_colour, run_generator, shared_generators
from sdnet_lib.models.fucitnet.generators import generator
from sdnet_lib.models.predictors import Columns, Predictor, softmax
from sdnet_lib.models.task import Task


class Sdnet(Predictor):
    """Both twins of the image, one network of four classes, and the fusion of its answers.

    Parameters
    ----------
    plus, minus : nn.Module
        The generators G_P and G_N.
    network : nn.Module
        With an output for each of `fusion.CLASSES`.
    mean, std : sequence of float
        As in `predictors.Single`.
    """

    def __init__(
        self,
        plus: nn.Module,
        minus: nn.Module,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__(network)
        self.plus, self.minus = plus, minus
        self.normalise = Normalise(mean, std, stored=True)

    def views(self, images: Tensor) -> list[Tensor]:
        """Return x+ and x-, normalised."""
        colours = in_colour(images)
        both = (self.plus, self.minus)
        return [self.normalise(run_generator(each, colours).clamp(0, 1)) for each in both]

    def combine(self, answers: list[Tensor]) -> Tensor:
        """Return the outputs (n, 2, 4), x+ first."""
        return torch.stack(answers, 1)

    def columns(self, outputs: Tensor) -> Columns:
        """Return the fused probabilities and the twins' own."""
        theta, psi = softmax(outputs).cpu().numpy().transpose(1, 0, 2)
        return fusion.columns(theta, psi)

    def scores(self, outputs: Tensor) -> Tensor:
        """Return, for N and for P, the output whose probability is the largest of that letter, on any twin.

        The fused decision is that of the larger probability, so these are the paper's decision and its
        counterfactual.
        """
        chosen = []
        for letter in (fusion.NEGATIVE, fusion.POSITIVE):
            surest = softmax(outputs)[:, :, letter].flatten(1).argmax(1, keepdim=True)
            chosen.append(outputs[:, :, letter].flatten(1).gather(1, surest))
        return torch.cat(chosen, 1)


def fit(task: Task) -> tuple[Sdnet, dict]:
    """Train the generators, then the network of four classes on the twins (Section 4, steps 2 and 3)."""
    fitted = shared_generators(task)
    weights = available_weights(task.profile.backbone)
    learner = fusion.learner(
        task.cohort,
        twins.transform(fitted, task.pixels),
        task.train,
        task.valid,
        profile=task.profile,
        weights=weights,
        seed=task.seed,
    )
    history = classifier.fit(learner, task.profile)
    normal = (values[:3] for values in learner.normal)  # the same for both twins, three channels each
    predictor = Sdnet(fitted.plus, fitted.minus, learner.model.single, *normal)
    notes = {"backbone": task.profile.backbone, "weights": weights} | classifier.summary(history)
    return predictor, notes | {"generators": fitted.origin}


def build(profile: Profile) -> Sdnet:
    """Return an untrained one."""
    single = classifier.network(profile.backbone, "none", len(fusion.CLASSES))
    return Sdnet(generator(), generator(), *single)
