"""Layer-wise relevance propagation (Bach et al., PLoS ONE 2015), by zennit.

The rules are those of DeepCOVIDExplainer's authors: alpha 1, beta 0 for convolutions, epsilon for
linear layers, flat for the first layer. An output that is active by its bias alone has no input to hand its
relevance to; with merged batch normalisation these are many, and EfficientNet-Lite0 would keep 0.05 % of what
it starts from. Biases get nothing here, and such an output shares out equally among its inputs, as the flat
rule does. In a linear layer, and where two paths meet, contributions may cancel out, and what is divided by
next to nothing would drown all else: there epsilon is a fraction of all contributions, whatever their sign,
and these get what it takes.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.layers import BatchNormAct2d, SelectAdaptivePool2d
from torch import Tensor, fx, nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonPlusFlat
from zennit.core import BasicHook, ParamMod, Stabilizer
from zennit.layer import Sum
from zennit.rules import ClampMod, Pass
from zennit.types import Convolution

from sdnet_lib.files import InputError, one_line
from sdnet_lib.models.backbones import Normalise

LEAST = 0.9  # of the relevance that an explanation must keep on its way to the image
FLOOR = 1e-6  # what each input counts for, beside what it contributes
EPSILON = 0.01  # of all contributions to an output of a linear layer, or to a sum of two paths
TINY = 1e-30  # keeps divisions by zero away; larger, it would eat the relevance of faint layers
ADDITIONS = (operator.add, operator.iadd, torch.add)


@contextmanager
def canonical(network: nn.Module, example: Tensor) -> Iterator[nn.Module]:
    """Lend a copy of a network whose gradients are relevances: how much each input contributed to an output.

    Where two paths are added, relevance is divided by what each contributed. Batch normalisation is merged
    into the convolution before it, unless that would change the output: in a network that normalises before
    it convolves, relevance passes batch normalisation unchanged.

    Parameters
    ----------
    network : nn.Module
        In inference mode.
    example : float tensor, (n, 3, image_size, image_size)
        Input to check on that a merged network gives the same output.

    Raises
    ------
    InputError
        If the network decides by what it sees which layers to use.
    """
    plain = _without_compounds(copy.deepcopy(network)).requires_grad_(False)
    own = [(Convolution, _Positive()), ((nn.Linear, Sum), _Balanced()), (Normalise, Pass())]
    rules = EpsilonPlusFlat(TINY, TINY, layer_map=own, zero_params="bias")
    with rules.context(_adding_by_layers(_merged(plain, example))) as modified:
        yield modified


def kept(given: list[Tensor], answered: list[Tensor]) -> float:
    """Return the fraction of relevance that reaches the image: the least over the images of a batch.

    Parameters
    ----------
    given, answered : list of tensor, (n, ...)
        Relevance of the network's inputs and of its outputs, a pair per view. More at the input than at the
        output is no better than less.
    """
    reached, started = (sum(part.flatten(1).sum(1) for part in parts) for parts in (given, answered))
    return float((1 - (reached / started - 1).abs()).min())


class _Positive(BasicHook):
    """Alpha 1, beta 0, but nothing for the bias, and equal parts where no input contributes."""

    def __init__(self) -> None:
        stable = Stabilizer.ensure(TINY)
        super().__init__(
            input_modifiers=[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0), torch.ones_like],
            param_modifiers=[
                ClampMod(min=0.0, zero_params="bias"),
                ClampMod(max=0.0, zero_params="bias"),
                ParamMod(lambda weight, _: torch.full_like(weight, FLOOR), zero_params="bias"),
            ],
            output_modifiers=[lambda output: output] * 3,
            gradient_mapper=lambda gradient, outputs: [gradient / stable(sum(outputs))] * 3,
            reducer=lambda inputs, found: inputs[0] * found[0] + inputs[1] * found[1] + found[2],
        )


class _Balanced(BasicHook):
    """Epsilon in proportion to all contributions, which share what it takes; nothing for the bias."""

    def __init__(self) -> None:
        super().__init__(
            input_modifiers=[lambda x: x, torch.abs],
            param_modifiers=[
                ParamMod(lambda weight, _: weight, zero_params="bias", require_params=False),
                ParamMod(lambda weight, _: weight.abs(), zero_params="bias", require_params=False),
            ],
            output_modifiers=[lambda output: output] * 2,
            gradient_mapper=_balanced,
            reducer=lambda inputs, found: inputs[0] * found[0] + inputs[1] * found[1],
        )


def _balanced(gradient: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    balance, everything = outputs
    stable = balance + torch.copysign(EPSILON * everything + TINY, balance)
    return [gradient / stable, gradient * torch.copysign(torch.full_like(balance, EPSILON), balance) / stable]


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


class _Tracer(fx.Tracer):
    """Looks into whatever has parts; layers stay what they are."""

    def is_leaf_module(self, module: nn.Module, _: str) -> bool:
        """Say whether a module is a layer."""
        return not list(module.children())


def _adding_by_layers(network: nn.Module) -> fx.GraphModule:
    """Return a network that does each addition of two paths by a layer, which has a rule."""
    try:
        graph = _Tracer().trace(network)
    except fx.proxy.TraceError as error:
        raise InputError(f"lrp cannot follow {type(network).__name__}: {one_line(error)}") from error
    traced = fx.GraphModule(network, graph)
    for number, node in enumerate(list(graph.nodes)):
        paths = [one for one in node.args if isinstance(one, fx.Node)]
        if (node.target in ADDITIONS or node.target in ("add", "add_")) and len(paths) == 2:
            traced.add_submodule(f"sum_{number}", Sum())
            with graph.inserting_before(node):
                both = graph.call_function(torch.stack, (paths,), {"dim": -1})
                node.replace_all_uses_with(graph.call_module(f"sum_{number}", (both,)))
            graph.erase_node(node)
    traced.recompile()
    return traced
