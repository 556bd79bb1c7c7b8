import pytest
import torch
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import load_backbone
from sdnet_lib.models.baselines import mobilenet
from tests.models.baselines.eight_images import learn, size


def test_its_size_and_classifier():
    network = mobilenet.network(224, 3, "none")
    assert size(network[0]) == 2_223_872 and size(network) == 4_257_875
    assert [layer.out_features for layer in network[1] if isinstance(layer, nn.Linear)] == [1000, 750, 3]
    assert network(torch.rand(2, 3, 50, 50)).shape == (2, 3)


def test_smaller_images_are_refused():
    with pytest.raises(InputError, match="31 pixels are too few"):
        mobilenet.network(31, 2, "none")


def test_random_layers_are_all_trained_and_the_first_ten_of_imagenet_s_are_not(monkeypatch):
    network = mobilenet.network(224, weights="none")
    assert network.weights == "none" and all(parameter.requires_grad for parameter in network.parameters())
    monkeypatch.setattr(mobilenet, "load_backbone", lambda name, weights: load_backbone(name, "none"))
    network = mobilenet.network(224, weights="imagenet")
    still = [name for name, parameter in network[0].named_parameters() if not parameter.requires_grad]
    assert network.weights == "imagenet"
    assert {name.split(".")[1] for name in still} == {"0", "1"} and len(still) == 9


def test_it_learns_eight_images():
    torch.manual_seed(0)
    learn(mobilenet.network(32, 2, "none"), mobilenet.CONFIG)
