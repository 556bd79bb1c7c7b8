"""``sdnet predict``: any chest X-ray files to probabilities, uncertainties, warnings and heat maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from sdnet_lib import plots
from sdnet_lib.data import images
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import input_checks, layers, saliency, uncertainty
from sdnet_lib.files import InputError
from sdnet_lib.lungs import crop, segmentation
from sdnet_lib.models import dropout
from sdnet_lib.models.predictors import BATCH, Predictor
from sdnet_lib.studies import label, predictions
from sdnet_lib.studies.card import NO_DEVICE
from sdnet_lib.studies.model_file import Model
from sdnet_lib.studies.predictions import COLUMNS, TABLE

LONGEST = 320  # pixels of a radiograph in its panel
NARROWEST = 40  # pixels; a strip is drawn wider than it is, for a panel is as wide as others
PASSES = 30  # of dropout
NOT_YET = "not read: interrupted"


class Answer(NamedTuple):
    """What models say of n images: probability of P, entropy in bits, maps why N and why P, each (n, ...)."""

    positive: np.ndarray
    entropy: np.ndarray
    maps: np.ndarray


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
        A row per file: `file`, `prob_P`, `label` (P from `threshold` on, see `label`), `threshold`,
        `uncertainty` (entropy in bits: 0 is sure, 1 a coin), `warning`, and `error` for a file that could not
        be read.

    Raises
    ------
    InputError
        If there is nothing to read, models do not fit together, or `out` holds one of the images.
    """
    out = Path(out)
    files = predictions.inputs(sources, out)
    if len({(model.card["approach"], model.image_size) for model in models}) > 1:
        raise InputError("several models are averaged, so they must be of one approach and image size")
    out.mkdir(parents=True, exist_ok=True)
    predictions.clear(out)
    rows = {str(file): {"file": str(file), "error": NOT_YET} for file in files}
    predictions.write(out / TABLE, rows)  # fails now if the folder cannot be written
    note, names = _note(models), predictions.panel_names(files)
    try:
        with tqdm(desc="predict", total=len(files), unit="image", disable=None) as bar:
            for batch, bad in _batches(files):
                rows |= {row["file"]: row for row in bad}
                bar.update(len(bad))
                for row, panel in _predict(batch, models):
                    if panel is not None:
                        plots.write_panel(*panel, note, out / names[row["file"]], NO_DEVICE)
                    rows[row["file"]] = row
                    bar.update()
    finally:  # interrupted: what is there counts all the same
        predictions.write(out / TABLE, rows)
    return pd.DataFrame(list(rows.values()), columns=COLUMNS)


def _note(models: Sequence[Model]) -> str:
    """Return the first line of each panel: no medical device, and what the model was trained on."""
    sources = ", ".join(models[0].card["cohort"]["sources"])
    return f"{NO_DEVICE}\nTrained on: {sources}. {models[0].card['limits'][0]}"


def _batches(files: Sequence[Path]) -> Iterator[tuple[list[tuple], list[dict]]]:
    """Yield a few images at a time, as row, image and lung mask, and rows of files that cannot be read."""
    table = pd.DataFrame({"file": [str(file) for file in files], "source": "", "patient_id": ""})
    batch, bad = [], []
    for row, image, mask in segmentation.segment(table):
        if mask is None:
            bad.append({"file": row["file"], "error": image.reason})
        else:
            batch.append((row, image, mask))
        if len(batch) == BATCH:
            yield batch, bad
            batch, bad = [], []
    yield batch, bad


