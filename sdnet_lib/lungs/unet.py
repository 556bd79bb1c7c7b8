"""The lung U-Net: built, fed and loaded."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sdnet_lib.checksums import Damaged, check_stamp, read_seal
from sdnet_lib.config import pick_device
from sdnet_lib.files import InputError, content_hash, one_line
from sdnet_lib.lungs.cross_fit import WEIGHTS

IMAGE_SIZE = 256  # height and width in pixels of what the network sees


def network(pretrained: bool = False) -> torch.nn.Module:
    """Build the U-Net: EfficientNet-Lite0 down to stride 16, a slim decoder up to half the resolution.

    0.9 million parameters. Input (n, 1, `IMAGE_SIZE`, `IMAGE_SIZE`) from `normalise`, output logits of the
    same shape.

    Parameters
    ----------
    pretrained : bool
        Whether the encoder starts from ImageNet, its first layer summed over the three colours.
    """
    with warnings.catch_warnings():  # importing it imports a downloader that misses widgets in a notebook
        warnings.filterwarnings("ignore", "IProgress not found")
        import segmentation_models_pytorch as smp
        from segmentation_models_pytorch.base import SegmentationHead

    unet = smp.Unet(
        "tu-tf_efficientnet_lite0",
        encoder_depth=4,
        encoder_weights=None,
        in_channels=1,
        decoder_channels=(64, 48, 32, 16),
    )
    if pretrained:
        from sdnet_lib.models.backbones import lite0_state_dict

        weights = lite0_state_dict()
        weights["conv_stem.weight"] = weights["conv_stem.weight"].sum(1, keepdim=True)
        unet.encoder.model.load_state_dict(weights, strict=False)
    del unet.encoder.model.blocks[5:]  # nothing beyond stride 16 takes part
    del unet.decoder.blocks[3:]  # half the resolution is fine enough for the outline of a lung
    unet.segmentation_head = SegmentationHead(32, 1, upsampling=2)
    return unet.to(memory_format=torch.channels_last)


def normalise(images: Tensor) -> Tensor:
    """Stretch the 1st to 99th percentile of each image of a batch (n, 1, height, width) to [-1, 1]."""
    n = len(images)
    levels = torch.tensor([0.01, 0.99], device=images.device)
    low, high = torch.quantile(images.reshape(n, -1)[:, ::7], levels, 1)
    low, high = low.view(n, 1, 1, 1), high.view(n, 1, 1, 1)
    return ((images - low) / (high - low).clamp(min=1e-3)).clamp(0, 1) * 2 - 1


def load(path: str | Path | None = None) -> torch.nn.Module:
    """Load the U-Net, ready to predict.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        A safetensors file written by `sdnet_lib.lungs.training.train`; by default the weights that come with
        the package, trained on four fifths of Montgomery and Shenzhen (see ``weights/lungs.md``).

    Raises
    ------
    InputError
        If the file is missing or holds another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path or WEIGHTS / "lungs.safetensors")
    unet = network()
    try:
        _check(path)
        unet.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{path}: not the weights of the lung U-Net ({one_line(error)[:200]})") from error
    return folded(unet.eval()).to(pick_device(), memory_format=torch.channels_last)


def folded(network: torch.nn.Module) -> torch.nn.Module:
    """Put each batch normalisation into the convolution before it: the same answers, in less time.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; changed in place. What follows a normalisation inside its module, as the
        activation in timm's, stays.
    """
    for module in list(network.modules()):
        convolution = ""
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Conv2d):
                convolution = name
            elif isinstance(child, torch.nn.BatchNorm2d) and convolution:
                setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), child))
                setattr(module, name, getattr(child, "act", torch.nn.Identity()))
                convolution = ""
    return network


def _check(path: Path) -> None:
    """Check weights by their own checksum; older ones of the package by that in ``lungs.json``."""
    if not check_stamp(path) and path.parent == WEIGHTS:
        known = read_seal(WEIGHTS / "lungs.json")["networks"][path.stem]["sha256"]
        if content_hash(path) != known:
            raise Damaged(f"{path}: damaged or replaced, lungs.json has another checksum")
