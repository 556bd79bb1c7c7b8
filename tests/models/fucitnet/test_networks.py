import pytest
import torch

from sdnet_lib.files import InputError
from sdnet_lib.models.fucitnet import generators, networks
from tests.models.fucitnet.small import count


def test_resnet18_is_frozen_down_to_layer2_and_others_are_refused():
    network = networks.classifier_network("resnet18", "none", "code")
    open_ = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad and "." in name}
    assert {"layer3", "layer4"} < open_ and not {"conv1", "bn1", "layer1", "layer2"} & open_
    assert all(p.requires_grad for p in networks.classifier_network("resnet18", "none", "paper").parameters())
    with pytest.raises(InputError, match="not of 'densenet121'"):
        networks.classifier_network("densenet121", "none", "code")


def test_the_paper_s_networks_have_their_size(monkeypatch):
    monkeypatch.setattr(generators, "MAPS", 64)
    with torch.device("meta"):
        start = networks.start("resnet18", "none")
    assert [count(network) for network in start.generators] == [387_913, 387_913]
    assert count(start.classifier) == 11_177_538
