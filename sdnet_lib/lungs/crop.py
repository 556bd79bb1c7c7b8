"""Where the lungs are: a compact U-Net, its masks, the rectangle around both lungs, and crops of cohorts.

Section 4, step 1 of the paper: the lungs are segmented, the smallest rectangle around them is widened by
2.5 % on each side, and all that follows sees this rectangle alone. ``python -m sdnet_lib.lungs.crop`` trains and
measures the network (`sdnet_lib.lungs.training`).
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from sdnet_lib.config import cache_dir, pick_device
from sdnet_lib.data.cohort import fingerprint, read_cohort, write_cohort
from sdnet_lib.data.images import ImageError, read_gray, resize, write_gray
from sdnet_lib.files import InputError, new_folder, write_text
from sdnet_lib.lungs.unet import SIDE, WEIGHTS, load, normalise

Box = tuple[int, int, int, int]

MARGIN = 0.025  # of the rectangle's own width and height, on each side
SMALLEST_AREA = 0.05  # of the image: less is no pair of lungs
SMALLEST_SIDE = 0.2  # of the image's width and height
SPECK = 0.05  # of the largest component: a smaller one is no second lung
BATCH = 4  # images that the network sees at once
THREADS = os.cpu_count() or 1  # that read, segment and write images side by side
BOX = ("left", "top", "right", "bottom", "lungs_found")  # columns of boxes.csv
FOLDERS = {"file": "images", "lung_mask": "lung_masks", "lesion_mask": "lesion_masks"}
FOLDS = 5
# The networks of the cross-fit, and the folds of Shenzhen and Montgomery that each has never seen.
NETWORKS = {"lungs": (0,), "lungs_not_12": (1, 2), "lungs_not_34": (3, 4)}
TRAINED_ON = ("Shenzhen", "Montgomery")


def fold_of(patient_id: str) -> int:
    """Return the fold, 0 to 4, of a patient of Shenzhen or Montgomery: the same on every machine."""
    return int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % FOLDS


def unseen_network(source: str, patient_id: str) -> str:
    """Name the network of `NETWORKS` that has not learned from this patient."""
    if source not in TRAINED_ON:
        return "lungs"
    fold = fold_of(patient_id)
    return next(name for name, unseen in NETWORKS.items() if fold in unseen)


def networks_key(cohort: pd.DataFrame) -> str:
    """Return 16 hex digits for the U-Nets that find this cohort's lungs: other networks, other masks."""
    patients = zip(cohort["source"], cohort["patient_id"], strict=True)
    names = sorted({unseen_network(*patient) for patient in patients})
    content = b"".join((WEIGHTS / f"{name}.safetensors").read_bytes() for name in names)
    return hashlib.sha256(content).hexdigest()[:16]