def _predict(batch: list[tuple], models: Sequence[Model]) -> list[tuple[dict, tuple | None]]:
    """Return each image's row, and what its panel shows: image, maps, title, decision; None without one."""
    if not batch:
        return []
    whole = [(0, 0, image.shape[1], image.shape[0]) for _, image, _ in batch]
    found = [crop.bounding_box(mask) for *_, mask in batch]
    crops = models[0].approach.crops
    boxes = [box or frame if crops else frame for box, frame in zip(found, whole, strict=True)]
    pixels = _as_trained(batch, boxes, models[0])
    answer = ask([model.predictor for model in models], pixels, label.drawn_by(models[0]))
    odd = input_checks.unlike(pixels, models[0].card["ordinary"])
    threshold, result = label.turns_at(models), []
    for place, (read, image, mask) in enumerate(batch):
        positive = float(answer.positive[place])
        if not np.isfinite([positive, answer.entropy[place]]).all():
            result.append(({"file": read["file"], "error": "the model gives no number for it"}, None))
            continue
        called = "P" if positive >= threshold else "N"
        warnings = [*_about_lungs(found[place], mask, crops), *odd[place]]
        warnings += [read["warning"]] if read["warning"] else []
        row = {"file": read["file"], "prob_P": positive, "label": called, "warning": "; ".join(warnings)}
        row |= {"threshold": threshold, "uncertainty": float(answer.entropy[place]), "error": ""}
        sure = f"uncertainty {answer.entropy[place]:.2f} bits"
        lines = [
            Path(read["file"]).name,
            f"probability of P {positive:.2f} (P from {threshold:.2f} on), {sure}",
        ]
        lines += ["with a warning: see predictions.csv"] if warnings else []
        shown = _small(image, answer.maps[place], boxes[place])
        result.append((row, (*shown, "\n".join(lines), called)))
    return result


def _as_trained(batch: list[tuple], boxes: list[crop.Box], model: Model) -> np.ndarray:
    """Return the images as those of the model's cohort: cut out, rounded to 8 bits, resized alike."""
    cut = [
        images.eight_bits(image[top:bottom, left:right]) / np.float32(255)
        for (_, image, _), (left, top, right, bottom) in zip(batch, boxes, strict=True)
    ]
    return np.stack([model.approach.prepare(image, model.image_size) for image in cut])


def ask(predictors: Sequence[Predictor], pixels: np.ndarray, method: str = "grad-cam") -> Answer:
    """Predict and explain images with one predictor or the mean of several.

    Parameters
    ----------
    predictors : sequence of Predictor
        One is asked many times with dropout for its uncertainty; several are asked once each.
    pixels : uint8 array, (n, image_size, image_size)
        As the predictors were trained on.
    method : str
        Of the maps, one of `saliency.METHODS`.
    """
    parts = [
        _ask(predictors, pixels[start : start + BATCH], method) for start in range(0, len(pixels), BATCH)
    ]
    return Answer(*map(np.concatenate, zip(*parts, strict=True)))


def _ask(predictors: Sequence[Predictor], pixels: np.ndarray, method: str) -> Answer:
    """Ask about one batch."""
    asked = (_explained(predictor, pixels, method) for predictor in predictors)
    found, maps, dropped = zip(*asked, strict=True)
    several = dropout.summarise(np.stack(found))
    alone = len(predictors) == 1 and dropped[0] is not None
    entropy = (dropout.summarise(dropped[0]) if alone else several).entropy / np.log(2)
    entropy = entropy.clip(max=1)  # probabilities of float32 may add up to a little more than one
    heat = np.mean(maps, 0)
    most = heat.max((2, 3), keepdims=True)
    heat = np.divide(heat, most, where=most > 0, out=np.zeros_like(heat))
    return Answer(several.probabilities[:, LABELS.index("P")], entropy, heat)


def _explained(
    predictor: Predictor, pixels: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return probabilities (n, 2), maps, and probabilities with dropout (passes, n, 2), all from one pass."""
    layers.fine(predictor, pixels.shape[-1])  # looking for it takes a pass of its own
    try:
        last = uncertainty.last_linear(predictor)
    except InputError:
        columns, maps = saliency.explained(predictor, pixels, method)
        return uncertainty.probabilities(columns), maps, None
    with uncertainty.inputs_of(last) as features:
        columns, maps = saliency.explained(predictor, pixels, method)
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
    shape = tuple(max(NARROWEST, round(shrink * length)) for length in image.shape)
    left, top, right, bottom = (round(shrink * edge) for edge in box)
    box = left, top, max(left + 1, right), max(top + 1, bottom)
    placed = np.stack([saliency.place(one, box, shape) for one in maps])
    return images.resize(image, shape).astype(np.float16), placed.astype(np.float16)


def introduction(models: Sequence[Model], sources: Sequence[str | Path] = ()) -> str:
    """Return what is said first: that this is no medical device, the models, and what is not read."""
    described = (f"Model: {_described(model)}" for model in models)
    return "\n".join([NO_DEVICE, *described, label.said(models), *predictions.not_read(sources)])


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
