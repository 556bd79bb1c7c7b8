import json

import pytest
import torch
from safetensors import safe_open

from sdnet_lib.files import InputError
from sdnet_lib.lungs import segmentation, unet


@pytest.mark.parametrize("name", segmentation.NETWORKS)
def test_each_network_says_which_folds_it_has_not_seen(name):
    with safe_open(unet.WEIGHTS / f"{name}.safetensors", "pt") as stored:
        record = json.loads(stored.metadata()["record"])
    assert tuple(record["unseen_folds"]) == segmentation.NETWORKS[name]


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
