"""Operations and memory of one step of each network, counted from its layers without computing anything.

Tensors have no values here (torch's `FakeTensorMode`): torch itself says what operations the layers come to,
and this module how many bytes are held at the worst moment. `budget` makes chapters and studies of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from sdnet_lib.config import LITE0, get_profile
from sdnet_lib.lungs import unet
from sdnet_lib.models import classifier, registry
from sdnet_lib.models.backbones import load_backbone
from sdnet_lib.models.fucitnet import losses, networks

GREY = ("lungs",)  # networks that take one channel


class Cost(NamedTuple):
    """Floating-point operations, and the most bytes held at once."""

    operations: float = 0
    memory: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of one after the other."""
        return Cost(self.operations + other.operations, max(self.memory, other.memory))

    def __mul__(self, times: float) -> Cost:
        """Return the cost of doing it so often."""
        return Cost(self.operations * times, self.memory)


def counter() -> FlopCounterMode:
    """Return torch's counter of operations, mended for backward passes of grouped convolutions.

    It counts all together: the hooks by which torch tells modules apart are in the way of maps that ask for
    gradients themselves.
    """
    found = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )
    found.mod_tracker = _Together()
    return found


class _Together(nullcontext):
    """In place of torch's `ModuleTracker`."""

    parents = ("Global",)


def _convolution_backward(
    gradient: list[int], x: list[int], weight: list[int], *others: object, **_: object
) -> int:
    """Return as many operations as forward, for each of the gradients of the input and of the weights."""
    *_, transposed, _, _, wanted = others
    return conv_flop_count(x, weight, gradient, transposed) * sum(wanted[:2])


class _Held(TorchDispatchMode):
    """Note the most bytes that tensors hold at once."""

    def __init__(self, *given: object) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: dict[int, weakref.ref] = {}
        for one in given:
            self._note([*one.parameters(), *one.buffers()] if isinstance(one, nn.Module) else [one])

    def __torch_dispatch__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Do it and note what came of it."""
        result = func(*args, **(kwargs or {}))
        self._note(one for one in tree_leaves(result) if isinstance(one, Tensor))
        return result

    def _note(self, tensors: Iterable[Tensor]) -> None:
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage._cdata not in self.known:
                gone = partial(self._gone, storage._cdata, storage.nbytes())
                self.known[storage._cdata] = weakref.ref(storage, gone)
                self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _gone(self, key: int, size: int, _: object) -> None:
        del self.known[key]
        self.now -= size


def _count(work: Callable[[], object], *given: object) -> Cost:
    """Count what `work` does on fake tensors; `given` are the networks and tensors that it works with."""
    with _Held(*given) as held, counter() as counted:
        work()
    return Cost(counted.get_total_flops(), held.peak)


@cache
def step(name: str, backbone: str, image_size: int, batch: int, mixed: bool) -> Cost:
    """Return the cost of an optimiser step of an approach's network, on as many images as it sees at once.

    Parameters
    ----------
    name : str
        An approach; of one with generators its network alone.
    backbone : str
        Of the paper's own CNN.
    image_size, batch : int
    mixed : bool
        Whether activations have 16 bits, as on a GPU.
    """
    with FakeTensorMode():
        network = _network(name, backbone, image_size).train()
        images = torch.rand(batch, 3, image_size, image_size)
        optimiser = torch.optim.Adam(network.parameters())

        def work() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = network(images).float().square().mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

        return _count(work, network, images)


@cache
def look(name: str, backbone: str, image_size: int, batch: int, mixed: bool) -> Cost:
    """Return the cost of an image that a network is asked about, in inference, so many at once."""
    network = _network(name, backbone, image_size).eval()  # some change their memory format: not on fakes
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        images = torch.rand(batch, 1 if name in GREY else 3, image_size, image_size)

        def work() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                network(images)

        return _count(work, network, images) * (1 / batch)


def _network(name: str, backbone: str, image_size: int) -> nn.Module:
    if name == "lungs":
        return unet.network()
    if name == "generators":
        return Both(networks.start(backbone, "none").generators)
    if name == "features":
        return load_backbone(backbone, "none").body
    if name == "fucitnet":
        return networks.classifier_network(backbone, "none", "paper")
    if name in ("cnn", "twins"):
        return classifier.network(backbone, "none", 4 if name == "twins" else 2)[0]
    profile = replace(get_profile("smoke"), image_size=image_size, backbone=backbone)
    return registry.find(name).build(profile).network


class Both(nn.Module):
    """Both generators as one network."""

    def __init__(self, generators: nn.ModuleList) -> None:
        super().__init__()
        self.generators = generators

    def forward(self, images: Tensor) -> Tensor:
        """Return all twins of the images."""
        return torch.cat([network(images) for network in self.generators])


@cache
def generator_step(backbone: str, image_size: int, batch: int, mixed: bool, vgg: bool) -> Cost:
    """Return the cost of a step of FuCiTNet: two generators, their losses, and the classifier.

    Parameters
    ----------
    backbone : str
        Of the classifier.
    vgg : bool
        Whether VGG-16's features are at hand, or those of EfficientNet-Lite0 stand in.
    """
    with FakeTensorMode():
        trained = networks.start(backbone, "none").train()
        features = _perceptual(vgg).requires_grad_(False).eval()
        images = torch.rand(batch, 3, image_size, image_size)
        targets = torch.zeros(batch, dtype=torch.long)
        optimisers = [torch.optim.Adam(part.parameters()) for part in trained.children()]

        def work() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                twins = torch.stack([network(images) for network in trained.generators])
                terms = losses.losses(twins, images, targets, trained.classifier.eval(), features, 0.1)
            terms.total.sum().backward(inputs=list(trained.generators.parameters()))
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                answers = trained.classifier.train()(twins.detach().flatten(0, 1))
                loss = nn.functional.cross_entropy(answers, targets.repeat(len(twins)))
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()

        return _count(work, trained, features, images)


def _perceptual(vgg: bool) -> nn.Module:
    if vgg:
        return torchvision.models.vgg16(weights=None).features
    body = load_backbone(LITE0, "none").body
    return nn.Sequential(body.conv_stem, body.bn1, *body.blocks[:5])
