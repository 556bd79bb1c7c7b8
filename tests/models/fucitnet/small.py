"""Small networks and images on which FuCiTNet trains in seconds."""

import numpy as np
import requests
import torch
from torch import nn

from sdnet_lib.config import LITE0, Profile
from sdnet_lib.models import training_config
from sdnet_lib.models.backbones import Backbone, load_backbone
from sdnet_lib.models.fucitnet import generators, networks, training, twins

TINY = Profile(
    "tiny", 20, 32, 32, 4, 1, 5, 1, 2, LITE0, generator_epochs=2, lambdas=(0.1,), generator_backbone="small"
)
TRAIN, VALID = list(range(8)), list(range(8, 12))


class Body(nn.Module):
    """A backbone with the names of a ResNet's parts."""

    head_hidden_size = 8

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8)
        self.layer1, self.layer2 = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.layer3 = nn.Conv2d(8, 8, 3)

    def forward(self, x):
        x = self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()).relu()).relu()
        return self.layer3(x).relu().mean((2, 3))


def make_all_small(monkeypatch):
    """Generators of 8 maps, a backbone and features of a few layers, no download: seconds, not minutes."""

    def no_connection(*_args, **_options):
        raise requests.ConnectionError("Name or service not known")

    def small_backbone(name: str, weights: str) -> Backbone:
        return Backbone(Body(), (0.5,) * 3, (0.25,) * 3) if name == "small" else load_backbone(name, weights)

    def features(normalise: bool, weights: str) -> tuple[nn.Module, str]:
        torch.manual_seed(5)
        return nn.Conv2d(3, 4, 3, stride=2).requires_grad_(False).eval(), f"one layer, normalise={normalise}"

    monkeypatch.setattr(requests, "head", no_connection)
    monkeypatch.setattr(generators, "MAPS", 8)
    monkeypatch.setattr(training_config, "LEAST", 1)  # several batches of few images
    monkeypatch.setattr(networks, "load_backbone", small_backbone)
    monkeypatch.setattr(training, "available_weights", lambda name, wanted: "imagenet")
    monkeypatch.setattr(training, "perceptual_network", features)
    torch.set_num_threads(1)


def fit(data: tuple[np.ndarray, np.ndarray], profile: Profile = TINY, **options) -> twins.Fitted:
    return training.fit(*data, TRAIN, VALID, profile=profile, **options)


def same(a: twins.Fitted, b: twins.Fitted) -> bool:
    """Whether all networks of both have the same weights."""
    return all(
        torch.equal(tensor, getattr(b, name).state_dict()[key])
        for name in twins.NETWORKS
        for key, tensor in getattr(a, name).state_dict().items()
    )


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
