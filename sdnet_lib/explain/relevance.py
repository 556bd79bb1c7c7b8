"""Layer-wise relevance propagation (Bach et al., PLoS ONE 2015), by zennit.

The rules are those of DeepCOVIDExplainer's authors: alpha 1, beta 0 for convolutions, epsilon for
linear layers, flat for the first layer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from timm.layers import BatchNormAct2d, SelectAdaptivePool2d
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import Tensor, nn
from zennit.canonizers import AttributeCanonizer, SequentialMergeBatchNorm
from zennit.composites import EpsilonPlusFlat
from zennit.layer import Sum
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer


@contextmanager
def canonical(network: nn.Module, example: Tensor) -> Iterator[nn.Module]:
    """Lend a copy of a network whose gradients are relevances: how much each input contributed to an output.

    Where two paths are added, relevance is divided by what each contributed, in the blocks of torchvision's
    ResNets and of timm's EfficientNets; in other networks each path gets all of it. Batch normalisation is
    merged into the convolution before it, unless that would change the output: in a network that normalises
    before it convolves, relevance passes batch normalisation unchanged.

    Parameters
    ----------
    network : nn.Module
        In inference mode.
    example : float tensor, (n, 3, image_size, image_size)
        Input to check on that a merged network gives the same output.
    """
    plain = _without_compounds(copy.deepcopy(network)).requires_grad_(False)
    steps = [ResNetBottleneckCanonizer(), ResNetBasicBlockCanonizer(), _Blocks()]
    with EpsilonPlusFlat(canonizers=steps).context(_merged(plain, example)) as modified:
        yield modified


def _merged(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy with batch normalisation merged, or the network itself if that changes its output."""
    merged = copy.deepcopy(network)
    try:
        _Merge().apply(merged)
        with torch.no_grad():
            same = torch.allclose(merged(example), network(example), rtol=1e-3, atol=1e-3)
    except RuntimeError:  # it normalises more maps than the convolution before it has
        same = False
    return merged if same else network


class _Merge(SequentialMergeBatchNorm):
    """Merges batch normalisation whole: zennit's leaves an epsilon behind, which adds up over many layers."""

    @staticmethod
    def merge_batch_norm(modules: list[nn.Module], batch_norm: nn.Module) -> None:
        """Merge, and leave an identity behind."""
        SequentialMergeBatchNorm.merge_batch_norm(modules, batch_norm)
        batch_norm.eps = 1e-12


def _without_compounds(network: nn.Module) -> nn.Module:
    """Replace timm's compound layers by their parts, so that each has its rule."""
    for name, module in list(network.named_modules()):
        if isinstance(module, BatchNormAct2d):
            norm = nn.BatchNorm2d(module.num_features, module.eps)
            norm.load_state_dict(module.state_dict())
            network.set_submodule(name, nn.Sequential(norm, module.act).eval())
        elif isinstance(module, SelectAdaptivePool2d):
            network.set_submodule(name, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
    return network


class _Blocks(AttributeCanonizer):
    """Let the blocks of timm's EfficientNets add through a layer of their own, which has a rule."""

    def __init__(self) -> None:
        super().__init__(self._attributes)

    @staticmethod
    def _attributes(_: str, module: nn.Module) -> dict | None:
        known = isinstance(module, DepthwiseSeparableConv | InvertedResidual)
        if not known or not module.has_skip:
            return None
        return {"forward": MethodType(_add_by_layer, module), "canonizer_sum": Sum()}


def _add_by_layer(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block's layers in their order, then add its input."""
    inside = x
    for name, layer in block.named_children():
        if name != "canonizer_sum":
            inside = layer(inside)
    return block.canonizer_sum(torch.stack([x, inside], dim=-1))
