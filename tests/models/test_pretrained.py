import pytest
import skimage.data
import timm
import torch
from timm.data import ImageNetInfo

from sdnet_lib.models import pretrained


@pytest.fixture(scope="module")
def network():
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(pretrained.lite0_state_dict(), strict=True)
    return model.eval()


@pytest.mark.parametrize(("photo", "word"), [("coffee", "espresso"), ("chelsea", "cat")])
def test_the_weights_recognise_a_photograph(network, photo, word):
    pixels = torch.tensor(getattr(skimage.data, photo)()).permute(2, 0, 1)[None] / 255
    square = torch.nn.functional.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v)[:, None, None] for v in (pretrained.LITE0_MEAN, pretrained.LITE0_STD))
    with torch.no_grad():
        best = int(network((square - mean) / std).argmax())
    assert word in ImageNetInfo().index_to_description(best)


def test_a_network_that_does_not_fit_is_refused(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **kw: create("tf_efficientnet_lite1", **kw))
    with pytest.raises(RuntimeError, match="does not fit"):
        pretrained.lite0_state_dict()
