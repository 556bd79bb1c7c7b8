"""Trained generators, stored or in memory, and what they make of an image: the twins x+ and x-.

`training.fit` makes generators.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from tqdm import tqdm

from sdnet_lib.checksums import check_stamp, write_tensors
from sdnet_lib.config import one_thread, pick_device
from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.data.images import ImageError, write_picture
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.files import InputError, one_line, write_json
from sdnet_lib.models.fucitnet.generators import run_generator
from sdnet_lib.models.fucitnet.networks import start

BATCH = 16
SIGNS = ("+", "-")  # of the twins, in their order everywhere
NETWORKS = ("plus", "minus", "classifier")  # of a `Fitted`, and in its file


class Fitted(NamedTuple):
    """Trained generators and classifier, and where they come from.

    Attributes
    ----------
    plus, minus : nn.Module
        The paper's G_P and G_N: (n, 3, height, width) in [0, 1] to the same shape, not clamped.
    classifier : nn.Module
        The same shape to logits (n, 2), in the order of `LABELS`.
    history : DataFrame
        A row per epoch: `epoch` from 1; means over the training batches of each generator's `mse`,
        `perceptual`, `cross_entropy` and `loss` (equation 1), with `_N` or `_P`, and of `classifier_loss`;
        then `valid_loss`, the classifier's cross-entropy on all twins, `valid_accuracy`, of the decision of
        `approach.Fucitnet`, and `valid_mse` between images and twins.
    origin : dict
        How they were made, ready for JSON: `lambda`, `lambdas_tried`, `perceptual` and `classifier` (which
        weights were used), `backbone`, `way` (the variant), `side` (the image size), `images`, `batch`,
        `seed`, `epochs`, `best_epoch`.
    """

    plus: nn.Module
    minus: nn.Module
    classifier: nn.Module
    history: pd.DataFrame
    origin: dict


def transform(fitted: Fitted, pixels: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Return both twins of each image.

    Parameters
    ----------
    fitted : Fitted
        From `training.fit` or `load`.
    pixels : uint8 array, (n, image_size, image_size)
        Their size need not be that of the training.
    batch : int
        Images that the networks see at once.

    Returns
    -------
    float16 array, (n, 2, 3, image_size, image_size)
        x+ = G_P(x), then x- = G_N(x), clamped to [0, 1].
    """
    return through((fitted.plus, fitted.minus), pixels, batch)


def through(pair: Sequence[nn.Module], pixels: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Return what two networks from image to image, x+ first, make of each image; see `transform`."""
    device = pick_device()
    generators = [g.eval().to(device, memory_format=torch.channels_last) for g in pair]
    result = np.empty((len(pixels), len(SIGNS), 3, *pixels.shape[1:]), np.float16)
    mixed = torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")
    with torch.inference_mode(), one_thread(), mixed:
        for first in range(0, len(pixels), batch):
            grey = torch.from_numpy(pixels[first : first + batch]).to(device)[:, None] / 255
            images = grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            for place, generator in enumerate(generators):
                twins = run_generator(generator, images).float().clamp(0, 1)
                result[first : first + batch, place] = twins.half().cpu().numpy()
    return result


def save(fitted: Fitted, file: str | Path) -> None:
    """Write the networks as safetensors, whole or not at all, with `history` and `origin` in the header."""
    tensors = {
        f"{name}.{key}": tensor.contiguous()
        for name in NETWORKS
        for key, tensor in getattr(fitted, name).state_dict().items()
    }
    header = {"origin": json.dumps(fitted.origin), "history": json.dumps(fitted.history.to_dict("records"))}
    write_tensors(file, tensors, header)


def load(file: str | Path) -> Fitted:
    """Read what `save` wrote, ready for `transform`.

    Raises
    ------
    InputError
        If the file is missing, damaged or something else.
    """
    try:
        check_stamp(Path(file))
        with safe_open(file, "pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        origin = json.loads(header["origin"])
        history = pd.DataFrame(json.loads(header["history"]))
        networks = start(origin["backbone"], "none", origin["way"])
        minus, plus = networks.generators
        parts = dict(zip(NETWORKS, (plus, minus, networks.classifier), strict=True))
        for name, network in parts.items():
            own = {
                key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")
            }
            network.load_state_dict(own)
            network.eval().to(pick_device())
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{file}: not the networks of FuCiTNet, or damaged ({one_line(error)})") from error
    return Fitted(**parts, history=history, origin=origin)


def write(fitted: Fitted, cohort: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Write the twins of a cohort, of the size of the generators' training, as a cohort of four classes.

    Writes ``twins/`` (PNG, 8 bits, colour), ``origin.json`` (how generators were made) and ``cohort.csv``.

    Parameters
    ----------
    fitted : Fitted
        From `training.fit` or `load`.
    cohort : DataFrame
        A checked cohort.
    folder : str or pathlib.Path
        Made if need be.

    Returns
    -------
    DataFrame
        Two rows per image, x+ first, with all columns of the cohort. `image_id` ends in the twin's sign, and
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
    for number in tqdm(range(len(cohort)), "twins", unit="image", disable=None):
        one = cohort.iloc[[number]]
        try:
            pixels = read_pixels(one, fitted.origin["side"])
        except ImageError as error:
            bad.append(str(error))
            continue
        row = one.to_dict("records")[0]
        for sign, twin in zip(SIGNS, transform(fitted, pixels)[0], strict=True):
            name = row["image_id"] + sign
            file = folder / "twins" / f"{quote(name, safe=' +')}.png"
            colours = np.rint(twin.astype(np.float32).transpose(1, 2, 0) * 255).astype(np.uint8)
            write_picture(file, colours, format="PNG")
            rows.append(row | {"image_id": name, "file": str(file), "label4": row["label"] + sign})
    table = pd.DataFrame(rows, columns=[*cohort.columns, "label4"])
    if rows:
        write_cohort(table, folder)
        write_json(folder / "origin.json", fitted.origin)
    if bad:
        named = "; ".join(bad[:10]) + ("; ..." if len(bad) > 10 else "")
        raise InputError(f"{len(bad)} of {len(cohort)} images have no twins, all others do: {named}")
    return table
