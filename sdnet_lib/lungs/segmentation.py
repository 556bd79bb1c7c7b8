"""Lung masks: what the U-Net finds, tidied up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from joblib import cpu_count
from scipy import ndimage

from sdnet_lib.config import pick_device
from sdnet_lib.data.images import Film, ImageError, read, resize
from sdnet_lib.lungs.cross_fit import WEIGHTS, networks_of
from sdnet_lib.lungs.unet import IMAGE_SIZE, load, normalise

SPECK = 0.05  # of the largest component: a smaller one is no second lung
BATCH = 4  # images that the network sees at once
THREADS = cpu_count()  # that read and segment images side by side
Task, Done = TypeVar("Task"), TypeVar("Done")


def lung_mask(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Return where the lungs are in one image; see `lung_masks`."""
    return lung_masks(model, [image])[0]


def lung_masks(model: torch.nn.Module, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Segment the lungs.

    Parameters
    ----------
    model : torch.nn.Module
        From `sdnet_lib.lungs.unet.load`.
    images : sequence of numpy.ndarray
        Grey images, each (height, width) of any size, as `sdnet_lib.data.images.read_gray` gives them.

    Returns
    -------
    list of numpy.ndarray
        Bool, each of the size of its image: probability at least 0.5, the two largest components, no
        holes.
    """
    found = probabilities(model, images)
    return [_enlarge(probability, image.shape) for probability, image in zip(found, images, strict=True)]


def probabilities(model: torch.nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the network's own answer: how likely each pixel is lung.

    Returns
    -------
    numpy.ndarray
        float32, (n, `IMAGE_SIZE`, `IMAGE_SIZE`).
    """
    if not len(images):
        return np.empty((0, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    squares = torch.from_numpy(np.stack([resize(image, (IMAGE_SIZE, IMAGE_SIZE)) for image in images]))
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


def segment(cohort: pd.DataFrame) -> Iterator[tuple[dict, np.ndarray | ImageError, np.ndarray | None]]:
    """Segment the images of a cohort, each with a network that has not learned from its patient.

    Parameters
    ----------
    cohort : pandas.DataFrame
        A checked cohort; of its columns only `file`, `source` and `patient_id` matter.

    Yields
    ------
    tuple
        Row, with what of its file could not be used as `warning`, image (float32) and lung mask (bool), both
        (height, width); for a file that cannot be read its `ImageError` and None. Rows come network by
        network, in the order of the cohort.
    """
    threads = torch.get_num_threads()
    # One thread a worker: each has its own images, and none waits for another.
    pool = ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for name, part in cohort.groupby(pd.Series(networks_of(cohort), cohort.index)):
            work = partial(_segment, load(WEIGHTS / f"{name}.safetensors"))
            rows = part.to_dict("records")
            for done in in_turn(pool, work, (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))):
                yield from done
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads that others start later are not bound to one


def in_turn(pool: Executor, work: Callable[[Task], Done], tasks: Iterable[Task]) -> Iterator[Done]:
    """Yield what work makes of each task, in order, with no more under way than keeps all threads busy."""
    waiting = iter(tasks)
    coming = deque(pool.submit(work, task) for task in islice(waiting, THREADS + 1))
    while coming:
        done = coming.popleft().result()
        coming.extend(pool.submit(work, task) for task in islice(waiting, 1))
        yield done


def _segment(model: torch.nn.Module, rows: list[dict]) -> list[tuple]:
    """Read and segment a few images; see `segment` for what comes back."""
    films = [_try_read(row["file"]) for row in rows]
    masks = iter(lung_masks(model, [film.pixels for film in films if isinstance(film, Film)]))
    return [
        (row | {"warning": "; ".join(film.warnings)}, film.pixels, next(masks))
        if isinstance(film, Film)
        else (row, film, None)
        for row, film in zip(rows, films, strict=True)
    ]


def _try_read(file: str) -> Film | ImageError:
    try:
        return read(file)
    except ImageError as error:
        return error


def _enlarge(probability: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Tidy the network's probabilities, then bring them to the image's size; the outline stays smooth."""
    lungs = tidy(probability >= 0.5)
    probability = np.where(lungs, np.maximum(probability, 0.51), np.minimum(probability, 0.49))
    return resize(probability, shape) >= 0.5
