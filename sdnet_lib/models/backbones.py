"""Networks without their last layer, by torchvision or timm name, with ImageNet weights, a file's or none.

A name that torchvision knows comes from torchvision, whose first ResNet-50 weights are what a paper of 2020
meant by "ImageNet"; any other name comes from timm.
"""

from __future__ import annotations

import difflib
import io
import sys
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import huggingface_hub
import requests
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from sdnet_lib.config import LITE0
from sdnet_lib.files import InputError
from sdnet_lib.models.pretrained import lite0_state_dict

with warnings.catch_warnings():  # importing it imports a downloader that misses widgets in a notebook
    warnings.filterwarnings("ignore", "IProgress not found")
    import timm

OFFLINE = f"train from scratch with weights 'none', or take the backbone {LITE0!r}, which needs no download"


class Trunk(NamedTuple):
    """A network without its last layer, and the mean and standard deviation it wants its input to have."""

    body: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def trunk(backbone: str, weights: str = "imagenet") -> Trunk:
    """Return a network without its last layer.

    Parameters
    ----------
    backbone : str
        torchvision or timm name.
    weights : str
        ``imagenet`` (downloaded once and cached, by torchvision or timm), ``none`` (random), or a file of
        tensors under the backbone's own names (``.safetensors``, or ``.pth`` without pickled code).

    Raises
    ------
    InputError
        If there is no such backbone, or its weights cannot be had.
    """
    if backbone in torchvision.models.list_models(module=torchvision.models):
        build = _torchvision_trunk
    elif timm.is_model(backbone):
        build = _timm_trunk
    else:
        names = torchvision.models.list_models(module=torchvision.models) + timm.list_models()
        near = difflib.get_close_matches(backbone, names, 3) or ["resnet50", "densenet121", LITE0]
        raise InputError(f"unknown backbone {backbone!r}: did you mean {', '.join(near)}?")
    if weights != "imagenet":
        result = build(backbone, pretrained=False)
        return result if weights == "none" else _load(result, backbone, Path(weights))
    try:
        with ExitStack() as quiet:
            if not sys.stderr.isatty():
                for redirect in (redirect_stdout, redirect_stderr):  # torch.hub announces each download
                    quiet.enter_context(redirect(io.StringIO()))
            return build(backbone, pretrained=True)
    except Exception as error:  # urllib, requests, the hub and timm each have their own way to say "not here"
        raise InputError(f"no ImageNet weights for {backbone!r} ({_first_line(error)}): {OFFLINE}") from error


@lru_cache
def at_hand(backbone: str) -> str:
    """Return ``imagenet`` if these weights of a backbone can be had here, else ``none``.

    For networks whose paper began with ImageNet, where a run without a network shall go on all the same. Who
    calls it says in the run's provenance which weights it was.

    Raises
    ------
    InputError
        If there is no such backbone.
    """
    try:
        trunk(backbone, "imagenet")
    except InputError:
        trunk(backbone, "none")
        return "none"
    return "imagenet"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _torchvision_trunk(name: str, pretrained: bool) -> Trunk:
    weights = next(iter(torchvision.models.get_model_weights(name)))
    two_headed = name in ("googlenet", "inception_v3") and not pretrained
    options = {"aux_logits": False, "init_weights": True} if two_headed else {}
    body = torchvision.models.get_model(
        name, weights=weights if pretrained else None, progress=sys.stderr.isatty(), **options
    )
    outputs = {
        path: getattr(m, "out_features", getattr(m, "out_channels", 0)) for path, m in body.named_modules()
    }
    last = [path for path, size in outputs.items() if size == 1000][-1]
    body.set_submodule(last, nn.Identity())
    return Trunk(body, tuple(weights.transforms().mean), tuple(weights.transforms().std))


def _timm_trunk(name: str, pretrained: bool) -> Trunk:
    if not pretrained or name == LITE0:
        body = timm.create_model(name, num_classes=0)
    else:
        body = timm.create_model(name, num_classes=0, pretrained=True, pretrained_cfg_overlay=_hub_file(name))
    if pretrained and name == LITE0:
        state = {key: t for key, t in lite0_state_dict().items() if not key.startswith("classifier.")}
        body.load_state_dict(state)
    return Trunk(body, body.pretrained_cfg["mean"], body.pretrained_cfg["std"])


def _hub_file(name: str) -> dict[str, str]:
    """Name the cached weights of a timm network; if there are none, make sure that the hub can be reached.

    Left to itself the hub's client tries an unreachable hub for most of a minute.
    """
    cached = huggingface_hub.try_to_load_from_cache(
        timm.get_pretrained_cfg(name).hf_hub_id, "model.safetensors"
    )
    if isinstance(cached, str):
        return {"file": cached}
    requests.head(huggingface_hub.constants.ENDPOINT, timeout=10)
    return {}


def _load(network: Trunk, backbone: str, file: Path) -> Trunk:
    """Fill the trunk from a file; tensors of a last layer that the trunk no longer has are passed over."""
    if not file.is_file():
        raise InputError(f"weights {str(file)!r}: no such file (or say 'imagenet' or 'none')")
    try:
        state = (
            load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        )
        missing = network.body.load_state_dict(state, strict=False).missing_keys
    except Exception as error:  # a truncated file, a pickle with code, tensors of other shapes
        raise InputError(f"weights {file}: not usable for {backbone!r} ({_first_line(error)})") from error
    if missing:
        raise InputError(
            f"weights {file}: {len(missing)} tensors of {backbone!r} are missing, e.g. {missing[0]}"
        )
    return network
