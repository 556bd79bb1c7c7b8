import dataclasses
import random

import pytest
import requests
import skimage.data
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import nn

from sdnet_lib.config import LITE0, PROFILES
from sdnet_lib.files import InputError
from sdnet_lib.models import backbones


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "densenet121", LITE0, "mobilenetv3_small_050", "mobilenet_v2"]
)
def test_a_backbone_ends_before_the_last_layer(name):
    body, mean, std = backbones.load_backbone(name, "none")
    assert body.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, body.head_hidden_size)
    assert len(mean) == len(std) == 3


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "vgg16"])
def test_plain_names_mean_torchvision_s_weights(name):
    with torch.device("meta"):
        body, mean, _ = backbones.load_backbone(name, "none")
        other = backbones.load_backbone("resnet50.a1_in1k", "none").body
    assert body.pretrained_cfg["tag"] == "tv_in1k" and mean == (0.485, 0.456, 0.406)
    assert other.pretrained_cfg["tag"] == "a1_in1k"


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_with_the_same_weights_timm_s_network_is_torchvision_s(name):
    theirs = torchvision.models.get_model(name, weights=None).eval()
    theirs.set_submodule("fc" if name.startswith("resnet") else "classifier", nn.Identity())
    ours = backbones.load_backbone(name, "none").body.eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_vgg16_s_features_are_torchvision_s():
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    with torch.device("meta"):
        ours = backbones.load_backbone("vgg16", "none").body.features
    ours.load_state_dict(theirs.state_dict(), assign=True)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert len(ours) == 31 and torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_the_offline_backbone_knows_its_own_normalisation():
    assert backbones.load_backbone(LITE0).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("name, hint", [("resnet5", "resnet50"), ("no such thing at all", "resnet50")])
def test_an_unknown_backbone_is_refused_with_names_that_exist(name, hint):
    with pytest.raises(InputError, match=f"unknown backbone.*{hint}"):
        backbones.load_backbone(name)


@pytest.mark.parametrize("name", ["resnet18", "resnet10t", "mobilenet_v2"])
def test_offline_says_so_in_one_line_with_both_ways_out(name, monkeypatch, capfd, tmp_path):
    def no_connection(*_args, **_options):
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(backbones.huggingface_hub, "try_to_load_from_cache", lambda *given: None)
    monkeypatch.setattr(requests, "head", no_connection)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_connection)
    with pytest.raises(InputError, match="Name or service not known") as caught:
        backbones.load_backbone(name)
    message = str(caught.value)
    assert "\n" not in message and "'none'" in message and LITE0 in message and name in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    file = tmp_path / f"weights{suffix}"
    torch.manual_seed(1)
    stored = backbones.load_backbone("resnet18", "none").body.state_dict() | {
        "fc.weight": torch.zeros(1000, 512)
    }
    torch.save(stored, file) if suffix == ".pth" else save_file(stored, file)
    loaded = backbones.load_backbone("resnet18", str(file)).body.state_dict()
    assert all(torch.equal(loaded[name], stored[name]) for name in loaded)


class Exploit:
    def __reduce__(self):
        return (random.seed, (0,))


def test_unusable_weight_files_are_named_and_never_run(tmp_path):
    files = {name: tmp_path / name for name in ("gone.pth", "code.pth", "cut.safetensors", "few.pth")}
    torch.save({"conv1.weight": Exploit()}, files["code.pth"])
    files["cut.safetensors"].write_bytes(b"not a tensor")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, files["few.pth"])
    state = random.getstate()
    for name, file in files.items():
        with pytest.raises(InputError, match=name) as caught:
            backbones.load_backbone("resnet18", str(file))
        assert "\n" not in str(caught.value)
    assert random.getstate() == state


@pytest.fixture(scope="module")
def lite0():
    model = timm.create_model(LITE0, pretrained=False)
    model.load_state_dict(backbones.lite0_state_dict(), strict=True)
    return model.eval()


@pytest.mark.parametrize(("photo", "word"), [("coffee", "espresso"), ("chelsea", "cat")])
def test_the_weights_recognise_a_photograph(lite0, photo, word):
    pixels = torch.tensor(getattr(skimage.data, photo)()).permute(2, 0, 1)[None] / 255
    square = torch.nn.functional.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        best = int(lite0(2 * square - 1).argmax())
    assert word in ImageNetInfo().index_to_description(best)


def test_a_network_that_does_not_fit_is_refused(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **kw: create("tf_efficientnet_lite1", **kw))
    with pytest.raises(RuntimeError, match="does not fit"):
        backbones.lite0_state_dict()


def test_asking_for_weights_draws_no_random_numbers():
    backbones.available_weights.cache_clear()
    torch.manual_seed(3)
    backbones.available_weights("resnet18")
    drawn = torch.rand(4)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(4))


def test_weights_that_are_wanted_and_cannot_be_had_are_an_error_and_available_ones_are_not(monkeypatch):
    def no_connection(*_args, **_options):
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests, "head", no_connection)
    monkeypatch.setattr(backbones.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    backbones.available_weights.cache_clear()
    with pytest.raises(InputError, match=r"no ImageNet weights for 'resnet18' .*--weights none"):
        backbones.available_weights("resnet18", "imagenet")
    assert (
        backbones.available_weights("resnet18") == backbones.available_weights("resnet18", "none") == "none"
    )
    assert backbones.available_weights(LITE0, "none") == "none"
    backbones.available_weights.cache_clear()


def test_the_profiles_of_full_size_want_imagenet_s_weights():
    wanted = {name: profile.weights for name, profile in PROFILES.items()}
    assert wanted == {"smoke": "available", "quick": "available", "full": "imagenet", "paper": "imagenet"}
    with pytest.raises(InputError, match="weights 'random': choose one of imagenet, available, none"):
        dataclasses.replace(PROFILES["quick"], weights="random")
