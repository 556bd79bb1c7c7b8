"""Encoders with the real architecture. In tests only Lite0 has its weights: those of others are random."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

from sdnet_lib.files import InputError
from sdnet_lib.models import encoders, probe, registry
from sdnet_lib.models.classifier import embed
from tests.models.squares import squares_of_patients

VERSION = "0123456789abcdef0123456789abcdef01234567"
SMALL = 112  # pixels that the random RAD-DINO of these tests sees: 64 patches take seconds, 1369 minutes


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A user's home in which no weights lie."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def random_xrv(home) -> torch.nn.Module:
    """A DenseNet-121 with random weights, in the file that torchxrayvision reads."""
    from torchxrayvision import models, utils

    network = models.DenseNet().eval()
    file = Path(utils.get_cache_dir()) / Path(models.model_urls[encoders.XRV]["weights_url"]).name
    file.parent.mkdir(parents=True)
    torch.save(network, file)
    return network


@pytest.fixture
def random_rad_dino(home) -> torch.nn.Module:
    """A ViT-B/14 with random weights, where the hub's client keeps RAD-DINO."""
    network = encoders.rad_dino(pretrained=False).body.transformer
    place = home / "hub" / "models--microsoft--rad-dino"
    network.save_pretrained(place / "snapshots" / VERSION)
    said = {"crop_size": {"height": SMALL, "width": SMALL}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (place / "snapshots" / VERSION / "preprocessor_config.json").write_text(json.dumps(said))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(VERSION)
    return network.eval()


@pytest.fixture
def films() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 224, 224), np.uint8)


def test_lite0_finds_what_it_finds_elsewhere_in_the_course(films):
    found = encoders.lite0(pretrained=True)
    assert found.weights == "imagenet" and found.features == 1280
    np.testing.assert_allclose(probe.features(found, films), embed(films), atol=1e-4)


def test_xrv_with_random_weights_sees_what_its_own_package_would_show_it(films, random_xrv):
    from torchxrayvision.utils import normalize

    found = encoders.xrv_densenet121(pretrained=True)
    assert found.weights == "densenet121-res224-all" and found.features == 1024
    shown = torch.from_numpy(np.stack([normalize(film, 255)[None] for film in films]))
    with torch.inference_mode():
        expected = random_xrv.features2(shown).numpy()
    np.testing.assert_allclose(probe.features(found, films), expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_rad_dino_with_random_weights_is_normalised_as_its_files_say(films, random_rad_dino):
    found = encoders.rad_dino(pretrained=True)
    assert found.weights == "microsoft/rad-dino 0123456" and found.image_size == SMALL
    images = films[:, :SMALL, :SMALL]
    shown = torch.from_numpy((images[:, None].repeat(3, 1) / 255 - 0.5) / 0.25).float()
    with torch.inference_mode():
        expected = random_rad_dino(pixel_values=shown).pooler_output.numpy()
    np.testing.assert_allclose(probe.features(found, images), expected, atol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("name", ["xrv-densenet121-probe", "rad-dino-probe"])
def test_with_random_weights_the_whole_way_is_gone(name, request, tmp_path):
    request.getfixturevalue("random_xrv" if name.startswith("xrv") else "random_rad_dino")
    task, approach = squares_of_patients(16, 12, tmp_path), registry.find(name)
    registry.check_start([name])
    predictor, notes = approach.fit(task)
    columns = predictor.predict(task.pixels)
    assert np.allclose(columns["prob_N"] + columns["prob_P"], 1, atol=1e-5)
    assert len(columns["prob_P"]) == 16 and np.ptp(columns["prob_P"]) > 0
    assert notes["weights"] != "none" and notes["C"] in probe.STRENGTHS
    assert approach.build(task.profile).load_state_dict(predictor.state_dict())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            encoders.xrv_densenet121,
            r"github\.com cannot be reached: https.*best\.pt belongs in {home}/.*\.pt$",
        ),
        (
            encoders.rad_dino,
            r"huggingface\.co cannot be reached: .*fills {home}/hub/models--microsoft--rad-dino$",
        ),
    ],
)
def test_without_a_network_a_line_says_what_is_missing_and_where_it_goes(make, said, home, capfd):
    with pytest.raises(InputError, match=said.format(home=home)) as caught:
        make(pretrained=True)
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")


def test_damaged_files_are_said(random_xrv, random_rad_dino, home):
    for file in (*home.glob(".torchxrayvision/*/*.pt"), *home.glob("hub/*/*/*/model.safetensors")):
        file.write_bytes(b"no network")
    for make, said in ((encoders.xrv_densenet121, "not the weights"), (encoders.rad_dino, "not the files")):
        with pytest.raises(InputError, match=said):
            make(pretrained=True)


@pytest.mark.parametrize(
    "command", [["cv", "phantom", "-o", "runs"], ["train", "phantom", "-o", "x.safetensors"]]
)
def test_a_missing_package_is_said_before_anything_heavy_is_imported(command, tmp_path):
    code = (
        "import sys; sys.modules['torchxrayvision'] = None\n"
        "from sdnet_lib.cli import main\n"
        "try: main.main()\n"
        "finally: print('torch' in sys.modules)"
    )
    arguments = [*command, "--approach", "xrv-densenet121-probe"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stdout == "False\n"
    assert done.stderr.endswith("needs a package that is not here: pip install torchxrayvision\n")
    assert not any(tmp_path.iterdir())


def test_the_list_of_approaches_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    from sdnet_lib.config import get_profile

    lines = {line.split()[0]: line for line in registry.describe(get_profile("full")).splitlines()[1:]}
    assert lines["rad-dino-probe"].split()[1] == "–"
    assert lines["rad-dino-probe"].endswith("needs transformers")
    assert lines["lite0-probe"].split()[1] == "3,373,570"
