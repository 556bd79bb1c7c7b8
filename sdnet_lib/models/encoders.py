"""Encoders of today, as their makers publish them: images in, features out; nothing of them is trained here.

EfficientNet-Lite0 (Tan and Le, ICML 2019; Apache 2.0) knows the photographs of ImageNet; its weights come
with a package. The DenseNet-121 of torchxrayvision (Cohen et al., MIDL 2022; Apache 2.0) has learned 18
findings from seven sets of chest radiographs. RAD-DINO (Pérez-García et al., Nature Machine Intelligence
2025; MIT, for research only) has learned from radiographs without any label. The last two need a package of
the extra ``encoders``, and weights that are downloaded once.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import huggingface_hub
import requests
from torch import Tensor, nn

from sdnet_lib.config import IMAGENET, LITE0, NONE
from sdnet_lib.files import InputError, one_line
from sdnet_lib.models.backbones import load_backbone

XRV = "densenet121-res224-all"  # torchxrayvision's name of the weights that all seven sets made
RAD_DINO = "microsoft/rad-dino"
RAD_DINO_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


class Encoder(NamedTuple):
    """A network without an answer of its own, and what its input needs.

    Attributes
    ----------
    body : nn.Module
        From images, float (n, 3, image_size, image_size), all channels alike, to (n, features).
    features : int
    image_size : int
        Height and width in pixels of the images that it has learned from.
    mean, std : tuple of float
        Its input is (image - mean) / std, with images in [0, 1].
    weights : str
        Which they are; ``none`` for random ones.
    """

    body: nn.Module
    features: int
    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    weights: str


class FirstChannel(nn.Module):
    """Hand on the first of three equal channels, for networks that take grey images."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 1, height, width)."""
        return x[:, :1]


class ClassToken(nn.Module):
    """A vision transformer of transformers as features: its class token after the last normalisation.

    Of its layers only the first still is a picture: a class activation map is drawn there and says little.
    Occlusion and integrated gradients need no such layer.
    """

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, features)."""
        return self.transformer(pixel_values=x).last_hidden_state[:, 0]


def lite0(pretrained: bool) -> Encoder:
    """Return EfficientNet-Lite0 without its classes: 1280 features of images in [-1, 1]."""
    weights = IMAGENET if pretrained else NONE
    body, mean, std = load_backbone(LITE0, weights)
    return Encoder(body, body.head_hidden_size, 224, mean, std, weights)


def xrv_densenet121(pretrained: bool) -> Encoder:
    """Return torchxrayvision's DenseNet-121 without its findings: 1024 features of images in [-1024, 1024].

    Raises
    ------
    InputError
        If its weights are neither here nor to be had.
    """
    with warnings.catch_warnings():  # importing it would silence all warnings of this process
        from torchxrayvision import models, utils
    network = models.DenseNet() if not pretrained else _xrv_pretrained(models, Path(utils.get_cache_dir()))
    pooled = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    body = nn.Sequential(FirstChannel(), network.features, *pooled)
    weights = XRV if pretrained else NONE
    return Encoder(body, network.classifier.in_features, 224, (0.5,) * 3, (1 / 2048,) * 3, weights)


def _xrv_pretrained(models: object, folder: Path) -> nn.Module:
    """Let torchxrayvision read its file, or download it; what it prints goes to stderr."""
    address = models.model_urls[XRV]["weights_url"]
    file = folder / Path(address).name
    if not file.exists():
        _reach(address, XRV, f"{address} belongs in {file}")
    try:
        with redirect_stdout(sys.stderr):
            return models.DenseNet(weights=XRV)
    except Exception as error:  # requests, pickle and torch each have their own error
        raise InputError(f"{file}: not the weights {XRV} ({one_line(error)})") from error


def _reach(address: str, weights: str, advice: str) -> None:
    """Make sure that a machine with weights can be reached; some clients try an unreachable one for long."""
    try:
        requests.head(address, timeout=10)
    except requests.RequestException as error:
        host = urlsplit(address).hostname
        raise InputError(f"no weights {weights}, and {host} cannot be reached: {advice}") from error


def rad_dino(pretrained: bool) -> Encoder:
    """Return RAD-DINO, a ViT-B/14: 768 features of images that are normalised as its own files say.

    Raises
    ------
    InputError
        If its files are neither here nor to be had.
    """
    from transformers import Dinov2Config, Dinov2Model

    if not pretrained:
        sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
        config = Dinov2Config(image_size=518, patch_size=14, **sizes)
        return Encoder(ClassToken(Dinov2Model(config)), 768, 518, (0.0,) * 3, (1.0,) * 3, NONE)
    folder = _rad_dino_folder()
    try:
        transformer = Dinov2Model.from_pretrained(folder, local_files_only=True)
        said = json.loads((folder / "preprocessor_config.json").read_text())
        size, mean, std = said["crop_size"]["height"], said["image_mean"], said["image_std"]
    except Exception as error:  # damaged files, of which each part of transformers has its own error
        raise InputError(f"{folder}: not the files of {RAD_DINO} ({one_line(error)})") from error
    weights = f"{RAD_DINO} {folder.name[:7]}"  # the folder is called as the version
    return Encoder(ClassToken(transformer), transformer.config.hidden_size, size, mean, std, weights)


def _rad_dino_folder() -> Path:
    """Return the folder of RAD-DINO's files in the hub's cache, downloaded where they are missing."""
    files = [huggingface_hub.try_to_load_from_cache(RAD_DINO, name) for name in RAD_DINO_FILES]
    if not all(isinstance(file, str) for file in files):
        hub = huggingface_hub.constants
        place = Path(hub.HF_HUB_CACHE) / f"models--{RAD_DINO.replace('/', '--')}"
        _reach(hub.ENDPOINT, RAD_DINO, f"`hf download {RAD_DINO}`, where there is a network, fills {place}")
        try:
            files = [huggingface_hub.hf_hub_download(RAD_DINO, name) for name in RAD_DINO_FILES]
        except Exception as error:  # the hub's, or a full disk
            raise InputError(f"no weights {RAD_DINO} in {place} ({one_line(error)})") from error
    return Path(files[0]).parent


ENCODERS: dict[str, Callable[[bool], Encoder]] = {
    "lite0": lite0,
    "xrv-densenet121": xrv_densenet121,
    "rad-dino": rad_dino,
}
