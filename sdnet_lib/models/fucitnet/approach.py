"""FuCiTNet alone as a system: its generators and its own classifier decide together."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sdnet_lib.checksums import kept_file
from sdnet_lib.code_version import code_version
from sdnet_lib.config import Profile
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.models.fucitnet import networks, training, twins
from sdnet_lib.models.fucitnet.generators import run_generator
from sdnet_lib.models.predictors import Columns, Predictor, softmax
from sdnet_lib.models.task import Task

ANSWERS = {label: slice(place, None, len(LABELS)) for place, label in enumerate(LABELS)}  # to both twins


class Fucitnet(Predictor):
    """FuCiTNet's own classifier looks at both twins, and the largest of all four answers decides."""

    def __init__(self, plus: nn.Module, minus: nn.Module, network: nn.Module) -> None:
        super().__init__(network)
        self.plus, self.minus = plus, minus

    def views(self, images: Tensor) -> list[Tensor]:
        """Return x- and x+, as the generators make them."""
        colours = in_colour(images)
        return [run_generator(self.minus, colours), run_generator(self.plus, colours)]

    def combine(self, answers: list[Tensor]) -> Tensor:
        """Return the outputs (n, 4): N and P of x-, then N and P of x+."""
        return torch.cat(answers, 1)

    def columns(self, outputs: Tensor) -> Columns:
        """Return the largest answer for P against the largest for N, of one softmax over all four."""
        answers = softmax(outputs).cpu().numpy()
        negative, positive = (answers[:, ANSWERS[label]].max(1) for label in LABELS)
        fused = positive / (positive + negative)
        return {"prob_N": 1 - fused, "prob_P": fused}

    def scores(self, outputs: Tensor) -> Tensor:
        """Return the largest answer for N and for P."""
        return torch.stack([outputs[:, ANSWERS[label]].amax(1) for label in LABELS], 1)


def in_colour(images: Tensor) -> Tensor:
    """Repeat grey images, (n, 1, height, width), in three channels."""
    return images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def shared_generators(task: Task) -> twins.Fitted:
    """Train the generators of this part, or take those that another approach trained on the same part."""
    # those of other code would be stale
    shared = task.shared.with_name(f"{task.shared.name}-{code_version(training.__name__)}")

    def make(part: Path) -> dict:
        fitted = training.fit(
            task.pixels,
            task.cohort["label"].to_numpy(),
            task.train,
            task.valid,
            profile=task.profile,
            seed=task.seed,
            checkpoint=shared.with_suffix(".checkpoint"),
        )
        twins.save(fitted, part)
        return fitted.origin

    return twins.load(kept_file(shared.with_suffix(".safetensors"), make))


def fit(task: Task) -> tuple[Fucitnet, dict]:
    """Train FuCiTNet alone (Section 4, step 2)."""
    fitted = shared_generators(task)
    return Fucitnet(fitted.plus, fitted.minus, fitted.classifier), fitted.origin


def build(profile: Profile) -> Fucitnet:
    """Return an untrained one."""
    start = networks.start(profile.generator_backbone, "none")
    minus, plus = start.generators
    return Fucitnet(plus, minus, start.classifier)
