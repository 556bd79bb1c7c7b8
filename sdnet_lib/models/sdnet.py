"""COVID-SDNet, the paper's method: generators, a network of four classes on their twins, and the fusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sdnet_lib.checksums import beside, kept_file, read_seal
from sdnet_lib.code_version import code_version
from sdnet_lib.config import Profile
from sdnet_lib.models import classifier, fusion
from sdnet_lib.models.backbones import Normalise, available_weights
from sdnet_lib.models.fucitnet import twins
from sdnet_lib.models.fucitnet.approach import in_colour, shared_generators
from sdnet_lib.models.fucitnet.generators import generator, run_generator
from sdnet_lib.models.predictors import Columns, Predictor, softmax
from sdnet_lib.models.task import Task

GENERATORS = ("plus.", "minus.")  # in the state dict of a predictor


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
    decision : str
        One of `fusion.DECISIONS`.
    """

    def __init__(
        self,
        plus: nn.Module,
        minus: nn.Module,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        decision: str = "maximum",
    ) -> None:
        super().__init__(network)
        self.plus, self.minus, self.decision = plus, minus, decision
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
        return fusion.columns(theta, psi, self.decision)

    def scores(self, outputs: Tensor) -> Tensor:
        """Return, for N and for P, the output whose probability is the largest of that letter, on any twin.

        The fused decision is that of the larger probability, so these are the paper's decision and its
        counterfactual. Of one twin alone only its own outputs count; a mean over twins has no surest output,
        there it is the logarithm of each letter's probability.
        """
        letters = (fusion.NEGATIVE, fusion.POSITIVE)
        if self.decision == "mean":
            return torch.stack([softmax(outputs)[:, :, letter].sum((1, 2)).log() for letter in letters], 1)
        heard = outputs[:, {"maximum": slice(2), "plus": slice(1), "minus": slice(1, 2)}[self.decision]]
        chosen = []
        for letter in letters:
            surest = softmax(heard)[:, :, letter].flatten(1).argmax(1, keepdim=True)
            chosen.append(heard[:, :, letter].flatten(1).gather(1, surest))
        return torch.cat(chosen, 1)


def fit(task: Task, decision: str = "maximum") -> tuple[Sdnet, dict]:
    """Train the generators, then the network of four classes on the twins (Section 4, steps 2 and 3).

    Whatever decides in the end, of one part there are one pair of generators and one network: they are
    trained once, by whoever comes first.
    """
    fitted = shared_generators(task)
    shared = task.shared.with_name(f"{task.shared.name}-{code_version(__name__)}")

    def make(part: Path) -> dict:
        predictor, notes = fit_twins(task, fitted.plus, fitted.minus)
        _keep(predictor, part)
        return {"notes": notes}

    file = kept_file(shared.with_suffix(".twins.safetensors"), make)
    notes = read_seal(beside(file), file)["notes"]
    predictor = build(task.profile, decision)
    predictor.load_state_dict(load_file(file), strict=False)
    predictor.plus, predictor.minus = fitted.plus, fitted.minus
    return predictor, notes | {"decision": decision, "generators": fitted.origin}


def _keep(predictor: Sdnet, file: Path) -> None:
    """Write all but the generators."""
    tensors = {
        name: tensor.contiguous()
        for name, tensor in predictor.state_dict().items()
        if not name.startswith(GENERATORS)
    }
    save_file(tensors, file)


def fit_twins(task: Task, plus: nn.Module, minus: nn.Module, decision: str = "maximum") -> tuple[Sdnet, dict]:
    """Train a network of four classes on twins, whoever makes them.

    Parameters
    ----------
    task : Task
    plus, minus : nn.Module
        From images (n, 3, height, width) in [0, 1] to x+ and x-.
    decision : str
        One of `fusion.DECISIONS`.
    """
    profile = task.profile
    weights = available_weights(profile.backbone, profile.weights)
    learner = fusion.learner(
        task.cohort,
        twins.through((plus, minus), task.pixels),
        task.train,
        task.valid,
        profile=profile,
        weights=weights,
        seed=task.seed,
    )
    history = classifier.fit(learner, profile)
    normal = (values[:3] for values in learner.normal)  # the same for both twins, three channels each
    predictor = Sdnet(plus, minus, learner.model.single, *normal, decision)
    return predictor, {"backbone": profile.backbone, "weights": weights} | classifier.summary(
        learner, history
    )


def build(profile: Profile, decision: str = "maximum") -> Sdnet:
    """Return an untrained one."""
    single = classifier.network(profile.backbone, "none", len(fusion.CLASSES))
    return Sdnet(generator(), generator(), *single, decision)
