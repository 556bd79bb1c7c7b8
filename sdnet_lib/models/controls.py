"""Controls: COVID-SDNet without its generators.

Everything else stays: pairs of twins, a network of four classes, the fusion, the optimiser's steps. What
these rows reach is not owed to what generators learn. The other controls need no code of their own: `sdnet`
with another decision, `cnn` with as many steps, and FuCiTNet's own decision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdnet_lib.config import Profile
from sdnet_lib.models import classifier, fusion
from sdnet_lib.models.sdnet import Sdnet, fit_twins
from sdnet_lib.models.task import Task

TINT = 0.1  # on a scale where black is zero and white is one
RED, BLUE = 0, 2  # channels


class Tint(nn.Module):
    """Add `TINT` to one channel: the same for every image, and nothing of it is learned."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        colour = torch.zeros(1, 3, 1, 1)
        colour[0, channel] = TINT
        self.register_buffer("colour", colour, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return images (n, 3, height, width), tinted."""
        return x + self.colour


def makers(kind: str) -> tuple[nn.Module, nn.Module]:
    """Return what makes x+ and what makes x-: ``tints`` (a red and a blue one) or ``copies`` of the image."""
    return {"tints": (Tint(RED), Tint(BLUE)), "copies": (nn.Identity(), nn.Identity())}[kind]


def fit(task: Task, kind: str) -> tuple[Sdnet, dict]:
    """Train COVID-SDNet's network of four classes on twins that no generator made; see `makers`."""
    predictor, notes = fit_twins(task, *makers(kind))
    return predictor, notes | {"twins": kind}


def build(profile: Profile, kind: str) -> Sdnet:
    """Return an untrained one."""
    return Sdnet(*makers(kind), *classifier.network(profile.backbone, "none", len(fusion.CLASSES)))
