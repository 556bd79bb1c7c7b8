"""The three networks that FuCiTNet trains together: a generator for each class, and a classifier."""

from __future__ import annotations

from torch import nn

from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import Normalise, load_backbone
from sdnet_lib.models.fucitnet.generators import generator


class Networks(nn.Module):
    """A generator for each of `LABELS`, in that order, and a classifier of their images."""

    def __init__(self, generators: nn.ModuleList, classifier: nn.Module) -> None:
        super().__init__()
        self.generators, self.classifier = generators, classifier


def start(backbone: str, weights: str, variant: str = "paper") -> Networks:
    """Return networks to train; see `classifier_network` for the arguments."""
    generators = nn.ModuleList(generator(variant) for _ in LABELS)
    return Networks(generators, classifier_network(backbone, weights, variant))


def classifier_network(backbone: str, weights: str, variant: str) -> nn.Sequential:
    """Build the classifier: normalisation, a backbone, one layer with an output for each of `LABELS`.

    Parameters
    ----------
    backbone, weights : str
        See `backbones.load_backbone`.
    variant : str
        ``code``: no normalisation, and the layers down to stride 8 are not trained, though their batch
        statistics move (of ResNet-18 these are the stem, layer 1 and layer 2).

    Raises
    ------
    InputError
        If backbone or weights cannot be used, or the variant ``code`` does not know which layers come first.
    """
    body, mean, std = load_backbone(backbone, weights)
    if variant == "code":
        for part in _early_layers(body, backbone):
            part.requires_grad_(False)
    first = Normalise(mean, std) if variant == "paper" else nn.Identity()
    return nn.Sequential(first, body, nn.Linear(body.head_hidden_size, len(LABELS)))


def _early_layers(body: nn.Module, backbone: str) -> list[nn.Module]:
    if hasattr(body, "layer2"):
        return [body.conv1, body.bn1, body.layer1, body.layer2]
    if hasattr(body, "conv_stem"):
        return [body.conv_stem, body.bn1, body.blocks[:3]]
    raise InputError(
        f"variant 'code' freezes the early layers of a ResNet or an EfficientNet, not of {backbone!r}"
    )
