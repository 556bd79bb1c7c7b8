"""The rectangle around both lungs, and cohorts cropped to it.

Section 4, step 1 of the paper: the lungs are segmented, the smallest rectangle around them is widened by
2.5 % on each side, and all that follows sees this rectangle alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from sdnet_lib.checksums import kept_folder
from sdnet_lib.config import cache_dir
from sdnet_lib.data.cohort import fingerprint, read_cohort, write_cohort
from sdnet_lib.data.images import ImageError, apart, read_mask, write_gray
from sdnet_lib.files import InputError, write_text
from sdnet_lib.lungs.cross_fit import networks_key
from sdnet_lib.names import csv_text, file_names

Box = tuple[int, int, int, int]

MARGIN = 0.025  # of the rectangle's own width and height, on each side
SMALLEST_AREA = 0.05  # of the image: less is no pair of lungs
SMALLEST_SIDE = 0.2  # of the image's width and height
BOX = ("left", "top", "right", "bottom", "lungs_found")  # columns of boxes.csv
FOLDERS = {"file": "images", "lung_mask": "lung_masks", "lesion_mask": "lesion_masks"}


def bounding_box(mask: np.ndarray, margin: float = MARGIN) -> Box | None:
    """Return the smallest rectangle around a lung mask, widened and clipped at the border of the image.

    Parameters
    ----------
    mask : numpy.ndarray
        Bool, (height, width).
    margin : float
        What is added on each side, as a fraction of the rectangle's own width (left, right) and height (top,
        bottom). 0.025 is our reading of the paper's "2.5 % of pixels".

    Returns
    -------
    tuple of int or None
        left, top, right, bottom in pixels, right and bottom exclusive. None where no lungs were found: the
        mask is smaller than `SMALLEST_AREA` or its rectangle narrower or lower than `SMALLEST_SIDE`.
    """
    height, width = mask.shape
    if mask.sum() < max(1, SMALLEST_AREA * mask.size):
        return None
    left, top, right, bottom = rectangle(mask)
    if right - left < SMALLEST_SIDE * width or bottom - top < SMALLEST_SIDE * height:
        return None
    return rectangle(mask, margin)


def rectangle(mask: np.ndarray, margin: float = 0) -> Box:
    """Return the smallest rectangle around a mask that is not empty, widened as in `bounding_box`."""
    height, width = mask.shape
    columns, rows = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    dx, dy = round(margin * (right - left)), round(margin * (bottom - top))
    box = max(0, left - dx), max(0, top - dy), min(width, right + dx), min(height, bottom + dy)
    return tuple(int(edge) for edge in box)


def crop_cohort(cohort: pd.DataFrame, out: str | Path, *, masks: bool = False) -> pd.DataFrame:
    """Crop every image of a cohort to its lungs.

    Writes ``images/`` (PNG, 8 bits), ``boxes.csv`` (`image_id`, `left`, `top`, `right`, `bottom` in pixels of
    the source image, right and bottom exclusive, `lungs_found`, and `warning` if a file has one) and
    ``cohort.csv``. True masks that the cohort brings along (`lung_mask`, `lesion_mask`) are cropped with
    their image. An image where no lungs are found is passed through whole, with `lungs_found` False.

    Parameters
    ----------
    cohort : pandas.DataFrame
        A checked cohort. Patients of Shenzhen and Montgomery are segmented by a network that never saw them.
    out : str or pathlib.Path
        The folder to write; made if need be.
    masks : bool
        Whether to write the predicted masks, at the size of the source image, to ``masks/``.

    Returns
    -------
    pandas.DataFrame
        The cohort of the crops: all columns kept, `lungs_found` added.

    Raises
    ------
    InputError
        If `out` holds an image of the cohort itself; at the end, if files could not be read, naming them (all
        others are written).
    """
    out = apart(out, cohort["file"])
    from sdnet_lib.lungs.segmentation import THREADS, segment  # not before: torch takes seconds to load

    bad, writing = [], []
    with ThreadPoolExecutor(THREADS) as writers:
        names = dict(zip(cohort["image_id"], file_names(cohort["image_id"]), strict=True))
        for row, image, mask in tqdm(segment(cohort), "crop", len(cohort), unit="image", disable=None):
            if mask is None:
                bad.append(image)
            else:
                writing.append(
                    writers.submit(_write_crop, row, names[row["image_id"]], image, mask, out, masks)
                )
    rows = []
    for written in writing:
        try:
            rows.append(written.result())
        except ImageError as error:
            bad.append(error)
    if rows:
        crops = pd.DataFrame(rows).set_index("image_id", drop=False)
        crops = crops.loc[[name for name in cohort["image_id"] if name in crops.index]].reset_index(drop=True)
        warned = ["warning"] if crops["warning"].any() else []
        write_text(out / "boxes.csv", csv_text(crops[["image_id", *BOX, *warned]]))
        crops = crops.drop(columns=[*BOX[:4], "warning"])
        write_cohort(crops, out)
    if bad:
        named = "; ".join(str(error) for error in bad[:10]) + ("; ..." if len(bad) > 10 else "")
        raise InputError(f"{len(bad)} of {len(cohort)} images could not be cropped, all others were: {named}")
    return crops


def cached_crops(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a cohort cropped to its lungs, from the cache if it was cropped before and nothing is damaged.

    Parameters
    ----------
    cohort : pandas.DataFrame
        A checked cohort.

    Returns
    -------
    pandas.DataFrame
        What `crop_cohort` returns, in the order of `cohort`; the files lie in the cache folder.

    Raises
    ------
    InputError
        If files could not be read: nothing is kept in the cache then.
    """
    folder = cache_dir() / "crops" / f"{fingerprint(cohort)}-{networks_key(cohort)}"
    kept_folder(folder, lambda part: crop_cohort(cohort, part))
    table = read_cohort(folder, check_files=False).set_index("image_id", drop=False)
    return table.loc[cohort["image_id"]].reset_index(drop=True)


def crop_boxes(cohort: pd.DataFrame) -> list[Box]:
    """Return where the crops of `cached_crops` are: left, top, right, bottom in pixels of each image."""
    folder = Path(cached_crops(cohort)["file"].iloc[0]).parent.parent
    table = pd.read_csv(folder / "boxes.csv", dtype={"image_id": str})
    rows = table.set_index("image_id").loc[cohort["image_id"], list(BOX[:4])]
    return [tuple(map(int, row)) for row in rows.itertuples(index=False)]


def _write_crop(row: dict, name: str, image: np.ndarray, mask: np.ndarray, out: Path, masks: bool) -> dict:
    """Write what belongs to one image; return its row in the new cohort, with the box."""
    height, width = image.shape
    box = bounding_box(mask)
    left, top, right, bottom = box or (0, 0, width, height)
    name = f"{name}.png"
    pictures = {"file": image}
    for column in ("lung_mask", "lesion_mask"):
        if row.get(column):
            pictures[column] = read_mask(row[column], image.shape)
    for column, pixels in pictures.items():
        row[column] = str(out / FOLDERS[column] / name)
        write_gray(row[column], pixels[top:bottom, left:right])
    if masks:
        write_gray(out / "masks" / name, mask)
    return row | dict(zip(BOX, (left, top, right, bottom, box is not None), strict=True))
