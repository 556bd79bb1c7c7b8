from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import covidnet_network
from sdnet_lib.models.registry import APPROACHES
from tests.models.baselines.eight_images import size

# Parameters with and without those of batch normalisation, and multiply-adds in thousand millions.
SIZES = {
    "small": (116_281_155, 116_211_587, 2.27),
    "large": (119_053_891, 118_984_323, 3.55),
    "a": (31_591_251, 31_495_443, 23.9),
    "b": (12_473_155, 12_403_587, 9.9),
    "c": (8_044_195, 7_994_307, 6.1),
}


@pytest.mark.parametrize("variant", SIZES)
def test_each_variant_has_its_size_and_cost_near_those_of_the_release(variant):
    chosen = covidnet_network.VARIANTS[variant]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = covidnet_network.network(variant, 3, chosen.image_size)
        network(torch.zeros(1, 3, chosen.image_size, chosen.image_size))
    normalisation = sum(size(layer) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    macs = counter.get_total_flops() / 2e9
    assert (size(network), size(network) - normalisation) == SIZES[variant][:2]
    assert macs == pytest.approx(SIZES[variant][2], rel=0.01)
    assert size(network) / 1e6 == pytest.approx(chosen.parameters, rel=0.25)
    assert macs == pytest.approx(chosen.macs, rel=0.35)


def test_the_registry_feeds_each_what_its_release_saw():
    for approach in APPROACHES.values():
        if variant := approach.options.get("variant"):
            assert approach.image_size == covidnet_network.VARIANTS[variant].image_size


def test_an_open_reimplementation_s_sizes_follow_from_a_narrower_head():
    """Its 115,422,083 and 118,194,819 parameters have 256 units in the second dense layer, ours 1024."""
    wider = (1024 * 1024 + 1024 + 1024 * 3 + 3) - (1024 * 256 + 256 + 256 * 3 + 3)
    assert (SIZES["small"][1] - wider, SIZES["large"][1] - wider) == (115_422_083, 118_194_819)


@pytest.mark.parametrize("image_size", [31, 50])
def test_any_size_from_31_will_do(image_size):
    with torch.device("meta"):
        for variant in covidnet_network.VARIANTS:
            network = covidnet_network.network(variant, 2, image_size).eval()
            assert network(torch.zeros(1, 3, image_size, image_size)).shape == (1, 2)
    with pytest.raises(InputError, match="30 pixels are too few"):
        covidnet_network.network("c", 3, 30)


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError, match="'d': choose one of small, large, a, b, c"):
        covidnet_network.network("d", 3, 224)


@pytest.mark.parametrize("variant", ["a", "large"])
def test_modules_are_wired_as_in_the_figure(variant):
    """Each input, written out as the sum that the figure has."""
    network = covidnet_network.network(variant, 3, 32).eval()
    seen, given = {}, {}
    names = {module: (s, j) for s, stage in enumerate(network.stages) for j, module in enumerate(stage)}
    names |= {module: (s, "S") for s, module in enumerate(network.shortcuts)} | {network.head: "head"}

    def note(module, entered, left):
        seen[names[module]], given[names[module]] = entered[0], left

    for module in names:
        module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    pool = partial(nn.functional.max_pool2d, kernel_size=2)
    for s, modules in enumerate((3, 4, 6, 3)):
        if s:
            before = [given[s - 1, j] for j in [*range((3, 4, 6)[s - 1]), "S"]]
            assert torch.allclose(seen[s, 0], sum(map(pool, before)), atol=1e-4)
            assert torch.allclose(seen[s, "S"], sum(before), atol=1e-4)
        for j in range(1, modules):
            own = sum(given[s, k] for k in range(j)) + given[s, "S"]
            assert torch.allclose(seen[s, j], own, atol=1e-4)
    assert torch.equal(seen[0, 0], seen[0, "S"])
    assert torch.allclose(seen["head"], sum(given[3, j] for j in [0, 1, 2, "S"]), atol=1e-4)


def test_shortcuts_are_pooled_before_or_after_their_convolution_and_the_first_not_at_all():
    kinds = {}
    for variant in ("small", "large", "a"):
        with torch.device("meta"):
            shortcuts = covidnet_network.network(variant, 3, 224).shortcuts
        kinds[variant] = [[type(step).__name__ for step in shortcut.children()] for shortcut in shortcuts]
    assert kinds["small"] == []
    assert kinds["large"] == [[], *[["Conv2d", "MaxPool2d"]] * 3]
    assert kinds["a"] == [[], *[["MaxPool2d", "Conv2d"]] * 3]
