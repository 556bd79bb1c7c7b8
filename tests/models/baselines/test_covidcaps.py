import numpy as np
import pandas as pd
import pytest
import torch

from sdnet_lib.data import images
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.models.baselines import covidcaps
from sdnet_lib.models.baselines.covidcaps_network import network
from tests.models.baselines.eight_images import learn


def test_the_margin_loss_by_hand():
    lengths = torch.tensor([[0.95, 0.05], [0.4, 0.5]])
    loss = covidcaps.MarginLoss()
    assert loss(lengths, torch.tensor([0, 0])) == pytest.approx((0 + 0.25 + 0.5 * 0.16) / 2)
    assert loss(lengths, torch.tensor([1, 1])) == pytest.approx(
        (0.85**2 + 0.5 * 0.85**2 + 0.16 + 0.5 * 0.09) / 2
    )


def test_lengths_become_probabilities_without_a_change_of_decision():
    lengths = torch.rand(20, 5)
    loss = covidcaps.MarginLoss()
    probabilities = loss.activation(lengths)
    assert torch.allclose(probabilities.sum(1), torch.ones(20))
    assert torch.equal(probabilities.argmax(1), loss.decodes(lengths))


def test_it_learns_eight_images():
    """With larger capsule weights: on images as small as these the lengths of the published start vanish."""
    torch.manual_seed(0)
    capsules = network(20)
    with torch.no_grad():
        for layer in (capsules.first, capsules.second, capsules.last):
            layer.kernel *= 6
    learn(capsules, covidcaps.CONFIG, image_size=20, most=150)


def test_images_are_squeezed_without_antialiasing(tmp_path):
    stripes = np.tile([0.0, 1.0, 1.0, 0.0], (30, 10))
    images.write_gray(tmp_path / "stripes.png", stripes)
    pixels = read_pixels(pd.DataFrame({"file": [tmp_path / "stripes.png"]}), 10, covidcaps.prepare)
    assert pixels.shape == (1, 10, 10) and pixels.dtype == np.uint8
    assert (pixels == 255).all()  # the two pixels in the middle of four, not the mean of all
