"""Training images varied as other hospitals would: geometry, exposure, opacities, noise, collimation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sdnet_lib.lungs.unet import normalise


def _uniform(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count, 1, 1, 1).uniform_(low, high)


def _sometimes(changed: Tensor, image: Tensor, fraction: float) -> Tensor:
    """Keep the change in about `fraction` of the images of the batch."""
    return torch.where(torch.rand(len(image), 1, 1, 1) < fraction, changed, image)


def _clouds(count: int, size: int) -> Tensor:
    """Draw (count, 1, size, size) smooth noise, standard normal before its enlargement from 3 to 9 cells."""
    cells = int(torch.randint(3, 10, ()))
    return F.interpolate(torch.randn(count, 1, cells, cells), (size, size), mode="bicubic")


def _move(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Flip, scale, stretch, turn and shift image and mask together; what comes in from outside is black."""
    n = len(image)
    angle = torch.empty(n).uniform_(-0.2, 0.2)
    zoom = torch.empty(n).uniform_(math.log(0.68), math.log(1.3)).exp()
    stretch = torch.empty(n).uniform_(-0.18, 0.18).exp()  # the training images were squashed to squares
    flip = torch.randint(0, 2, (n,)) * 2 - 1
    wide, high = zoom * stretch, zoom / stretch
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([wide * flip * cos, -wide * sin, high * flip * sin, high * cos], 1)
    shift = torch.empty(n, 2, 1).uniform_(-0.22, 0.22)
    grid = F.affine_grid(torch.cat([rows.view(n, 2, 2), shift], 2), list(image.shape), align_corners=False)
    moved = F.grid_sample(torch.cat([image, mask], 1), grid, align_corners=False)
    return moved[:, :1], moved[:, 1:]


def _opacify(image: Tensor, mask: Tensor) -> Tensor:
    """Lay whitish clouds over the lungs, as pneumonia does; bases more than apices."""
    n, size = len(image), image.shape[-1]
    height = torch.linspace(-1, 1, size).view(1, 1, size, 1)
    cloud = torch.sigmoid(3 * (_clouds(n, size) + height * _uniform(n, -0.5, 2) - _uniform(n, -0.5, 1.5)))
    lungs_only = F.avg_pool2d(mask, 9, 1, 4)
    target = image + (_uniform(n, 0.5, 0.85) - image).clamp(min=0)
    return image + _uniform(n, 0.2, 0.95) * cloud * lungs_only * (target - image)


def augment(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Vary a training batch as other hospitals would: geometry, exposure, opacities, noise, collimation.

    Parameters
    ----------
    batch : tuple of torch.Tensor
        Images and masks, each (n, 1, size, size), uint8.

    Returns
    -------
    tuple of torch.Tensor
        Normalised images and soft masks in [0, 1], float32, same shape.
    """
    image, mask = (part.float() / 255 for part in batch)
    n, size = len(image), image.shape[-1]
    image, mask = _move(image, mask)
    image = _sometimes(_opacify(image, mask), image, 0.5)
    image = (image * (1 + _uniform(n, 0, 0.25) * _clouds(n, size))).clamp(0, 1)
    image = image ** _uniform(n, math.log(0.5), math.log(2)).exp()
    image = _sometimes((image - 0.5) * _uniform(n, 0.6, 1.8) + _uniform(n, 0.3, 0.7), image, 0.5).clamp(0, 1)
    coarse = int(torch.randint(size // 3, size, ()))
    small = F.interpolate(image, (coarse, coarse), mode="bilinear", antialias=True)
    image = _sometimes(F.interpolate(small, (size, size), mode="bilinear"), image, 0.4)
    image = image + _sometimes(_uniform(n, 0, 0.06), torch.zeros(n, 1, 1, 1), 0.5) * torch.randn_like(image)
    place = torch.linspace(0, 1, size)
    left, top, right, bottom = (_uniform(n, -0.3, 0.08).clamp(min=0) for _ in range(4))
    seen_x = (place.view(1, 1, 1, -1) >= left) & (place.view(1, 1, 1, -1) <= 1 - right)
    seen_y = (place.view(1, 1, -1, 1) >= top) & (place.view(1, 1, -1, 1) <= 1 - bottom)
    seen = seen_x & seen_y
    image = torch.where(seen, image, _uniform(n, -0.5, 1).clamp(min=0))
    return normalise(image.clamp(0, 1)), mask * seen
