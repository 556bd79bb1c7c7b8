import numpy as np
import pytest
import torch
from torch import nn

from sdnet_lib.models import backbones
from sdnet_lib.models.fucitnet import generators
from sdnet_lib.models.fucitnet import losses as equation
from sdnet_lib.models.fucitnet.losses import cross_entropies, losses, perceptual_network, total_variation


def flat_classifier() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2)).eval()


def test_without_vgg_frozen_features_of_lite0_take_its_place_and_say_so():
    network, name = perceptual_network()
    assert name == "tf_efficientnet_lite0 imagenet (VGG-16 could not be had)"
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 112, 4, 4)
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_vgg_s_features_are_all_31_layers(monkeypatch):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*(nn.Identity() for _ in range(31)))

    small = backbones.Backbone(Small(), (0.5,) * 3, (0.25,) * 3)
    monkeypatch.setattr(equation, "load_backbone", lambda name: small)
    network, name = perceptual_network()
    assert name == "vgg16 imagenet" and len(network[1]) == 31
    assert torch.equal(network(torch.full((1, 3, 2, 2), 0.75)), torch.ones(1, 3, 2, 2))
    assert torch.equal(perceptual_network(normalise=False)[0](torch.ones(1, 3, 2, 2)).unique(), torch.ones(1))


def test_the_loss_by_hand():
    x = torch.full((2, 3, 4, 4), 0.5)
    made = torch.stack([x + 0.1, x - 0.2])
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2, bias=False))
    classifier[2].weight.data = torch.tensor([[1.0, 0, 0], [0, 3.0, 0]])  # N sees red, P thrice the green
    terms = losses(made, x, torch.tensor([0, 1]), classifier, nn.AvgPool2d(4, divisor_override=1), 0.5)
    assert torch.allclose(terms.mse, torch.tensor([0.01, 0.04]))
    assert torch.allclose(terms.perceptual, torch.tensor([1.6**2, 3.2**2]))  # sums over 16 pixels
    expected = torch.tensor([np.log(1 + np.exp(1.8 - 0.6)), np.log(1 + np.exp(0.3 - 0.9))]).float()
    assert torch.allclose(terms.cross_entropy, expected)
    total = terms.mse + 0.006 * terms.perceptual + 0.5 * terms.cross_entropy
    assert torch.allclose(terms.total, total)


def test_the_cross_entropy_of_a_generator_is_that_of_its_own_images_of_its_class():
    logits, targets = torch.randn(2, 5, 2, requires_grad=True), torch.tensor([0, 1, 1, 0, 1])
    value = cross_entropies(logits, targets)
    for k in (0, 1):
        chosen = logits[k][targets == k]
        expected = nn.functional.cross_entropy(chosen, torch.full((len(chosen),), k))
        assert torch.allclose(value[k], expected)
    value.sum().backward()
    touched = logits.grad.abs().sum(2) > 0
    assert torch.equal(touched, torch.stack([targets == 0, targets == 1]))


@pytest.mark.parametrize("variant", generators.VARIANTS)
def test_a_class_that_the_batch_lacks_costs_nothing(variant):
    logits = torch.randn(2, 3, 2, requires_grad=True)
    value = cross_entropies(logits, torch.zeros(3, dtype=torch.long), variant)
    assert value[1] == 0 and value[0] > 0
    value[1].backward(retain_graph=True)
    assert not logits.grad.any()
    value[0].backward()
    assert torch.isfinite(logits.grad).all()


def test_the_authors_variant_averages_over_all_generators_so_that_lambda_counts_half():
    logits, targets = torch.randn(2, 6, 2, requires_grad=True), torch.tensor([0, 0, 1, 1, 1, 0])
    value = cross_entropies(logits, targets, "code")
    for k in (0, 1):
        both = logits[:, targets == k].flatten(0, 1)
        assert torch.allclose(value[k], nn.functional.cross_entropy(both, torch.full((len(both),), k)))
    for k in (0, 1):  # by what generator k itself made
        code = torch.autograd.grad(value[k], logits, retain_graph=True)[0][k]
        paper = torch.autograd.grad(cross_entropies(logits, targets)[k], logits)[0][k]
        assert torch.allclose(2 * code, paper)


def test_only_the_authors_variant_has_total_variation():
    x = torch.zeros(1, 3, 3, 3)
    stripes = torch.stack([x, x])
    stripes[1, ..., 1] = 2.0  # across: 4 squared steps out of 6 places... all of size 2
    assert total_variation(stripes).tolist() == [0, 8]  # 2 x the mean of 4
    classifier = flat_classifier()
    with torch.no_grad():
        classifier(torch.zeros(1, 3, 3, 3))
        terms = [
            losses(stripes, x, torch.tensor([0]), classifier, nn.Identity(), 0.0, variant)
            for variant in generators.VARIANTS
        ]
    extra = (terms[1].total - terms[0].total).double()
    assert extra[0] == 0 and 0 <= extra[1] <= 1e-6
    assert terms[1].mse.equal(terms[0].mse)


def test_one_backward_pass_gives_the_gradients_of_separate_ones():
    torch.manual_seed(0)
    networks = nn.ModuleList(generators.generator() for _ in range(2))
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 1, 0])
    classifier, features = flat_classifier(), nn.Conv2d(3, 2, 3)
    classifier(x)

    def gradients(separately: bool) -> list[torch.Tensor]:
        made = torch.stack([network(x) for network in networks])
        total = losses(made, x, y, classifier, features, 0.3).total
        if not separately:
            return torch.autograd.grad(total.sum(), list(networks.parameters()))
        return [
            gradient
            for k in (0, 1)
            for gradient in torch.autograd.grad(total[k], list(networks[k].parameters()), retain_graph=True)
        ]

    for one, other in zip(gradients(False), gradients(True), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_the_features_of_the_images_are_computed_once_and_without_a_graph():
    calls = []

    def features(images):
        calls.append((len(images), images.requires_grad))
        return images

    x = torch.rand(3, 3, 8, 8)
    made = torch.stack([x, x]).requires_grad_()
    classifier = flat_classifier()
    classifier(x)
    losses(made, x, torch.tensor([0, 1, 0]), classifier, features, 1.0)
    assert sorted(calls) == [(3, False), (6, True)]
