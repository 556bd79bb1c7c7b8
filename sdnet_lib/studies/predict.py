"""``sdnet predict``: any chest X-ray files to probabilities, uncertainties, warnings and heat maps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import cpu_count, delayed
from tqdm import tqdm

from sdnet_lib import plots
from sdnet_lib.data import images
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import input_checks, saliency, uncertainty
from sdnet_lib.files import InputError, write_text
from sdnet_lib.lungs import crop, segmentation
from sdnet_lib.models import dropout
from sdnet_lib.models.predictors import BATCH, Predictor
from sdnet_lib.studies.model_file import NO_DEVICE, Model
from sdnet_lib.workers import workers

COLUMNS = ["file", "prob_P", "label", "uncertainty", "warning", "error"]
TABLE = "predictions.csv"
LONGEST = 320  # pixels of a radiograph in its panel
PASSES = 30  # of dropout
FEW = 8  # panels that are drawn sooner than workers would start
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
    """Predict images; write one panel per image and ``predictions.csv`` for all.

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
        A row per file: `file`, `prob_P`, `label` (P from one half on), `uncertainty` (entropy in bits: 0 is
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
        raise InputError("several models are averaged, so they must be of one approach and image size")
    if any(out.resolve() in file.resolve().parents for file in files):
        raise InputError(
            f"{out}: holds images to predict, which panels could overwrite; choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    rows = {str(file): {"file": str(file), "error": NOT_YET} for file in files}
    _write(out / TABLE, rows)  # fails now if the folder cannot be written
    jobs, note = cpu_count() if len(files) > FEW else 1, _note(models)
    names = _panel_names(files)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            tqdm(desc="predict", total=len(files), unit="image", disable=None) as bar,
            workers(jobs, "generator") as parallel,
        ):
            for batch, bad in _batches(files):
                rows |= {row["file"]: row for row in bad}
                bar.update(len(bad))
                found = _predict(batch, models, Path(folder))
                drawn = parallel(
                    delayed(plots.write_panel)(*panel, note, out / names[row["file"]], NO_DEVICE)
                    for row, panel in found
                )
                for (row, _), _ in zip(found, drawn, strict=True):
                    rows[row["file"]] = row
                    bar.update()
    finally:  # interrupted: what is there counts all the same
        _write(out / TABLE, rows)
    return pd.DataFrame(list(rows.values()), columns=COLUMNS)


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


def _batches(files: Sequence[Path]) -> Iterator[tuple[list[tuple], list[dict]]]:
    """Yield a few images at a time, as file, image and lung mask, and rows of files that cannot be read."""
    table = pd.DataFrame({"file": [str(file) for file in files], "source": "", "patient_id": ""})
    batch, bad = [], []
    for row, image, mask in segmentation.segment(table):
        if mask is None:
            bad.append({"file": row["file"], "error": image.reason})
        else:
            batch.append((row["file"], image, mask))
        if len(batch) == BATCH:
            yield batch, bad
            batch, bad = [], []
    yield batch, bad


def _predict(batch: list[tuple], models: Sequence[Model], folder: Path) -> list[tuple[dict, tuple]]:
    """Return each image's row, and what its panel shows: image, maps, title, decision."""
    if not batch:
        return []
    whole = [(0, 0, image.shape[1], image.shape[0]) for _, image, _ in batch]
    found = [crop.bounding_box(mask) for *_, mask in batch]
    crops = models[0].approach.crops
    boxes = [box or frame if crops else frame for box, frame in zip(found, whole, strict=True)]
    pixels = _as_trained(batch, boxes, models[0], folder)
    answer = ask([model.predictor for model in models], pixels)
    odd = input_checks.unlike(pixels, models[0].card["ordinary"])
    result = []
    for place, (file, image, mask) in enumerate(batch):
        positive = float(answer.positive[place])
        label = "P" if positive >= 0.5 else "N"
        warnings = [*_about_lungs(found[place], mask, crops), *odd[place]]
        row = {"file": file, "prob_P": positive, "label": label, "warning": "; ".join(warnings)}
        row |= {"uncertainty": float(answer.entropy[place]), "error": ""}
        sure = f"uncertainty {answer.entropy[place]:.2f} bits"
        lines = [Path(file).name, f"probability of P {positive:.2f}, {sure}"]
        lines += ["unlike the training images: see predictions.csv"] if warnings else []
        shown = _small(image, answer.maps[place], boxes[place])
        result.append((row, (*shown, "\n".join(lines), label)))
    return result


def _as_trained(batch: list[tuple], boxes: list[crop.Box], model: Model, folder: Path) -> np.ndarray:
    """Return the images as those of the model's cohort: cut out, stored in 8 bits, resized alike."""
    files = []
    for (_, image, _), (left, top, right, bottom) in zip(batch, boxes, strict=True):
        files.append(str(folder / f"{len(os.listdir(folder))}.png"))
        images.write_gray(files[-1], image[top:bottom, left:right])
    pixels = model.approach.read(pd.DataFrame({"file": files}), model.image_size)
    for file in files:  # an empty file keeps its name from being used, and remembered, again
        Path(file).write_bytes(b"")
    return pixels


def ask(predictors: Sequence[Predictor], pixels: np.ndarray) -> Answer:
    """Predict and explain images with one predictor or the mean of several.

    Parameters
    ----------
    predictors : sequence of Predictor
        One is asked many times with dropout for its uncertainty; several are asked once each.
    pixels : uint8 array, (n, image_size, image_size)
        As the predictors were trained on.
    """
    parts = [_ask(predictors, pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
    return Answer(*map(np.concatenate, zip(*parts, strict=True)))


def _ask(predictors: Sequence[Predictor], pixels: np.ndarray) -> Answer:
    """Ask about one batch."""
    found, maps, dropped = zip(*(_explained(predictor, pixels) for predictor in predictors), strict=True)
    several = dropout.summarise(np.stack(found))
    alone = len(predictors) == 1 and dropped[0] is not None
    entropy = (dropout.summarise(dropped[0]) if alone else several).entropy / np.log(2)
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
    """Return what is said before anything is predicted, first of all that this is no medical device."""
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