def lung_mask(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Return where the lungs are in one image; see `lung_masks`."""
    return lung_masks(model, [image])[0]


def lung_masks(model: torch.nn.Module, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Segment the lungs.

    Parameters
    ----------
    model : torch.nn.Module
        From `load`.
    images : sequence of numpy.ndarray
        Grey images, each (height, width) of any size, as `sdnet_lib.data.images.read_gray` gives them.

    Returns
    -------
    list of numpy.ndarray
        Bool, each of the size of its image: probability at least 0.5, the two largest components, no
        holes.
    """
    shares = probabilities(model, images)
    return [_enlarge(share, image.shape) for share, image in zip(shares, images, strict=True)]


def probabilities(model: torch.nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the network's own answer, float32 (n, `SIDE`, `SIDE`): how likely each pixel is lung."""
    if not len(images):
        return np.empty((0, SIDE, SIDE), np.float32)
    squares = torch.from_numpy(np.stack([resize(image, (SIDE, SIDE)) for image in images]))
    inputs = normalise(squares[:, None]).to(pick_device(), memory_format=torch.channels_last)
    with torch.inference_mode():
        return torch.sigmoid(model(inputs))[:, 0].float().cpu().numpy()


def tidy(mask: np.ndarray) -> np.ndarray:
    """Keep the two largest connected components of a mask (H, W), without their holes; drop specks."""
    parts, _ = ndimage.label(mask)
    areas = np.bincount(parts.ravel())[1:]
    order = np.argsort(areas)[::-1][:2]
    lungs = [part + 1 for part in order if areas[part] >= SPECK * areas[order[0]]]
    return ndimage.binary_fill_holes(np.isin(parts, lungs))


def bounding_box(mask: np.ndarray, margin: float = MARGIN) -> Box | None:
    """Return the smallest rectangle around a lung mask, widened and clipped at the border of the image.

    Parameters
    ----------
    mask : numpy.ndarray
        Bool, (height, width).
    margin : float
        What is added on each side, as a share of the rectangle's own width (left, right) and height (top,
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


def segment(
    cohort: pd.DataFrame, pool: Executor
) -> Iterator[tuple[dict, np.ndarray | ImageError, np.ndarray | None]]:
    """Segment the images of a cohort, each with a network that has not learned from its patient.

    Parameters
    ----------
    cohort : pandas.DataFrame
        A checked cohort.
    pool : concurrent.futures.Executor
        Its threads work side by side, each on images of its own.

    Yields
    ------
    tuple
        Row, image (float32) and lung mask (bool), both (height, width); for a file that cannot be read its
        `ImageError` and None. Rows come network by network, in the order of the cohort.
    """
    networks = [unseen_network(*key) for key in zip(cohort["source"], cohort["patient_id"], strict=True)]
    threads = torch.get_num_threads()
    try:
        for name, part in cohort.groupby(np.array(networks)):  # of a list of one, pandas makes tuples
            work = partial(_segment, load(WEIGHTS / f"{name}.safetensors"))
            rows = part.to_dict("records")
            batches = iter([rows[start : start + BATCH] for start in range(0, len(rows), BATCH)])
            coming = deque(pool.submit(work, batch) for batch in islice(batches, THREADS + 1))
            while coming:
                done = coming.popleft().result()
                coming.extend(pool.submit(work, batch) for batch in islice(batches, 1))
                yield from done
    finally:
        torch.set_num_threads(threads)  # threads that others start later are not bound to one


def crop_cohort(cohort: pd.DataFrame, out: str | Path, *, masks: bool = False) -> pd.DataFrame:
    """Crop every image of a cohort to its lungs.

    Writes ``images/`` (PNG, 8 bits), ``boxes.csv`` (`image_id`, `left`, `top`, `right`, `bottom` in pixels of
    the source image, right and bottom exclusive, `lungs_found`) and ``cohort.csv``. True masks that the
    cohort brings along (`lung_mask`, `lesion_mask`) are cropped with their image. An image where no lungs are
    found is passed through whole, with `lungs_found` False.

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
    out = Path(os.path.abspath(out))
    for file in cohort["file"]:
        if out in Path(file).parents:
            raise InputError(f"{out}: holds {file}, which cropping could overwrite; choose another folder")
    bad, writing = [], []
    with ThreadPoolExecutor(THREADS) as pool:
        for row, image, mask in tqdm(segment(cohort, pool), "crop", len(cohort), unit="image", disable=None):
            if mask is None:
                bad.append(image)
            else:
                writing.append(pool.submit(_write_crop, row, image, mask, out, masks))
    rows = []
    for written in writing:
        try:
            rows.append(written.result())
        except ImageError as error:
            bad.append(error)
    if rows:
        crops = pd.DataFrame(rows).set_index("image_id", drop=False)
        crops = crops.loc[[name for name in cohort["image_id"] if name in crops.index]].reset_index(drop=True)
        write_text(out / "boxes.csv", crops[["image_id", *BOX]].to_csv(index=False))
        crops = crops.drop(columns=list(BOX[:4]))
        write_cohort(crops, out)
    if bad:
        named = "; ".join(str(error) for error in bad[:10]) + ("; ..." if len(bad) > 10 else "")
        raise InputError(f"{len(bad)} of {len(cohort)} images could not be cropped, all others were: {named}")
    return crops


def cached_crops(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a cohort cropped to its lungs, from the cache if it was cropped before.

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
    if not folder.is_dir():
        with new_folder(folder) as part:
            crop_cohort(cohort, part)
    table = read_cohort(folder, check_files=False).set_index("image_id", drop=False)
    return table.loc[cohort["image_id"]].reset_index(drop=True)


def crop_boxes(cohort: pd.DataFrame) -> list[Box]:
    """Return where the crops of `cached_crops` are: left, top, right, bottom in pixels of each image."""
    folder = Path(cached_crops(cohort)["file"].iloc[0]).parent.parent
    table = pd.read_csv(folder / "boxes.csv", dtype={"image_id": str})
    rows = table.set_index("image_id").loc[cohort["image_id"], list(BOX[:4])]
    return [tuple(map(int, row)) for row in rows.itertuples(index=False)]


def _segment(model: torch.nn.Module, rows: list[dict]) -> list[tuple]:
    """Read and segment a few images; see `segment` for what comes back."""
    torch.set_num_threads(1)  # of this worker: each has its own images, and none waits for another
    images = [_try_read(row) for row in rows]
    masks = iter(lung_masks(model, [image for image in images if isinstance(image, np.ndarray)]))
    return [
        (row, image, next(masks) if isinstance(image, np.ndarray) else None)
        for row, image in zip(rows, images, strict=True)
    ]


def _try_read(row: dict) -> np.ndarray | ImageError:
    try:
        return read_gray(row["file"])
    except ImageError as error:
        return error


def _enlarge(share: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Tidy the network's probabilities (`SIDE`, `SIDE`), then bring them to the size of the image."""
    lungs = tidy(share >= 0.5)
    share = np.where(lungs, np.maximum(share, 0.51), np.minimum(share, 0.49))
    return resize(share, shape) >= 0.5


def read_mask(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a true mask as bool (height, width); raise `ImageError` if it is not of the given shape."""
    try:
        with Image.open(path) as picture:
            mask = np.asarray(picture.convert("L")) > 0
    except OSError as error:
        raise ImageError(path, f"a mask that cannot be read ({error})") from error
    if mask.shape != shape:
        raise ImageError(
            path,
            f"a mask of {mask.shape[1]} x {mask.shape[0]} pixels for an image of {shape[1]} x {shape[0]}",
        )
    return mask


def _write_crop(row: dict, image: np.ndarray, mask: np.ndarray, out: Path, masks: bool) -> dict:
    """Write what belongs to one image; return its row in the new cohort, with the box."""
    height, width = image.shape
    box = bounding_box(mask)
    left, top, right, bottom = box or (0, 0, width, height)
    name = quote(row["image_id"], safe=" ") + ".png"
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
