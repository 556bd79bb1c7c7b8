import copy
import dataclasses
import random
import urllib.error

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.data import images
from sdnet_lib.data.cohort import complete, read_cohort
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import LITE0, trunk
from sdnet_lib.models.fucitnet import checkpoints, generators, training, transform, twins
from sdnet_lib.models.fucitnet.losses import cross_entropies, losses, total_variation

TINY = Profile(
    "tiny", 20, 32, 32, 4, 1, 5, 1, 2, LITE0, generator_epochs=2, lambdas=(0.1,), generator_backbone="small"
)
THREADS = torch.get_num_threads()
TRAIN, VALID = list(range(8)), list(range(8, 12))


class Body(nn.Module):
    """A trunk with the names of a ResNet's parts."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8)
        self.layer1, self.layer2 = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.layer3 = nn.Conv2d(8, 8, 3)

    def forward(self, x):
        x = self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()).relu()).relu()
        return self.layer3(x).relu().mean((2, 3))


@pytest.fixture(autouse=True)
def small_and_offline(monkeypatch):
    make_all_small(monkeypatch)
    yield
    torch.set_num_threads(THREADS)


def make_all_small(monkeypatch):
    """Generators of 8 maps, a trunk and features of a few layers, no download: seconds, not minutes."""

    def no_connection(*_args, **_options):
        raise urllib.error.URLError("Name or service not known")

    def small_trunk(name: str, weights: str) -> generators.Trunk:
        return generators.Trunk(Body(), (0.5,) * 3, (0.25,) * 3) if name == "small" else trunk(name, weights)

    def features(normalise: bool) -> tuple[nn.Module, str]:
        torch.manual_seed(5)
        return nn.Conv2d(3, 4, 3, stride=2).requires_grad_(False).eval(), f"one layer, normalise={normalise}"

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_connection)
    monkeypatch.setattr(generators, "MAPS", 8)
    monkeypatch.setattr(training, "trunk", small_trunk)
    monkeypatch.setattr(transform, "at_hand", lambda name: "imagenet")
    monkeypatch.setattr(transform, "perceptual_network", features)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """16 noisy squares; the positives have a bright upper half."""
    labels = np.array(["N", "P"] * 8)
    pixels = np.random.default_rng(0).integers(50, 100, (16, 32, 32))
    pixels[labels == "P", :16] += 120
    return pixels.astype(np.uint8), labels


def fit(data, profile=TINY, **options) -> transform.Transform:
    return transform.fit(*data, TRAIN, VALID, profile=profile, **options)


def numbers(fitted: transform.Transform) -> dict[str, torch.Tensor]:
    parts = {name: getattr(fitted, name).state_dict() for name in transform.NETWORKS}
    return {f"{name}.{key}": tensor for name, state in parts.items() for key, tensor in state.items()}


def same(a: transform.Transform, b: transform.Transform) -> bool:
    return all(torch.equal(t, numbers(b)[name]) for name, t in numbers(a).items())


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def flat_classifier() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2)).eval()


# The generator


@pytest.mark.parametrize("way", generators.WAYS)
def test_a_generator_has_the_published_size_and_names(monkeypatch, way):
    monkeypatch.setattr(generators, "MAPS", 64)
    network = generators.generator(way)
    assert count(network) == 387_913
    parts = [count(part) for part in network]
    assert parts == [15_617, *[74_113] * 5, 1_731]
    names = network.state_dict()
    assert {"block1.0.weight", "block1.1.weight", "block2.bn2.running_var", "block7.bias"} <= set(names)
    assert {name.split(".")[0] for name in names} == {f"block{number}" for number in range(1, 8)}


@pytest.mark.parametrize("way", generators.WAYS)
def test_any_size_of_image_keeps_its_size(way):
    assert generators.generator(way)(torch.rand(2, 3, 33, 47)).shape == (2, 3, 33, 47)


def test_the_paper_s_way_starts_at_the_identity_and_can_leave_it():
    network, x = generators.generator(), torch.rand(2, 3, 20, 20)
    assert torch.equal(network(x), x) and torch.equal(network.eval()(x), x)
    network.train()(x).square().mean().backward()
    gradients = {name: p.grad.abs().max() for name, p in network.named_parameters()}
    assert gradients["block7.weight"] > 0 and gradients["block4.bn2.weight"] > 0
    assert not torch.allclose(generators.generator("code")(x), x, atol=0.1)


def test_the_code_s_way_normalises_each_image_by_itself_in_training():
    network, x = generators.generator("code"), torch.rand(3, 3, 20, 20)
    together, alone = network(x), torch.cat([network(image[None]) for image in x])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(network.eval()(x), together, atol=1e-3)


def test_an_unknown_way_is_refused(data):
    with pytest.raises(InputError, match="unknown way 'best': choose one of paper, code"):
        generators.generator("best")
    with pytest.raises(InputError, match="unknown way"):
        fit(data, way="best")


def test_without_vgg_frozen_features_of_lite0_take_its_place_and_say_so():
    network, name = generators.perceptual_network()
    assert name == "tf_efficientnet_lite0 imagenet (VGG-16 could not be had)"
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 112, 4, 4)
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_vgg_s_features_are_all_31_layers(monkeypatch):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*(nn.Identity() for _ in range(31)))

    monkeypatch.setattr(generators, "trunk", lambda name: generators.Trunk(Small(), (0.5,) * 3, (0.25,) * 3))
    network, name = generators.perceptual_network()
    assert name == "vgg16 imagenet" and len(network[1]) == 31
    assert torch.equal(network(torch.full((1, 3, 2, 2), 0.75)), torch.ones(1, 3, 2, 2))
    assert torch.equal(
        generators.perceptual_network(normalise=False)[0](torch.ones(1, 3, 2, 2)).unique(), torch.ones(1)
    )


# The loss


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


@pytest.mark.parametrize("way", generators.WAYS)
def test_a_class_that_the_batch_lacks_costs_nothing(way):
    logits = torch.randn(2, 3, 2, requires_grad=True)
    value = cross_entropies(logits, torch.zeros(3, dtype=torch.long), way)
    assert value[1] == 0 and value[0] > 0
    value.sum().backward()
    assert torch.isfinite(logits.grad).all() and not logits.grad[1].any()


def test_the_code_s_way_averages_over_all_generators_so_that_lambda_counts_half():
    logits, targets = torch.randn(2, 6, 2, requires_grad=True), torch.tensor([0, 0, 1, 1, 1, 0])
    value = cross_entropies(logits, targets, "code")
    for k in (0, 1):
        both = logits[:, targets == k].flatten(0, 1)
        assert torch.allclose(value[k], nn.functional.cross_entropy(both, torch.full((len(both),), k)))
    code = torch.autograd.grad(value.sum(), logits)[0]
    paper = torch.autograd.grad(cross_entropies(logits, targets).sum(), logits)[0]
    assert torch.allclose(2 * code, paper)


def test_only_the_code_s_way_has_total_variation():
    x = torch.zeros(1, 3, 3, 3)
    stripes = torch.stack([x, x])
    stripes[1, ..., 1] = 2.0  # across: 4 squared steps out of 6 places... all of size 2
    assert total_variation(stripes).tolist() == [0, 8]  # 2 x the mean of 4
    classifier = flat_classifier()
    with torch.no_grad():
        classifier(torch.zeros(1, 3, 3, 3))
        terms = [
            losses(stripes, x, torch.tensor([0]), classifier, nn.Identity(), 0.0, way)
            for way in generators.WAYS
        ]
    extra = (terms[1].total - terms[0].total).double()
    assert extra[0] == 0 and 0 <= extra[1] <= 1e-6
    assert terms[1].mse.equal(terms[0].mse)


@pytest.mark.parametrize("way", generators.WAYS)
def test_one_backward_pass_gives_the_gradients_of_separate_ones(way):
    torch.manual_seed(0)
    networks = nn.ModuleList(generators.generator(way) for _ in range(2))
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 1, 0])
    classifier, features = flat_classifier(), nn.Conv2d(3, 2, 3)
    classifier(x)

    def gradients(separately: bool) -> list[torch.Tensor]:
        made = torch.stack([network(x) for network in networks])
        total = losses(made, x, y, classifier, features, 0.3, way).total
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


# Training


@pytest.fixture(scope="module")
def fitted(data) -> transform.Transform:
    with pytest.MonkeyPatch.context() as patch:
        make_all_small(patch)
        return fit(data, dataclasses.replace(TINY, lambdas=(1.0, 0.001)))


def test_origin_and_history_say_what_happened(fitted):
    origin = fitted.origin
    assert origin["perceptual"] == "one layer, normalise=True" and origin["classifier"] == "small imagenet"
    assert [row["lambda"] for row in origin["lambdas_tried"]] == [1.0, 0.001]
    best = min(origin["lambdas_tried"], key=lambda row: row["valid_loss"])
    assert origin["lambda"] == best["lambda"] and origin["way"] == "paper" and origin["seed"] == 0
    assert (origin["side"], origin["images"], origin["epochs"]) == (32, [8, 4], 2)
    assert list(fitted.history["epoch"]) == [1, 2]
    assert list(fitted.history.columns) == checkpoints.COLUMNS
    assert fitted.history.loc[origin["best_epoch"] - 1, "valid_loss"] == fitted.history["valid_loss"].min()


def test_the_terms_of_the_history_add_up(fitted):
    table = fitted.history
    for label in "NP":
        terms = [table[f"{term}_{label}"] for term in ("mse", "perceptual", "cross_entropy")]
        total = terms[0] + 0.006 * terms[1] + fitted.origin["lambda"] * terms[2]
        assert np.allclose(total, table[f"loss_{label}"])


def test_the_last_training_of_a_search_is_the_one_without_a_search(data, fitted):
    alone = dataclasses.replace(TINY, lambdas=(fitted.origin["lambda"],))
    assert same(fit(data, alone), fitted)


def test_both_generators_leave_the_identity_and_each_other_but_images_stay_recognisable(data, fitted):
    made, x = transform.transform(fitted, data[0]).astype(float), data[0][:, None] / 255
    errors = [np.abs(made[:, k] - x).mean() for k in (0, 1)]
    assert min(errors) > 1e-4 and max(errors) < 0.1
    assert np.abs(made[:, 0] - made[:, 1]).mean() > 1e-4


def test_images_outside_both_parts_do_not_matter_and_seeds_do(data):
    other = data[0].copy(), data[1].copy()
    other[0][12:], other[1][12:] = 0, "N"
    one = dataclasses.replace(TINY, generator_epochs=1)
    state = random.getstate(), torch.get_rng_state()
    first = fit(data, one)
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1])
    random.random()
    assert same(first, fit(other, one)) and not same(first, fit(data, one, seed=1))


def test_generators_learn_from_a_classifier_whose_statistics_stand_still(data, monkeypatch):
    modes = []

    def watched(twins, images, targets, classifier, *rest):
        modes.append({module.training for module in classifier.modules()})
        return losses(twins, images, targets, classifier, *rest)

    monkeypatch.setattr(training, "losses", watched)
    fitted = fit(data)
    assert modes == [{False}] * 4  # two epochs of two batches
    assert fitted.classifier[1].bn1.num_batches_tracked == 2 * fitted.origin["best_epoch"]


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best(data, monkeypatch):
    monkeypatch.setattr(training, "GENERATOR_RATE", 0.0)
    monkeypatch.setattr(training, "CLASSIFIER_RATE", 0.5)  # ever worse
    fitted = fit(data, dataclasses.replace(TINY, generator_epochs=9, patience=1))
    best = fitted.origin["best_epoch"]
    assert len(fitted.history) == best + 1 < 9
    logits = torch.log(torch.from_numpy(transform.classify(fitted, data[0][VALID])))
    targets = torch.tensor([0, 1, 0, 1])
    shares = [logits[:, columns].log_softmax(1) for columns in ([0, 1], [2, 3])]
    loss = np.mean([nn.functional.nll_loss(share, targets).item() for share in shares])
    assert loss == pytest.approx(fitted.history["valid_loss"].min(), rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("way", generators.WAYS)
def test_an_interrupted_training_goes_on_and_ends_the_same(data, tmp_path, monkeypatch, way):
    whole = fit(data, way=way)
    write = checkpoints.Keeper._write

    def interrupt(self):
        write(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints.Keeper, "_write", interrupt)
        fit(data, way=way, checkpoint=tmp_path / "run")
    assert [file.name for file in tmp_path.iterdir()] == ["run.lambda-0.1"]
    with pytest.raises(
        InputError, match=r"run\.lambda-0\.1: the checkpoint of other data or settings; delete"
    ):
        fit(data, way=way, seed=1, checkpoint=tmp_path / "run")
    again = fit(data, way=way, checkpoint=tmp_path / "run")
    assert same(whole, again) and whole.history.equals(again.history) and whole.origin == again.origin
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_named(data, tmp_path, content):
    (tmp_path / "run.lambda-0.1").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.lambda-0\.1: not a checkpoint"):
        fit(data, checkpoint=tmp_path / "run")


class Exploit:
    def __reduce__(self):
        return (random.seed, (0,))


def test_a_checkpoint_with_code_is_never_run(data, tmp_path):
    torch.save({"key": Exploit()}, tmp_path / "run.lambda-0.1")
    state = random.getstate()
    with pytest.raises(InputError, match="not a checkpoint"):
        fit(data, checkpoint=tmp_path / "run")
    assert random.getstate() == state


def test_a_loss_that_is_not_a_number_is_reported(data, monkeypatch):
    monkeypatch.setattr(training, "GENERATOR_RATE", 1e30)
    with pytest.raises(InputError, match=r"lambda 0\.1: the validation loss is not a number"):
        fit(data)


def test_the_code_s_way_freezes_early_layers_and_normalises_nothing(data, monkeypatch):
    started, start = [], training.start

    def watched_start(*given):
        started.append(start(*given))
        return copy.deepcopy(started[0])

    monkeypatch.setattr(training, "start", watched_start)
    fitted = fit(data, dataclasses.replace(TINY, generator_epochs=1), way="code")
    before = started[0].classifier.state_dict()
    moved = {
        key.split(".")[1] for key, t in fitted.classifier.state_dict().items() if not t.equal(before[key])
    }
    assert moved == {"bn1", "layer3", "weight", "bias"}  # of bn1 its statistics
    assert torch.equal(fitted.classifier[1].bn1.weight, torch.ones(8))
    assert isinstance(fitted.classifier[0], nn.Identity) and "normalise=False" in fitted.origin["perceptual"]
    assert isinstance(fitted.plus.block2.bn1, generators.PerImageNorm)


def test_the_code_s_rate_falls_every_five_epochs_and_its_classes_are_weighed(data, monkeypatch):
    rates, weights = [], []
    monkeypatch.setattr(training, "GENERATOR_RATE", 0.0)

    class Watch(checkpoints.Keeper):
        def before_train(self):
            rates.append(self.opt.hypers[0]["lr"])
            weights.append(self.loss_func.func.weight.tolist())

    monkeypatch.setattr(training, "Keeper", Watch)
    rows = [0, 2, 4, 1]  # three of N, one of P
    profile = dataclasses.replace(TINY, generator_epochs=6, patience=9)
    transform.fit(*data, rows, VALID, profile=profile, way="code")
    assert np.allclose(rates, [1e-3] * 4 + [1e-4] * 2)
    assert np.allclose(weights[0], [1 / 3, 1])


def test_resnet18_is_frozen_down_to_layer2_and_others_are_refused():
    network = training.classifier_network("resnet18", "none", "code")
    open_ = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad and "." in name}
    assert {"layer3", "layer4"} < open_ and not {"conv1", "bn1", "layer1", "layer2"} & open_
    assert all(p.requires_grad for p in training.classifier_network("resnet18", "none", "paper").parameters())
    with pytest.raises(InputError, match="not of 'densenet121'"):
        training.classifier_network("densenet121", "none", "code")


def test_the_offline_backbone_trains(data):
    fitted = fit(data, dataclasses.replace(TINY, generator_epochs=1, generator_backbone=LITE0))
    assert fitted.origin["classifier"] == "tf_efficientnet_lite0 imagenet" and len(fitted.history) == 1


def test_offline_the_classifier_starts_at_random_and_says_so(data, monkeypatch):
    monkeypatch.setattr(transform, "at_hand", lambda backbone: "none")
    profile = dataclasses.replace(TINY, generator_epochs=1, generator_backbone="resnet18")
    assert (
        fit(data, profile).origin["classifier"].startswith("resnet18 random (its ImageNet weights could not")
    )


def test_training_is_silent_and_leaves_no_files(data, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    fit(data, dataclasses.replace(TINY, generator_epochs=1, lambdas=(1.0, 0.1)))
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_what_cannot_be_trained_is_refused(data):
    pixels, labels = data
    with pytest.raises(InputError, match="validation part has no image of class N"):
        transform.fit(pixels, labels, TRAIN, [9, 11], profile=TINY)
    with pytest.raises(InputError, match="training part has no image of class N"):
        transform.fit(pixels, labels, [], VALID, profile=TINY)
    with pytest.raises(InputError, match="label 'Q' is not one of N, P"):
        transform.fit(pixels, np.where(np.arange(16) == 3, "Q", labels), TRAIN, VALID, profile=TINY)
    with pytest.raises(InputError, match="float64 of shape"):
        transform.fit(pixels / 255, labels, TRAIN, VALID, profile=TINY)
    with pytest.raises(InputError, match="16 x 16, 32 is the least"):
        transform.fit(pixels[:, :16, :16], labels, TRAIN, VALID, profile=TINY)
    with pytest.raises(InputError, match="15 labels for 16 images"):
        transform.fit(pixels, labels[1:], TRAIN, VALID, profile=TINY)


def test_the_networks_of_a_profile_can_be_counted_without_memory(monkeypatch):
    monkeypatch.setattr(generators, "MAPS", 64)
    with torch.device("meta"):
        sizes = [
            count(network)
            for network in transform.networks(dataclasses.replace(TINY, generator_backbone="resnet18"))
        ]
    assert sizes == [387_913, 387_913, 11_177_538]


# What comes of it


class Shift(nn.Module):
    def __init__(self, by: float):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x + self.by


def simple(classifier: nn.Module | None = None) -> transform.Transform:
    """G_P brightens, G_N darkens."""
    return transform.Transform(
        Shift(0.5), Shift(-0.5), classifier or nn.Identity(), pd.DataFrame(), {"side": 32}
    )


def test_twins_come_plus_first_clamped_and_in_half_precision():
    pixels = np.array([0, 102, 255], np.uint8)[:, None, None] * np.ones((1, 5, 5), np.uint8)
    made = transform.transform(simple(), pixels, batch=2)
    assert made.shape == (3, 2, 3, 5, 5) and made.dtype == np.float16
    assert np.allclose(made[..., 0, 0, 0], [[0.5, 0], [0.9, 0], [1, 0.5]], atol=1e-3)
    assert transform.transform(simple(), pixels[:0]).shape == (0, 2, 3, 5, 5)


def test_the_decision_is_that_of_the_largest_answer_modulo_two():
    torch.manual_seed(0)
    fitted = simple(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)))
    pixels = np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)
    answers = transform.classify(fitted, pixels, batch=64)
    assert answers.shape == (300, 4) and np.allclose(answers.sum(1), 1)
    x = torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1) / 255
    with torch.no_grad():
        logits = torch.cat([fitted.classifier(network(x)) for network in (fitted.minus, fitted.plus)], 1)
    assert np.allclose(answers, logits.softmax(1), atol=1e-6)
    decision = logits.argmax(1).numpy() % 2
    assert np.array_equal(transform.fused(answers) > 0.5, decision == 1) and 0 < decision.sum() < 300


def test_a_saved_transform_comes_back_the_same(data, fitted, tmp_path):
    transform.save(fitted, tmp_path / "new" / "fit.safetensors")
    loaded = transform.load(tmp_path / "new" / "fit.safetensors")
    assert same(fitted, loaded) and loaded.origin == fitted.origin and loaded.history.equals(fitted.history)
    assert np.array_equal(transform.classify(fitted, data[0]), transform.classify(loaded, data[0]))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["fit.safetensors"]


def test_a_damaged_file_is_named(fitted, tmp_path):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("gone", "cut", "other", "few")}
    transform.save(fitted, files["cut"])
    few = {name: t for name, t in load_file(files["cut"]).items() if "block7" not in name}
    save_file(
        few,
        files["few"],
        {"origin": '{"backbone": "small", "way": "paper"}', "history": "[]"},
    )
    files["cut"].write_bytes(files["cut"].read_bytes()[:9_000])
    save_file({"a": torch.zeros(1)}, files["other"])
    for name, file in files.items():
        with pytest.raises(
            InputError, match=rf"{name}\.safetensors: not the networks of FuCiTNet, or damaged"
        ):
            transform.load(file)


@pytest.fixture
def cohort(tmp_path) -> pd.DataFrame:
    """Three images; the second is not one."""
    gradient = np.tile(np.linspace(0.2, 0.4, 40), (60, 1))
    rows = []
    for name, label in (("a/1", "N"), ("b", "P"), ("c", "P")):
        file = tmp_path / "in" / f"{name[0]}.png"
        images.write_gray(file, gradient + 0.2 * (label == "P"))
        rows.append(
            {"image_id": name, "file": str(file), "label": label, "severity": "Mild" * (label == "P")}
        )
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    return complete(pd.DataFrame(rows), "test")


def test_a_stream_reports_what_it_cannot_read_and_goes_on(cohort):
    rows = list(transform.stream(simple(), cohort, 32))
    assert [row["image_id"] for row, *_ in rows] == ["a/1", "b", "c"]
    assert isinstance(rows[1][1], images.ImageError) and rows[1][2] is None
    plus, minus = rows[2][1:]
    assert plus.shape == (3, 32, 32) and plus.min() > 0.85 and minus.max() < 0.15


def test_written_twins_are_a_cohort_of_four_classes(cohort, tmp_path):
    with pytest.raises(InputError, match=r"1 of 3 images have no twins, all others do: .*b\.png"):
        transform.write(simple(), cohort, tmp_path / "out")
    table = read_cohort(tmp_path / "out")
    assert list(table["image_id"]) == ["a/1+", "a/1-", "c+", "c-"]
    assert list(table["label4"]) == ["N+", "N-", "P+", "P-"] and list(table["label"]) == ["N", "N", "P", "P"]
    bright = images.read_gray(table["file"][2])
    assert bright.shape == (32, 32) and bright.min() > 0.85
    assert (tmp_path / "out" / "origin.json").read_text() == '{\n "side": 32\n}\n'
    assert not [file for file in tmp_path.rglob("*") if file.name.endswith(".part")]


def test_twins_never_land_among_their_images(cohort, tmp_path):
    with pytest.raises(InputError, match="could be overwritten"):
        twins.write(simple(), cohort, tmp_path / "in")
