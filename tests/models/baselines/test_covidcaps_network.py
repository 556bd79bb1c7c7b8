import pytest
import torch

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import covidcaps_network
from tests.models.baselines.eight_images import size


def route_plainly(inputs: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Route capsules by agreement, as it is defined."""
    predictions = torch.einsum("nid,dke->nkie", inputs, kernel)
    logits = torch.zeros_like(predictions[..., 0])
    for _ in range(covidcaps_network.ROUNDS):
        outputs = covidcaps_network.squash((logits.softmax(1)[..., None] * predictions).sum(2))
        logits = torch.einsum("nke,nkie->nki", outputs, predictions)
    return outputs


@pytest.mark.parametrize(("classes", "parameters"), [(2, 295_488), (5, 295_872)])
def test_it_has_the_published_size(classes, parameters):
    network = covidcaps_network.network(224, classes)
    still = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
    assert (size(network) + still, still) == (parameters, 128)


def test_the_maps_have_the_published_sizes():
    network, sizes = covidcaps_network.network(224), []
    for layer in network.features:
        layer.register_forward_hook(lambda _, x, y: sizes.append(y.shape[1:3]))
    with torch.no_grad():
        assert network(torch.rand(1, 3, 224, 224)).shape == (1, 2)
    assert list(dict.fromkeys(map(tuple, sizes))) == [(64, 222), (64, 220), (64, 110), (128, 108), (128, 106)]


def test_the_smallest_image_has_14_pixels():
    assert covidcaps_network.network(14)(torch.rand(2, 3, 14, 14)).shape == (2, 2)
    with pytest.raises(InputError, match="14 pixels or more, not of 13"):
        covidcaps_network.network(13)


def test_squash_shortens_and_keeps_the_direction():
    vectors = torch.tensor([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]], dtype=torch.float64)
    squashed = covidcaps_network.squash(vectors)
    assert squashed.norm(dim=1).tolist() == pytest.approx([25 / 26, 0.0025 / 1.0025, 0], rel=1e-3)
    assert torch.allclose(squashed[0] / squashed[0].norm(), vectors[0] / 5)


@pytest.mark.parametrize("capsules", [1, 50])
def test_the_short_form_of_routing_is_the_plain_one(capsules):
    torch.manual_seed(0)
    inputs = torch.randn(3, capsules, 16, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(16, 7, 8, dtype=torch.float64, requires_grad=True)
    outputs = [form(inputs, kernel) for form in (covidcaps_network.route, route_plainly)]
    assert (outputs[0] - outputs[1]).abs().max() < 1e-12
    gradients = [torch.autograd.grad(output.sum(), (inputs, kernel)) for output in outputs]
    assert all((short - plain).abs().max() < 1e-11 for short, plain in zip(*gradients, strict=True))


def test_capsules_do_not_fall_into_half_precision():
    layer = covidcaps_network.Capsules(4, 3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.rand(1, 5, 4).bfloat16()).dtype == torch.float32


def test_a_capsule_of_length_zero_has_a_gradient():
    network = covidcaps_network.network(16)
    with torch.no_grad():
        network.last.kernel.zero_()
    lengths = network(torch.rand(2, 3, 16, 16))
    lengths.sum().backward()
    assert lengths.max() < 1.1e-4
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
