"""``sdnet predict``: any chest X-ray files to probabilities, uncertainties, warnings and heat maps."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from sdnet_lib import plots
from sdnet_lib.data import images
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import input_checks, saliency
from sdnet_lib.files import InputError, write_text
from sdnet_lib.lungs import crop, segmentation
from sdnet_lib.models import uncertainty
from sdnet_lib.models.predictors import BATCH, Predictor
from sdnet_lib.studies.model_file import NO_DEVICE, Model

COLUMNS = ["file", "prob_P", "label", "uncertainty", "warning", "error"]
TABLE = "predictions.csv"
LONGEST = 320  # pixels of a radiograph in its panel
PASSES = 30  # of dropout
FEW = 8  # panels that are drawn sooner than helpers would start
QUEUE = 2 * BATCH  # panels that wait to be drawn
NOT_YET = "not read: interrupted"


class Answer(NamedTuple):
    """What models say of n images: probability of P, entropy in bits, maps why N and why P, each (n, ...)."""

    positive: np.ndarray
    entropy: np.ndarray
    maps: np.ndarray


def find_files(sources: Sequence[str | Path]) -> list[Path]:
    """Return the files that are meant: a file is itself, whatever its name; a folder is all images in it.

    Raises
    ------
    InputError
        If a folder holds no file with the suffix of an image.
    """
    files = []
    for source in map(Path, sources):
        if not source.is_dir():
            files.append(source)
            continue
        found = images.find_images(source, "**/*")
        if not found:
            raise InputError(f"{source}: no image in this folder ({', '.join(images.SUFFIXES)})")
        files += found
    return list(dict.fromkeys(files))


def predict(sources: Sequence[str | Path], out: str | Path, models: Sequence[Model]) -> pd.DataFrame:
    """Predict images; write one panel an image and ``predictions.csv`` for all.

    Parameters
    ----------
    sources : sequence of path
        Files and folders.
    out : path
        The folder to write; made if need be.
    models : sequence of Model
        One, or several that were trained alike, such as those of the folds of a cross-validation: their
        probabilities and maps are averaged, and their disagreement counts as uncertainty.

    Returns
    -------
    DataFrame
        A row a file: `file`, `prob_P`, `label` (P from one half on), `uncertainty` (entropy in bits: 0 is
        sure, 1 a coin), `warning`, and `error` for a file that could not be read.

    Raises
    ------
    InputError
        If there is nothing to read, models do not fit together, or `out` holds one of the images.
    """
    files, out = find_files(sources), Path(out)
    if not files:
        raise InputError("no image was given")
    if len({(model.card["approach"], model.image_size) for model in models}) > 1:
        raise InputError("several models are averaged, so they must be of one approach and image side")
    if any(out.resolve() in file.resolve().parents for file in files):
        raise InputError(
            f"{out}: holds images to predict, which panels could overwrite; choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    rows = {str(file): {"file": str(file), "error": NOT_YET} for file in files}
    _write(out / TABLE, rows)  # an output folder that cannot be written shall say so now
    names, drawing = _panel_names(files), deque()
    try:
        with ExitStack() as stack:
            drawers = _drawers(len(files), stack)
            for row, panel in tqdm(_read(files, models), "predict", len(files), unit="image", disable=None):
                if panel is None:
                    rows[row["file"]] = row
                    continue
                file = out / names[row["file"]]
                drawing.append(
                    (row, drawers.submit(plots.write_panel, *panel, _note(models), file, NO_DEVICE))
                )
                _collect(drawing, rows, QUEUE)
            _collect(drawing, rows, 0)
    finally:
        for row, drawn in drawing:  # interrupted: what is there counts all the same
            if drawn.done() and not drawn.cancelled() and not drawn.exception():
                rows[row["file"]] = row
        _write(out / TABLE, rows)
    return pd.DataFrame(list(rows.values()), columns=COLUMNS)


def _collect(drawing: deque, rows: dict[str, dict], most: int) -> None:
    """Enter the rows whose panels are there; wait for panels while more than `most` are to be drawn."""
    while drawing and (len(drawing) > most or drawing[0][1].done()):
        row, drawn = drawing.popleft()
        drawn.result()
        rows[row["file"]] = row


def _drawers(panels: int, stack: ExitStack) -> Executor:
    """Return who draws: processes for many panels, because threads would wait for each other."""
    if panels <= FEW:
        return stack.enter_context(ThreadPoolExecutor(1))
    deaf = (signal.SIGINT, signal.SIG_IGN)  # to Ctrl-C: who asked for the panels decides what becomes of them
    processes = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), signal.signal, deaf)
    stack.callback(processes.shutdown, cancel_futures=True)
    return processes


def _write(file: Path, rows: dict[str, dict]) -> None:
    """Write the table, whose first line is no data."""
    table = pd.DataFrame(list(rows.values()), columns=COLUMNS)
    write_text(file, f"# {NO_DEVICE}\n{table.to_csv(index=False, float_format='%.4f')}")


def read_table(file: str | Path) -> pd.DataFrame:
    """Read a ``predictions.csv``; what is blank is ``""`` in text and NaN in numbers."""
    text = dict.fromkeys(("file", "label", "warning", "error"), str)
    blank = {"prob_P": "", "uncertainty": ""}
    return pd.read_csv(file, skiprows=1, dtype=text, keep_default_na=False, na_values=blank)


def _panel_names(files: Sequence[Path]) -> dict[str, str]:
    """Name the panel of each file; files of one name in several folders get numbers."""
    names, taken = {}, set()
    for file in files:
        name, number = file.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{file.stem}-{number}"
        taken.add(name.lower())
        names[str(file)] = f"{name}.png"
    return names


def _note(models: Sequence[Model]) -> str:
    """Return the first line of each panel: no medical device, and what the model was trained on."""
    sources = ", ".join(models[0].card["cohort"]["sources"])
    return f"{NO_DEVICE}\nTrained on: {sources}. {models[0].card['limits'][0]}"


def _read(files: Sequence[Path], models: Sequence[Model]) -> Iterator[tuple[dict, tuple | None]]:
    """Yield each file's row, and what its panel shows: image, maps, title, decision (None after an error)."""
    table = pd.DataFrame({"file": [str(file) for file in files], "source": "", "patient_id": ""})
    with tempfile.TemporaryDirectory() as folder:
        batch = []
        for row, image, mask in segmentation.segment(table):
            if mask is None:
                yield {"file": row["file"], "error": image.reason}, None
                continue
            batch.append((row["file"], image, mask))
            if len(batch) == BATCH:
                yield from _predict(batch, models, Path(folder))
                batch = []
        if batch:
            yield from _predict(batch, models, Path(folder))


