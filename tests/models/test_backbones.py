import random
import urllib.error

import pytest
import requests
import torch
from safetensors.torch import save_file

from sdnet_lib.files import InputError
from sdnet_lib.models import backbones


@pytest.mark.parametrize(
    "backbone, features",
    [
        ("resnet18", 512),
        ("resnet50", 2048),
        ("densenet121", 1024),
        ("squeezenet1_1", 512),  # its last layer is a convolution
        ("googlenet", 1024),  # has auxiliary heads
        ("mobilenetv3_small_050", 1024),  # timm only
    ],
)
def test_a_trunk_ends_before_the_last_layer(backbone, features):
    body, mean, std = backbones.trunk(backbone, "none")
    assert body.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, features)
    assert len(mean) == len(std) == 3


def test_the_offline_backbone_knows_its_own_normalisation():
    assert backbones.trunk(backbones.LITE0).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("name, hint", [("resnet5", "resnet50"), ("no such thing at all", "resnet50")])
def test_an_unknown_backbone_is_refused_with_names_that_exist(name, hint):
    with pytest.raises(InputError, match=f"unknown backbone.*{hint}"):
        backbones.trunk(name)


def no_connection(*_args, **_options):
    raise urllib.error.URLError("Name or service not known")


@pytest.mark.parametrize("backbone", ["resnet18", "resnet10t"])
def test_offline_says_so_in_one_line_with_both_ways_out(backbone, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_connection)
    monkeypatch.setattr(requests, "head", no_connection)
    with pytest.raises(InputError, match="Name or service not known") as caught:
        backbones.trunk(backbone)
    message = str(caught.value)
    assert "\n" not in message and "'none'" in message and backbones.LITE0 in message and backbone in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    file = tmp_path / f"weights{suffix}"
    torch.manual_seed(1)
    stored = backbones.trunk("resnet18", "none").body.state_dict() | {"fc.weight": torch.zeros(1000, 512)}
    torch.save(stored, file) if suffix == ".pth" else save_file(stored, file)
    loaded = backbones.trunk("resnet18", str(file)).body.state_dict()
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
            backbones.trunk("resnet18", str(file))
        assert "\n" not in str(caught.value)
    assert random.getstate() == state
