import pytest
import torch
from fastai.data.transforms import IntToFloatTensor
from fastai.torch_core import TensorImageBW
from fasttransform import Pipeline
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import darkcovidnet
from tests.models.baselines.eight_images import learn, size

MAPS = [  # after each unit and each pooling, at 256 pixels
    *((8, 256), (8, 128), (16, 128), (16, 64), (32, 64), (16, 66), (32, 66), (32, 33)),
    *((64, 33), (32, 35), (64, 35), (64, 17), (128, 17), (64, 19), (128, 19), (128, 9)),
    *((256, 9), (128, 11), (256, 11), (128, 13), (256, 13)),
]


@pytest.mark.parametrize(("classes", "parameters"), [(2, 1_164_434), (3, 1_167_586)])
def test_it_has_the_published_size(classes, parameters):
    assert size(darkcovidnet.network(256, classes)) == parameters


def test_the_maps_have_the_published_sizes():
    network, maps = darkcovidnet.network(256, 3), []
    for layer in network:
        layer.register_forward_hook(lambda _, x, y: maps.append(tuple(y.shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 3, 256, 256))
    assert [(channels, image_size) for channels, image_size, _ in maps[:-3]] == MAPS
    assert maps[-3:] == [(3, 13, 13), (507,), (3,)]


@pytest.mark.parametrize("image_size", [8, 37, 64])
def test_any_side_from_8_will_do(image_size):
    assert darkcovidnet.network(image_size)(torch.rand(2, 3, image_size, image_size)).shape == (2, 2)


def test_smaller_images_are_refused():
    with pytest.raises(InputError, match="8 pixels or more, not of 7"):
        darkcovidnet.network(7)


def test_the_last_unit_is_activated_before_it_is_normalised_and_no_convolution_has_a_bias():
    network = darkcovidnet.network(256)
    last = network[-3]
    assert [type(layer) for layer in last] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 17
    assert all(layer.bias is None and layer.padding == (1, 1) for layer in convolutions)
    slopes = {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.1}


def test_it_learns_eight_images():
    learn(darkcovidnet.network(32), darkcovidnet.CONFIG)


def test_the_configuration_is_the_notebooks_and_its_changes_suit_grey_images():
    config = darkcovidnet.CONFIG
    assert (config.lr, config.batch, config.epochs, config.weight_decay) == (3e-3, 32, 100, 0.01)
    assert (config.schedule, config.keep, config.mean, config.std) == ("one-cycle", "last", None, None)
    images = TensorImageBW(torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8))
    changed = Pipeline([IntToFloatTensor(), *config.augment()], split_idx=0)(images)
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
