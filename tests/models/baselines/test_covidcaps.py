import numpy as np
import pandas as pd
import pytest
import torch

from sdnet_lib.data import images
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import covidcaps
from tests.models.baselines.eight_images import learn, size


@pytest.mark.parametrize(("classes", "parameters"), [(2, 295_488), (5, 295_872)])
def test_it_has_the_published_size(classes, parameters):
    network = covidcaps.network(classes)
    still = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
    assert (size(network) + still, still) == (parameters, 128)


def test_the_maps_have_the_published_sizes():
    network, sides = covidcaps.network(), []
    for layer in network.features:
        layer.register_forward_hook(lambda _, x, y: sides.append(y.shape[1:3]))
    with torch.no_grad():
        assert network(torch.rand(1, 3, 224, 224)).shape == (1, 2)
    assert list(dict.fromkeys(map(tuple, sides))) == [(64, 222), (64, 220), (64, 110), (128, 108), (128, 106)]


def test_the_smallest_image_has_14_pixels():
    assert covidcaps.network(2, 14)(torch.rand(2, 3, 14, 14)).shape == (2, 2)
    with pytest.raises(InputError, match="14 pixels or more, not of 13"):
        covidcaps.network(2, 13)


def test_squash_shortens_and_keeps_the_direction():
    vectors = torch.tensor([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]], dtype=torch.float64)
    squashed = covidcaps.squash(vectors)
    assert squashed.norm(dim=1).tolist() == pytest.approx([25 / 26, 0.0025 / 1.0025, 0], rel=1e-3)
    assert torch.allclose(squashed[0] / squashed[0].norm(), vectors[0] / 5)


@pytest.mark.parametrize("capsules", [1, 50])
def test_the_short_form_of_routing_is_the_plain_one(capsules):
    torch.manual_seed(0)
    inputs = torch.randn(3, capsules, 16, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(16, 7, 8, dtype=torch.float64, requires_grad=True)
    outputs = [form(inputs, kernel) for form in (covidcaps.route, covidcaps.route_plainly)]
    assert (outputs[0] - outputs[1]).abs().max() < 1e-12
    gradients = [torch.autograd.grad(output.sum(), (inputs, kernel)) for output in outputs]
    assert all((short - plain).abs().max() < 1e-11 for short, plain in zip(*gradients, strict=True))


def test_capsules_do_not_fall_into_half_precision():
    layer = covidcaps.Capsules(4, 3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.rand(1, 5, 4).bfloat16()).dtype == torch.float32


def test_a_capsule_of_length_zero_has_a_gradient():
    network = covidcaps.network(2, 16)
    with torch.no_grad():
        network.last.kernel.zero_()
    lengths = network(torch.rand(2, 3, 16, 16))
    lengths.sum().backward()
    assert lengths.max() < 1.1e-4
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


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
    network = covidcaps.network(2, 20)
    with torch.no_grad():
        for layer in (network.first, network.second, network.last):
            layer.kernel *= 6
    learn(network, covidcaps.RECIPE, image_size=20, most=150)


def test_fine_tuning_leaves_the_convolutions():
    network = covidcaps.freeze(covidcaps.network())
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"features.2.weight", "features.2.bias", "first.kernel", "second.kernel", "last.kernel"}


def test_images_are_squeezed_without_antialiasing(tmp_path):
    stripes = np.tile([0.0, 1.0, 1.0, 0.0], (30, 10))
    images.write_gray(tmp_path / "stripes.png", stripes)
    pixels = covidcaps.read_pixels(pd.DataFrame({"file": [tmp_path / "stripes.png"]}), 10)
    assert pixels.shape == (1, 10, 10) and pixels.dtype == np.uint8
    assert (pixels == 255).all()  # the two pixels in the middle of four, not the mean of all
