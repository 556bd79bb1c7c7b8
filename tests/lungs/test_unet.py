import json

import pytest
import torch
from safetensors import safe_open

from sdnet_lib.files import InputError
from sdnet_lib.lungs import cross_fit, unet


@pytest.mark.parametrize("name", cross_fit.NETWORKS)
def test_each_network_says_which_folds_it_has_not_seen(name):
    with safe_open(unet.WEIGHTS / f"{name}.safetensors", "pt") as stored:
        record = json.loads(stored.metadata()["record"])
    assert tuple(record["unseen_folds"]) == cross_fit.NETWORKS[name]


def test_weights_that_do_not_fit_are_named(tmp_path):
    for content in (None, b"", b"no weights"):
        file = tmp_path / "bad.safetensors"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.safetensors: not the weights"):
            unet.load(file)


def test_brightness_and_contrast_of_the_film_do_not_matter():
    film = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(unet.normalise(film), unet.normalise(0.1 + 0.3 * film), atol=1e-4)


@pytest.mark.filterwarnings("ignore:IProgress")
def test_folding_batch_normalisation_changes_no_answer():
    network = unet.network().eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    film = torch.rand(2, 1, 64, 64, generator=generator)
    with torch.inference_mode():
        before = network(film)
    with torch.inference_mode():
        after = unet.folded(network)(film)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert before.std() > 0.01
    assert torch.allclose(before, after, atol=1e-3 * before.abs().max())