def _predict(batch: list[tuple], models: Sequence[Model], folder: Path) -> Iterator[tuple[dict, tuple]]:
    """Predict a few images of any size, with their lung masks."""
    whole = [(0, 0, image.shape[1], image.shape[0]) for _, image, _ in batch]
    found = [crop.bounding_box(mask) for *_, mask in batch]
    crops = models[0].approach.crops
    boxes = [box or frame if crops else frame for box, frame in zip(found, whole, strict=True)]
    pixels = _as_trained(batch, boxes, models[0], folder)
    told = ask([model.predictor for model in models], pixels)
    odd = input_checks.unlike(pixels, models[0].card["ordinary"])
    for place, (file, image, mask) in enumerate(batch):
        positive = float(told.positive[place])
        label = "P" if positive >= 0.5 else "N"
        said = [*_about_lungs(found[place], mask, crops), *odd[place]]
        row = {"file": file, "prob_P": positive, "label": label, "warning": "; ".join(said)}
        row |= {"uncertainty": float(told.entropy[place]), "error": ""}
        sure = f"uncertainty {told.entropy[place]:.2f} bits"
        lines = [Path(file).name, f"probability of P {positive:.2f}, {sure}"]
        lines += ["unlike the training images: see predictions.csv"] if said else []
        yield row, (*_small(image, told.maps[place], boxes[place]), "\n".join(lines), label)


def _as_trained(batch: list[tuple], boxes: list[crop.Box], model: Model, folder: Path) -> np.ndarray:
    """Return the images as the model's cohort was read: cut out, stored in 8 bits, resized its way."""
    files = []
    for (_, image, _), (left, top, right, bottom) in zip(batch, boxes, strict=True):
        files.append(str(folder / f"{len(os.listdir(folder))}.png"))
        images.write_gray(files[-1], image[top:bottom, left:right])
    pixels = model.approach.read(pd.DataFrame({"file": files}), model.image_size)
    for file in files:  # an empty file keeps its name from being used, and remembered, again
        Path(file).write_bytes(b"")
    return pixels


