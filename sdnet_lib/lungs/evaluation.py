"""Measuring the lung U-Nets on patients and hospitals they have not seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from torchvision.ops import box_iou
from tqdm import tqdm

from sdnet_lib.checksums import read_seal, write_seal
from sdnet_lib.data.images import ImageError, read_mask
from sdnet_lib.files import content_hash
from sdnet_lib.lungs.crop import MARGIN, Box, bounding_box, rectangle
from sdnet_lib.lungs.cross_fit import unseen_network
from sdnet_lib.lungs.segmentation import segment
from sdnet_lib.lungs.unet import WEIGHTS

COVERED = 0.95  # of the true rectangle's area: the crop box has then lost next to nothing
COLUMNS = (
    "images",
    "dice_mean",
    "dice_5th_percentile",
    "covered",
    "iou_median",
    "iou_tight_median",
    "lungs_not_found",
)


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice coefficient of two bool masks: twice what they share over the sum of their sizes."""
    return float(2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum()))


def area(box: Box) -> int:
    """Return the number of pixels in a box (left, top, right, bottom), right and bottom exclusive."""
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def overlap(one: Box, two: Box) -> int:
    """Return the number of pixels that two boxes share."""
    return area(tuple((max, max, min, min)[i](one[i], two[i]) for i in range(4)))


def iou(one: Box, two: Box) -> float:
    """Return the intersection over union of two boxes."""
    return float(box_iou(*(torch.tensor([box], dtype=torch.float64) for box in (one, two))))


def compare(mask: np.ndarray, truth: np.ndarray) -> dict:
    """Compare a predicted lung mask with the true one, and the boxes around both.

    Returns
    -------
    dict
        `dice`; `coverage`: fraction of the true mask's rectangle inside the crop box, margin included;
        `iou`: of the crop box and the box that the same margin gives the true mask; `iou_tight`: of both
        rectangles without a margin; `lungs_found` (where not, the whole image counts as the crop box).
    """
    height, width = mask.shape
    found = bounding_box(mask) is not None
    crop, tight = (rectangle(mask, margin) if found else (0, 0, width, height) for margin in (MARGIN, 0))
    true_crop, true_tight = rectangle(truth, MARGIN), rectangle(truth)
    return {
        "dice": dice(mask, truth),
        "coverage": overlap(crop, true_tight) / area(true_tight),
        "iou": iou(crop, true_crop),
        "iou_tight": iou(tight, true_tight),
        "lungs_found": found,
    }


def pairs(cohort: pd.DataFrame) -> Iterator[tuple[dict, np.ndarray, np.ndarray]]:
    """Yield each row of a cohort with its predicted and its true lung mask, bool (height, width).

    Parameters
    ----------
    cohort : pandas.DataFrame
        A checked cohort with a `lung_mask` in every row. Each image goes through the network that
        `sdnet_lib.lungs.cross_fit.unseen_network` names.

    Raises
    ------
    ImageError
        If an image or mask cannot be read.
    """
    for row, image, mask in tqdm(segment(cohort), "measure", len(cohort), unit="image", disable=None):
        if isinstance(image, ImageError):
            raise image
        yield row, mask, read_mask(row["lung_mask"], image.shape)


def measure(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return `image_id`, `source`, `view`, `network` and what `compare` says of each image; see `pairs`."""
    rows = []
    for row, mask, truth in pairs(cohort):
        known = {name: row[name] for name in ("image_id", "source", "view")}
        known["network"] = unseen_network(row["source"], row["patient_id"])
        rows.append(known | compare(mask, truth))
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> dict:
    """Summarise the rows of `measure`: Dice coefficients, fraction of images well covered, median IoU."""
    return {
        "images": len(table),
        "dice_mean": round(table["dice"].mean(), 4),
        "dice_5th_percentile": round(table["dice"].quantile(0.05), 4),
        "covered": round((table["coverage"] >= COVERED).mean(), 4),
        "iou_median": round(table["iou"].median(), 4),
        "iou_tight_median": round(table["iou_tight"].median(), 4),
        "lungs_not_found": int((~table["lungs_found"]).sum()),
    }


def evaluate(cohort: pd.DataFrame, external: pd.DataFrame, out: Path) -> Path:
    """Measure the shipped networks on their unseen folds and on another hospital's images.

    Writes ``lungs.json``, from which `publish.lung_card` makes the model card, to the folder `out`.

    Parameters
    ----------
    cohort : pandas.DataFrame
        Shenzhen and Montgomery.
    external : pandas.DataFrame
        The COVID-19 Image Data Collection, with `mask_source`; rows without a `lung_mask` are left out.
    out : pathlib.Path
        Made if need be.

    Returns
    -------
    pathlib.Path
        The file ``lungs.json``.
    """
    unseen = measure(cohort)
    with_mask = external[external["lung_mask"] != ""]
    outside = measure(with_mask).merge(with_mask[["image_id", "mask_source"]], on="image_id")
    networks = {name: _network(name) | summary(part) for name, part in unseen.groupby("network")}
    parts = [("all", outside), *outside.groupby("mask_source"), *outside.groupby("view")]
    results = {
        "networks": networks,
        "unseen": {source: summary(part) for source, part in unseen.groupby("source")},
        "external": {name: summary(part) for name, part in parts},
    }
    write_seal(out / "lungs.json", results)
    return out / "lungs.json"


def published(part: str) -> pd.DataFrame:
    """Return one part of the committed results as a table, for the book.

    Parameters
    ----------
    part : str
        ``networks`` (on their unseen folds), ``unseen`` (the same by source) or ``external`` (the COVID-19
        Image Data Collection: all, by maker of the mask, by view).
    """
    results = read_seal(WEIGHTS / "lungs.json")
    return pd.DataFrame(results[part]).T[list(COLUMNS)].convert_dtypes()


def _network(name: str) -> dict:
    file = WEIGHTS / f"{name}.safetensors"
    with safe_open(file, "pt") as stored:
        record = json.loads(stored.metadata()["record"])
    return record | {"bytes": file.stat().st_size, "sha256": content_hash(file)}
