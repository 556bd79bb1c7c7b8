import pytest
import torch
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import deepcovidexplainer as explainer
from tests.models.baselines.eight_images import learn, size


def test_the_vgg_has_the_published_size():
    assert size(explainer.vgg19(224, 4)) == 487_874
    linear = [layer for layer in explainer.vgg19(224, 4) if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [784, 512, 128]


def test_the_densenet_has_the_published_size():
    network = explainer.densenet161(224, 4)
    still = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
    assert size(network) + still == 1_727_268  # as Keras counts
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 160  # and a dense layer


@pytest.mark.parametrize("build", [explainer.vgg19, explainer.densenet161])
def test_any_side_from_32_will_do(build):
    for image_size in (32, 50):
        assert build(image_size)(torch.rand(2, 3, image_size, image_size)).shape == (2, 2)
    with pytest.raises(InputError, match="31 pixels are too few"):
        build(31)


@pytest.mark.parametrize("name", explainer.MEMBERS)
def test_each_member_learns_eight_images(name):
    """One of three starts must: 19 layers without batch normalisation may begin dead, by mere rounding."""
    build, config = explainer.MEMBERS[name]
    failures = []
    for seed in range(3):
        torch.manual_seed(seed)
        try:
            return learn(build(32), config, most=200)
        except AssertionError as error:
            failures.append(error)
    raise failures[0]


def test_the_configuration_is_the_notebooks():
    config = explainer.CONFIG
    assert (config.lr, config.batch, config.epochs, config.keep) == (0.01, 32, 50, "last")
    (group,) = config.optimiser([nn.Parameter(torch.zeros(1))], lr=0.01).hypers
    assert (group["mom"], group["nesterov"]) == (0.95, True)