def ask(predictors: Sequence[Predictor], pixels: np.ndarray) -> Answer:
    """Predict and explain images with one reader or the mean of several.

    Parameters
    ----------
    predictors : sequence of Reader
        One is asked many times with dropout for its uncertainty; several are asked once each.
    pixels : uint8 array, (n, image_size, image_size)
        As the readers were trained on.
    """
    parts = [_ask(predictors, pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    return Answer(*map(np.concatenate, zip(*parts, strict=True)))


def _ask(predictors: Sequence[Predictor], pixels: np.ndarray) -> Answer:
    """Ask about one batch."""
    told, maps, dropped = zip(*(_explained(predictor, pixels) for predictor in predictors), strict=True)
    several = uncertainty.summarise(np.stack(told))
    alone = len(predictors) == 1 and dropped[0] is not None
    entropy = (uncertainty.summarise(dropped[0]) if alone else several).entropy / np.log(2)
    heat = np.mean(maps, 0)
    most = heat.max((2, 3), keepdims=True)
    heat = np.divide(heat, most, where=most > 0, out=np.zeros_like(heat))
    return Answer(several.probabilities[:, LABELS.index("P")], entropy, heat)


def _explained(predictor: Predictor, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return probabilities (n, 2), maps, and probabilities with dropout (passes, n, 2), all from one pass."""
    saliency.last_layer(predictor, pixels.shape[-1])  # looking for it takes passes of its own
    try:
        last = uncertainty.last_linear(predictor)
    except InputError:
        columns, maps = saliency.explained(predictor, pixels)
        return uncertainty.probabilities(columns), maps, None
    with uncertainty.inputs_of(last) as features:
        columns, maps = saliency.explained(predictor, pixels)
    dropped = uncertainty.sample(predictor, last, features, PASSES, seed=0)
    if type(predictor).predict is not Predictor.predict:  # the Bayesian network's answer is a mean of passes
        columns = predictor.predict(pixels)
    return uncertainty.probabilities(columns), maps, dropped


def _about_lungs(box: crop.Box | None, mask: np.ndarray, crops: bool) -> list[str]:
    if box is None:
        return ["no lungs found" + (": the whole image was used" if crops else "")]
    return [] if input_checks.looks_frontal(mask) else ["not two lungs side by side: a side view?"]


def _small(image: np.ndarray, maps: np.ndarray, box: crop.Box) -> tuple[np.ndarray, np.ndarray]:
    """Return radiograph and maps, the latter put where they belong, at the size of a panel."""
    shrink = min(1.0, LONGEST / max(image.shape))
    shape = tuple(max(1, round(shrink * length)) for length in image.shape)
    left, top, right, bottom = (round(shrink * edge) for edge in box)
    box = left, top, max(left + 1, right), max(top + 1, bottom)
    placed = np.stack([saliency.place(one, box, shape) for one in maps])
    return images.resize(image, shape).astype(np.float16), placed.astype(np.float16)


def introduction(models: Sequence[Model]) -> str:
    """Return what is said before anything is predicted; its first line is no medical device's."""
    return f"{NO_DEVICE}\n" + "\n".join(f"Model: {_described(model)}" for model in models)


def _described(model: Model) -> str:
    cohort = model.card["cohort"]
    trained = (
        f"{model.card['approach']}, trained on {cohort['images']} images of {', '.join(cohort['sources'])}"
    )
    return f"{trained}. {model.card['limits'][0]}"


def summary(table: pd.DataFrame, out: Path) -> str:
    """Say how many files were predicted, warned about and bad, and name the bad ones.

    Raises
    ------
    InputError
        If not one could be read.
    """
    bad, warned = table[table["error"] != ""], int((table["warning"].fillna("") != "").sum())
    named = [f"  {row.file}: {row.error}" for row in bad.itertuples()]
    if len(bad) == len(table):
        raise InputError(f"none of {len(table)} files could be read:\n" + "\n".join(named))
    lines = [
        f"{len(table) - len(bad)} of {len(table)} files predicted, {warned} with a warning: {out / TABLE}"
    ]
    return "\n".join(lines + (["not predicted:", *named] if named else []))
