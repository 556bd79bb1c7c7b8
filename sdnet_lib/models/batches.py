"""Images on their way to a network: kept where it computes, taken row by row, changed at random there.

The images of a part are one tensor, with 8 bits a pixel if they came so, and lie in the memory of the GPU if
there is room. A batch is some rows of it: nothing is decoded, copied or put together image by image. On a CPU
the same code runs on the array that is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from fastai.data.load import DataLoader
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.torch_core import TensorCategory, TensorImage, TensorImageBW, to_detach
from fastai.vision.augment import affine_grid
from fasttransform import Pipeline
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from sdnet_lib.config import pick_device
from sdnet_lib.models.training_config import TrainingConfig

FRACTION = 0.25  # of what is free on a GPU, images may take; the rest is for the network
Normal = tuple[Sequence[float], Sequence[float]]  # mean and standard deviation, channel by channel


class Films(TensorImageBW):
    """A batch of images that is turned, shifted and zoomed without a question to the GPU.

    For a batch that shrinks to less than half, fastai first asks for the range of the coordinates, and the
    GPU idles until the answer has come. Here no image changes its size.
    """

    def affine_coord(
        self,
        mat: torch.Tensor,
        coord_tfm: Callable | None = None,
        sz: None = None,
        mode: str = "bilinear",
        pad_mode: str = "zeros",
        align_corners: bool | None = None,
    ) -> TensorImage:
        """Return the images seen through a matrix (n, 2, 3), and then a change of coordinates, for each."""
        coords = affine_grid(mat, self.shape, align_corners=align_corners)
        coords = coord_tfm(coords) if coord_tfm else coords
        return TensorImage(F.grid_sample(self, coords, mode, pad_mode, align_corners))


def free_memory(device: torch.device) -> float:
    """Return the bytes that are free on a GPU; on a CPU, where images are anyhow, there is no bound."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def home(size: int) -> torch.device:
    """Return where so many bytes of images are kept: on the device if they fit, else on the CPU."""
    device = pick_device()
    return device if size <= FRACTION * free_memory(device) else torch.device("cpu")


def loader(pixels: np.ndarray, targets: np.ndarray, normal: Normal, batch: int) -> DataLoader:
    """Serve images in their order, as they are."""
    return _served(pixels, targets, batch, False, _steps(pixels, normal, []))


def training_loader(
    pixels: np.ndarray, targets: np.ndarray, normal: Normal, config: TrainingConfig
) -> DataLoader:
    """Serve images in random order, or in that of the configuration, changed at random."""
    order = {"shuffle": True}
    if config.order or config.steps:
        order["get_idxs"] = partial(_rows, targets, config)
    if config.steps:
        order["n"] = config.steps * config.batch
    drop = len(pixels) > config.batch  # a last batch of one image would upset batch normalisation
    return _served(pixels, targets, config.batch, drop, _steps(pixels, normal, config.augment()), **order)


def _served(
    pixels: np.ndarray, targets: np.ndarray, batch: int, drop: bool, steps: Pipeline, **order: object
) -> DataLoader:
    images = torch.from_numpy(pixels if pixels.ndim == 4 else pixels[:, None])
    place = home(images.nbytes)
    kept = TensorDataset(
        images.to(place).as_subclass(Films), torch.as_tensor(targets).to(place).as_subclass(TensorCategory)
    )
    result = DataLoader(
        kept,
        bs=batch,
        drop_last=drop,
        device=pick_device(),
        create_batches=partial(_batches, kept, batch, drop),
        after_batch=steps,
        **order,
    )
    result.to_detach = _detached
    return result


def _detached(batch: object, *_: object) -> object:
    """Return losses or answers without their gradients, as fastai asks; they need not go to the CPU."""
    return to_detach(batch, cpu=False)


def _batches(kept: TensorDataset, batch: int, drop: bool, rows: Iterable[int]) -> Iterator[tuple]:
    """Yield the images and targets of some rows, batch by batch; the rows go to the device once an epoch."""
    for part in torch.tensor(list(rows), device=kept.tensors[0].device).split(batch):
        if len(part) == batch or not drop:
            yield kept[part]


def _rows(targets: np.ndarray, config: TrainingConfig) -> list[int]:
    """Return the rows of one epoch: of one pass, or of as many as its steps take, the last one cut short."""
    rng = np.random.default_rng(np.random.randint(2**31))

    def one_pass() -> list[int]:
        shuffled = config.order(targets, config.batch, rng) if config.order else rng.permutation(len(targets))
        return shuffled.tolist()

    if not config.steps:
        return one_pass()
    rows, wanted = [], config.steps * config.batch
    while len(rows) < wanted:
        rows += one_pass()
    return rows[:wanted]


def _steps(pixels: np.ndarray, normal: Normal, changes: list) -> Pipeline:
    # One grey channel less a mean of three channels becomes three grey channels: Normalize broadcasts.
    normalize = Normalize(*(torch.tensor(v, device=pick_device())[None, :, None, None] for v in normal))
    scale = IntToFloatTensor(255.0 if pixels.dtype == np.uint8 else 1.0)
    return Pipeline([scale, *changes, normalize], split_idx=0 if changes else 1)
