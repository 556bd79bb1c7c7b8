import pytest
from torch import nn

from sdnet_lib.explain import layers
from sdnet_lib.models import predictors, registry
from sdnet_lib.models.classifier import network

STAGES = {
    "tf_efficientnet_lite0": ("0.blocks.4", "0.bn2"),
    "resnet18": ("0.layer3", "0.layer4"),
    "resnet50": ("0.layer3", "0.layer4"),
    "densenet121": ("0.features.denseblock3", "0.features"),
    "mobilenet_v2": ("0.features.13", "0.features"),
}


@pytest.mark.parametrize(("backbone", "fine", "last"), [(name, *pair) for name, pair in STAGES.items()])
@pytest.mark.parametrize("image_size", [64, 96])
def test_the_layer_of_a_backbone(backbone, fine, last, image_size):
    predictor = predictors.Single(*network(backbone, "none", 2, image_size))
    cells = layers.cells(predictor, image_size)
    assert layers.fine(predictor, image_size) == fine and cells[fine] == image_size // 16
    assert layers.last(predictor, image_size) == last and cells[last] == image_size // 32


def test_layers_are_named_in_the_order_in_which_they_end():
    found = list(layers.cells(predictors.Single(*network("resnet18", "none", 2, 64)), 64))
    assert (
        found[-1] == "0.layer4"
        and found.index("0.layer3.1.bn2") < found.index("0.layer3")
        and "1" not in found
    )


@pytest.mark.parametrize("name", ["covid-sdnet", "fucitnet", "darkcovidnet", "covidnet-b", "mobilenet"])
def test_each_system_has_a_layer_with_cells_of_16_pixels_at_most(name):
    from sdnet_lib.config import get_profile

    predictor = registry.find(name).build(get_profile("smoke"))
    assert layers.cells(predictor, 64)[layers.fine(predictor, 64)] * layers.CELL >= 64


def test_a_network_whose_pictures_are_all_coarse_has_its_last():
    coarse = nn.Sequential(nn.Conv2d(3, 2, 32, 32), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    predictor = predictors.Single(coarse)
    assert layers.fine(predictor, 64) == layers.last(predictor, 64) == "1"
