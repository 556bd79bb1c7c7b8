import pytest
import torch
from scipy.stats import kstest
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.fucitnet import generators
from tests.models.fucitnet.small import count


@pytest.mark.parametrize("variant", generators.VARIANTS)
def test_a_generator_has_the_published_size_and_names(monkeypatch, variant):
    monkeypatch.setattr(generators, "MAPS", 64)
    network = generators.generator(variant)
    assert count(network) == 387_913
    parts = [count(part) for part in network]
    assert parts == [15_617, *[74_113] * 5, 1_731]
    names = network.state_dict()
    assert {"block1.0.weight", "block1.1.weight", "block2.bn2.running_var", "block7.bias"} <= set(names)
    assert {name.split(".")[0] for name in names} == {f"block{number}" for number in range(1, 8)}


@pytest.mark.parametrize("variant", generators.VARIANTS)
def test_any_size_of_image_keeps_its_size(variant):
    assert generators.generator(variant)(torch.rand(2, 3, 33, 47)).shape == (2, 3, 33, 47)


def test_the_paper_s_variant_starts_at_the_identity_and_can_leave_it():
    network, x = generators.generator(), torch.rand(2, 3, 20, 20)
    assert torch.equal(network(x), x) and torch.equal(network.eval()(x), x)
    network.train()(x).square().mean().backward()
    gradients = {name: p.grad.abs().max() for name, p in network.named_parameters()}
    assert gradients["block7.weight"] > 0 and gradients["block4.bn2.weight"] > 0
    assert not torch.allclose(generators.generator("code")(x), x, atol=0.1)


def test_the_authors_variant_normalises_each_image_by_itself_in_training():
    network, x = generators.generator("code"), torch.rand(3, 3, 20, 20)
    together, alone = network(x), torch.cat([network(image[None]) for image in x])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(network.eval()(x), together, atol=1e-3)


def test_only_the_authors_variant_draws_its_scales_from_zero_to_one(monkeypatch):
    monkeypatch.setattr(generators, "MAPS", 64)
    torch.manual_seed(0)
    scales, shifts = {}, {}
    for variant in generators.VARIANTS:
        norms = [m for m in generators.generator(variant).modules() if isinstance(m, nn.BatchNorm2d)]
        scales[variant] = torch.cat([norm.weight.detach() for norm in norms])
        shifts[variant] = torch.cat([norm.bias.detach() for norm in norms])
    assert kstest(scales["code"], "uniform").pvalue > 0.05
    assert scales["paper"].unique().tolist() == [0, 1]  # 0 where the image passes through
    assert not shifts["code"].any() and not shifts["paper"].any()


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError, match="unknown variant 'best': choose one of paper, code"):
        generators.generator("best")


def test_the_way_back_through_a_prelu_is_torch_s():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    x[0, 0, 0] = 0.0
    gradients = []
    for kind in (generators.PReLU, nn.PReLU):
        network, given = kind(init=0.3), x.clone(memory_format=torch.preserve_format).requires_grad_()
        network(given).pow(3).sum().backward()
        gradients.append((given.grad, network.weight.grad))
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.allclose(gradients[0][1], gradients[1][1], rtol=1e-5)
