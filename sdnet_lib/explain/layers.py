"""Which layer is a class activation map taken from? Those that still are pictures, and the one to take.

A map of the very last layer, the paper's habit and everyone's, has a cell for each 32 x 32 pixels: an opacity
is smaller. One stage earlier a cell has 16 x 16 pixels. The model card and chapter 9 have what each layer is
worth, measured on the shipped model.
"""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from sdnet_lib.models.predictors import Predictor, to_images

CELL = 16  # pixels of the image, at most, for each cell of the map
_known: WeakKeyDictionary[nn.Module, dict[int, dict[str, int]]] = WeakKeyDictionary()  # by image_size too


def cells(predictor: Predictor, image_size: int) -> dict[str, int]:
    """Return the layers whose output still is a picture, in the order in which they end.

    What a network's layers are is remembered: looking for them takes a pass.

    Parameters
    ----------
    predictor : Predictor
    image_size : int
        Side in pixels of its images.

    Returns
    -------
    dict of str to int
        Paths in the network, and how many cells each picture has in a row.
    """
    known = _known.setdefault(predictor.network, {})
    if image_size not in known:
        known[image_size] = _look(predictor, image_size)
    return known[image_size]


def _look(predictor: Predictor, image_size: int) -> dict[str, int]:
    found: dict[str, int] = {}

    def note(name: str, _: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            found.pop(name, None)  # a layer that is called twice counts where it comes last
            found[name] = output.shape[-1]

    predictor.ready()
    named = [(name, module) for name, module in predictor.network.named_modules() if name]
    hooks = [module.register_forward_hook(partial(note, name)) for name, module in named]
    try:
        with torch.inference_mode():
            predictor(to_images(np.zeros((1, image_size, image_size), np.uint8)))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def last(predictor: Predictor, image_size: int) -> str:
    """Return the last layer that is a picture: the last stage of a ResNet, where Grad-CAM's authors look."""
    return list(cells(predictor, image_size))[-1]


def fine(predictor: Predictor, image_size: int) -> str:
    """Return the layer that maps are taken from: the last stage with a cell for each 16 x 16 pixels.

    That is ``blocks.4`` of EfficientNet-Lite0 and ``layer3`` of a ResNet. Of layers with so many cells it is
    the last of the outermost ones, for inside a block a part of what is known takes a way around. Of a
    network without such a layer it is the last that is a picture.
    """
    found = cells(predictor, image_size)
    enough = [number for number in found.values() if number * CELL >= image_size]
    if not enough:
        return last(predictor, image_size)
    stage = [name for name, number in found.items() if number == min(enough)]
    outermost = min(name.count(".") for name in stage)
    return [name for name in stage if name.count(".") == outermost][-1]
