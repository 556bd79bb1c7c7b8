"""What trained generators are good for: the twins x+ and x- of an image, in memory or files, and a decision.

`sdnet_lib.models.fucitnet.transform` trains them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from sdnet_lib.config import pick_device
from sdnet_lib.data.cohort import LABELS, write_cohort
from sdnet_lib.data.images import ImageError
from sdnet_lib.files import InputError, write_json
from sdnet_lib.models.classifier import read_pixels

BATCH = 16
SIGNS = ("+", "-")  # of the twins, in their order everywhere
NEGATIVE, POSITIVE = [0, 2], [1, 3]  # columns of `classify`


class Transform(NamedTuple):
    """Trained generators and classifier, and where they come from.

    Attributes
    ----------
    plus, minus : nn.Module
        The paper's G_P and G_N: (n, 3, height, width) in [0, 1] to the same shape, not clamped.
    classifier : nn.Module
        The same shape to logits (n, 2), in the order of `LABELS`.
    history : DataFrame
        A row an epoch: `epoch` from 1; means over the training batches of each generator's `mse`,
        `perceptual`, `cross_entropy` and `loss` (equation 1), with `_N` or `_P`, and of `classifier_loss`;
        then `valid_loss`, the classifier's cross-entropy on all twins, `valid_accuracy`, of the decision of
        `classify`, and `valid_mse` between images and twins.
    origin : dict
        How they were made, ready for JSON: `lambda`, `lambdas_tried`, `perceptual` and `classifier` (which
        weights were used), `backbone`, `way`, `image_size`, `images`, `batch`, `seed`, `epochs`, `best_epoch`.
    """

    plus: nn.Module
    minus: nn.Module
    classifier: nn.Module
    history: pd.DataFrame
    origin: dict


def transform(fitted: Transform, pixels: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Return both twins of each image.

    Parameters
    ----------
    fitted : Transform
        From `fucitnet.fit` or `fucitnet.load`.
    pixels : uint8 array, (n, image_size, image_size)
        The side need not be that of the training.
    batch : int
        Images that the networks see at once.

    Returns
    -------
    float16 array, (n, 2, 3, side, side)
        x+ = G_P(x), then x- = G_N(x), clamped to [0, 1].
    """
    result = np.empty((len(pixels), len(SIGNS), 3, *pixels.shape[1:]), np.float16)
    for start, images in _batches(fitted, pixels, batch):
        for place, network in enumerate((fitted.plus, fitted.minus)):
            twins = network(images).float().clamp(0, 1)
            result[start : start + batch, place] = twins.half().cpu().numpy()
    return result


