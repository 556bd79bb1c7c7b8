import numpy as np
import pytest
import torch
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import deepcovidexplainer as explainer
from tests.models.baselines.eight_images import learn, size

DISAGREEING = np.array(  # three members, two images, three classes
    [
        [[0.98, 0.01, 0.01], [0.2, 0.3, 0.5]],
        [[0.1, 0.5, 0.4], [0.2, 0.3, 0.5]],
        [[0.1, 0.5, 0.4], [0.4, 0.3, 0.3]],
    ]
)


def test_the_vgg_has_the_published_size():
    assert size(explainer.vgg19(4)) == 487_874
    linear = [layer for layer in explainer.vgg19(4) if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [784, 512, 128]


def test_the_densenet_has_the_published_size():
    network = explainer.densenet161(4)
    still = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
    assert size(network) + still == 1_727_268  # as Keras counts
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 160  # and a dense layer


@pytest.mark.parametrize("build", [explainer.vgg19, explainer.densenet161])
def test_any_side_from_32_will_do(build):
    for image_size in (32, 50):
        assert build(2, image_size)(torch.rand(2, 3, image_size, image_size)).shape == (2, 2)
    with pytest.raises(InputError, match="31 pixels are too few"):
        build(2, 31)


@pytest.mark.parametrize("name", explainer.MEMBERS)
def test_each_member_learns_eight_images(name):
    build, recipe = explainer.MEMBERS[name]
    torch.manual_seed(0)
    learn(build(2, 32), recipe, most=200)


def test_the_recipe_is_the_notebooks():
    recipe = explainer.RECIPE
    assert (recipe.rate, recipe.batch, recipe.epochs, recipe.keep) == (0.01, 32, 50, "last")
    (group,) = recipe.optimiser([nn.Parameter(torch.zeros(1))], lr=0.01).hypers
    assert (group["mom"], group["nesterov"]) == (0.95, True)


def test_the_average_decides_by_the_mean():
    average = explainer.average(DISAGREEING)
    assert average[0] == pytest.approx([1.18 / 3, 1.01 / 3, 0.81 / 3])
    assert average.argmax(1).tolist() == [0, 2]


def test_the_maximum_lets_the_surest_member_decide():
    largest = explainer.maximum(DISAGREEING)
    assert largest[1] == pytest.approx(np.array([0.4, 0.3, 0.5]) / 1.2)
    assert largest.argmax(1).tolist() == [0, 2]


def test_the_majority_counts_votes_and_gives_a_tie_to_the_first_class():
    votes = explainer.majority(DISAGREEING)
    assert votes == pytest.approx(np.array([[1 / 3, 2 / 3, 0], [1 / 3, 0, 2 / 3]]))
    assert explainer.majority(DISAGREEING[[0, 2]]).argmax(1).tolist() == [0, 0]