def classify(fitted: Transform, pixels: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Return what FuCiTNet alone says of images: one softmax over the classifier's answers to both twins.

    FuCiTNet decides for the class of the largest answer, whichever twin it is to. `fused` makes probabilities
    of that.

    Parameters
    ----------
    fitted, pixels, batch
        As in `transform`.

    Returns
    -------
    float array, (n, 4)
        N and P of x-, then N and P of x+; each row sums to one. See `NEGATIVE` and `POSITIVE`.
    """
    rows = []
    for _, images in _batches(fitted, pixels, batch):
        logits = [fitted.classifier(network(images)) for network in (fitted.minus, fitted.plus)]
        rows.append(torch.cat(logits, 1).float().softmax(1).cpu().numpy())
    return np.concatenate(rows) if rows else np.empty((0, len(LABELS) * len(SIGNS)))


def fused(answers: np.ndarray) -> np.ndarray:
    """Return the probability of P, (n,), from the answers of `classify`: its largest against that of N."""
    positive, negative = answers[:, POSITIVE].max(1), answers[:, NEGATIVE].max(1)
    return positive / (positive + negative)


def _batches(fitted: Transform, pixels: np.ndarray, batch: int) -> Iterator[tuple[int, Tensor]]:
    """Yield where each batch starts, and its images in colour; meanwhile everything is in inference mode."""
    device = pick_device()
    for network in (fitted.plus, fitted.minus, fitted.classifier):
        network.eval().to(device, memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
        for start in range(0, len(pixels), batch):
            grey = torch.from_numpy(pixels[start : start + batch]).to(device)[:, None] / 255
            yield start, grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def stream(
    fitted: Transform, cohort: pd.DataFrame, image_size: int
) -> Iterator[tuple[dict, np.ndarray | ImageError, np.ndarray | None]]:
    """Make the twins of a cohort, a few images at a time.

    Parameters
    ----------
    fitted : Transform
        From `fucitnet.fit` or `fucitnet.load`.
    cohort : DataFrame
        The column `file` is used.
    image_size : int
        Side in pixels of the twins.

    Yields
    ------
    tuple
        Row, x+ and x-, both float16 (3, side, side) in [0, 1]; for a file that cannot be read its
        `ImageError` and None. Rows come in the order of the cohort.
    """
    for start in range(0, len(cohort), BATCH):
        rows = cohort.iloc[start : start + BATCH]
        images = _read(rows, image_size)
        usable = [image for image in images if isinstance(image, np.ndarray)]
        twins = iter(transform(fitted, np.stack(usable)) if usable else ())
        for row, image in zip(rows.to_dict("records"), images, strict=True):
            yield (row, *next(twins)) if isinstance(image, np.ndarray) else (row, image, None)


def _read(rows: pd.DataFrame, image_size: int) -> list[np.ndarray | ImageError]:
    """Read the images of a few rows at once, or if one of them is bad, each by itself."""
    try:
        return list(read_pixels(rows, image_size))
    except ImageError as error:
        if len(rows) == 1:
            return [error]
        return [image for number in range(len(rows)) for image in _read(rows.iloc[[number]], image_size)]


def write(fitted: Transform, cohort: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Write the twins of a cohort, at the side of the generators' training, as a cohort of four classes.

    Writes ``twins/`` (PNG, 8 bits, colour), ``origin.json`` (how generators were made) and ``cohort.csv``.

    Parameters
    ----------
    fitted : Transform
        From `fucitnet.fit` or `fucitnet.load`.
    cohort : DataFrame
        A checked cohort.
    folder : str or pathlib.Path
        Made if need be.

    Returns
    -------
    DataFrame
        Two rows an image, x+ first, with all columns of the cohort. `image_id` ends in the twin's sign, and
        `label4` is the class of the image with that sign: P+, P-, N+ or N- (the paper's relabelling).

    Raises
    ------
    InputError
        If `folder` holds an image of the cohort itself; at the end, if files could not be read, naming them
        (the twins of all others are written).
    """
    folder = Path(os.path.abspath(folder))
    for file in cohort["file"]:
        if folder in Path(file).parents:
            raise InputError(f"{folder}: holds {file}, which could be overwritten; choose another folder")
    bad, rows = [], []
    coming = stream(fitted, cohort, fitted.origin["side"])
    for row, *twins in tqdm(coming, "twins", len(cohort), unit="image", disable=None):
        if isinstance(twins[0], ImageError):
            bad.append(twins[0])
            continue
        for sign, twin in zip(SIGNS, twins, strict=True):
            name = row["image_id"] + sign
            file = folder / "twins" / f"{quote(name, safe=' +')}.png"
            _write_colour(file, twin)
            rows.append(row | {"image_id": name, "file": str(file), "label4": row["label"] + sign})
    table = pd.DataFrame(rows, columns=[*cohort.columns, "label4"])
    if rows:
        write_cohort(table, folder)
        write_json(folder / "origin.json", fitted.origin)
    if bad:
        named = "; ".join(str(error) for error in bad[:10]) + ("; ..." if len(bad) > 10 else "")
        raise InputError(f"{len(bad)} of {len(cohort)} images have no twins, all others do: {named}")
    return table


def _write_colour(file: Path, image: np.ndarray) -> None:
    """Write (3, height, width) in [0, 1] as PNG, atomically."""
    pixels = np.rint(image.astype(np.float32).transpose(1, 2, 0) * 255).astype(np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        Image.fromarray(pixels).save(part, format="PNG")
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
