"""The shipped model `synthetic`: learned from thousands of drawn patients, calibrated and tested on others.

Drawn patients cost nothing, so each part has its own, by its own seed. The network is the paper's CNN on
crops (Section 4, step 3) with a small backbone. It learns on small images first and ends at the size that it
is used at: a few epochs there are enough. What is done is kept in the cache, training after each epoch, so
that a call that was killed is taken up by the next one.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelEpochException

from sdnet_lib.checksums import beside, kept_facts, kept_folder, made_again, write_seal
from sdnet_lib.code_version import code_version
from sdnet_lib.config import LITE0, Profile, cache_dir, get_profile, one_thread, set_seed
from sdnet_lib.data.cohort import fingerprint, read_cohort
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.evaluation import curves, decisions, thresholds
from sdnet_lib.explain import layers, localisation
from sdnet_lib.files import digest, whole
from sdnet_lib.lungs.crop import cached_crops
from sdnet_lib.models import classifier, registry
from sdnet_lib.models.predictors import Predictor, Single
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig
from sdnet_lib.phantom import cohorts
from sdnet_lib.studies import card as cards
from sdnet_lib.studies import model_file
from sdnet_lib.studies.calibration import calibrate
from sdnet_lib.studies.study import Study

NAME, APPROACH = "synthetic", "resnet50-crop"
REMARK = (
    "Trained on radiographs that a program drew. It has never seen a patient, and what it says "
    "of one means nothing."
)
TESTED = (
    "Tested on patients that the same program drew: another hospital, device, view or age group may be read "
    "much worse."
)
SIZE = 256  # pixels of a drawn radiograph, before it is cropped


class Part(NamedTuple):
    """Drawn patients: how many, and the seed, far from any that a reader would type."""

    images: int
    seed: int


class Stage(NamedTuple):
    """One training: image size in pixels, epochs, and the highest rate of its one cycle."""

    image_size: int
    epochs: int
    lr: float


LEARN, CALIBRATE, TEST = Part(16_000, 7_000_001), Part(2000, 7_000_005), Part(4000, 7_000_008)
STAGES = (Stage(128, 2, 2e-2), Stage(224, 1, 1e-2), Stage(224, 1, 5e-3))
POINTED = 300  # positives with lesions whose maps are measured
CAMS = ("hires-cam", "grad-cam", "grad-cam++")  # the first, chosen on a calibration part, is drawn
WATCHED = 200  # of the learning part, kept out: their loss is shown after each epoch and decides nothing


class Kept(Callback):
    """Keep a network after each epoch; fitted again after a kill, go on from there.

    Each epoch draws its random numbers from its own seed, so where a training was killed does not matter.

    Parameters
    ----------
    file : Path
    seed : int
    """

    order = 70  # after the recorder, as fastai's own SkipToEpoch

    def __init__(self, file: Path, seed: int) -> None:
        self.file, self.seed, self.done = file, seed, {"epochs": 0, "seconds": 0.0}
        if not made_again(file):
            self.done = torch.load(file, "cpu", weights_only=True)

    def before_fit(self) -> None:
        """Take up what was there."""
        if self.done["epochs"]:
            self.learn.model.load_state_dict(self.done["model"])
            self.learn.opt.load_state_dict({"state": self.done["opt"], "hypers": self.learn.opt.hypers})

    def before_epoch(self) -> None:
        """Pass over an epoch that is done, else draw its random numbers."""
        if self.epoch < self.done["epochs"]:
            raise CancelEpochException
        self.start = time.monotonic()
        set_seed(self.seed + self.epoch)
        self.dls.train.rng = random.Random(self.seed + self.epoch)

    def after_epoch(self) -> None:
        """Keep network and optimiser, of which the schedule sets the rest, the loss and the time taken."""
        if self.epoch >= self.done["epochs"]:
            self.done = {
                "epochs": self.epoch + 1,
                "seconds": self.done["seconds"] + time.monotonic() - self.start,
                "valid_loss": float(self.recorder.values[-1][-1]),
                "model": self.model.state_dict(),
                "opt": self.opt.state_dict()["state"],
            }
            with whole(self.file) as part:
                torch.save(self.done, part)
            write_seal(beside(self.file), {"epochs": self.done["epochs"]}, self.file)


def drawn(part: Part) -> pd.DataFrame:
    """Return the crops of a part's patients: drawn and cropped at the first call, then from the cache."""
    code = code_version("sdnet_lib.phantom.cohorts")
    folder = cache_dir() / "phantom" / f"phantom-n{part.images}-size{SIZE}-seed{part.seed}-{code}"
    kept_folder(folder, lambda new: cohorts.homogeneous(part.images, part.seed, new, size=SIZE))
    return cached_crops(read_cohort(folder, check_files=False))


def learned_from() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return the crops to learn from, and the rows that are learned from and that are watched.

    Normal-PCR+ is left out: nothing on such a film tells it from a negative one, by construction.
    """
    learn = drawn(LEARN)
    table = learn[learn["severity"] != "Normal-PCR+"].reset_index(drop=True)
    return table, *np.split(np.arange(len(table)), [len(table) - WATCHED])


def trained(folder: Path) -> tuple[Single, list[dict]]:
    """Train the network, or take up what lies in `folder`; return it, and for the card each stage."""
    table, train, watched = learned_from()
    set_seed(LEARN.seed)
    network, mean, std = classifier.network(LITE0)
    network.to(memory_format=torch.channels_last)  # in which a CPU trains it in half the time
    notes = []
    for number, stage in enumerate(STAGES):
        so_far = digest(repr(STAGES[: number + 1]), digits=8)
        keep = Kept(folder / f"stages-{so_far}.pth", LEARN.seed + 100 * number)
        if keep.done["epochs"] < stage.epochs:
            config = TrainingConfig(
                lr=stage.lr, epochs=stage.epochs, schedule="one-cycle", keep="last", mean=mean, std=std
            )
            parts = {"train": train, "valid": watched, "profile": _profile(stage)}
            learner = classifier.learner(table, **parts, model=network, config=config)
            learner.add_cb(keep)
            classifier.fit(learner, _profile(stage))
        network.load_state_dict(keep.done["model"])
        notes.append(stage._asdict() | {name: keep.done[name] for name in ("seconds", "valid_loss")})
    return Single(network, mean, std), notes


def _profile(stage: Stage) -> Profile:
    return replace(
        get_profile("quick"), image_size=stage.image_size, epochs=stage.epochs, images=LEARN.images
    )


def image_table(predictor: Predictor, part: pd.DataFrame, pixels: np.ndarray) -> pd.DataFrame:
    """Return what a predictor says of the patients of a part, as an image table (`evaluation.curves`)."""
    return part[list(localisation.WHOM)].assign(prob_P=predictor.predict(pixels)["prob_P"].astype(float))


def pointing(predictor: Predictor, part: pd.DataFrame, pixels: np.ndarray) -> list[dict]:
    """Say what maps why P are worth, layer by layer and method by method, on positives with lesions.

    Returns
    -------
    list of dict
        `method`, `layer` and `cells` in a row (of class activation maps), `images`, and in per cent with 95 %
        intervals `hit_lesions` (the pointing game) and `energy_lesions`, see `localisation.measure`; a map
        without anything points nowhere. The first row is the map that is drawn by default.
    """
    size = pixels.shape[-1]
    masks = localisation.read_regions(part, "lesion_mask", size)
    rows = np.flatnonzero((part["label"] == "P").to_numpy() & masks.any((1, 2)))[:POINTED]
    given = predictor, part.iloc[rows], pixels[rows], {"lesions": masks[rows]}
    cells, fine = layers.cells(predictor, size), layers.fine(predictor, size)
    stages = [name for name in cells if name.rpartition(".")[0] == fine.rpartition(".")[0]]
    others = [name for name in (*stages[-4:], layers.last(predictor, size)) if name != fine]
    wanted = [*((method, fine) for method in CAMS), *(("grad-cam", name) for name in others)]
    wanted += [(method, None) for method in localisation.BASELINES]
    return [_pointed(*given, method, layer, cells.get(layer)) for method, layer in wanted]


def _pointed(
    predictor: Predictor,
    part: pd.DataFrame,
    pixels: np.ndarray,
    regions: dict[str, np.ndarray],
    method: str,
    layer: str | None,
    cells: int | None,
) -> dict:
    found = localisation.table(predictor, part, pixels, regions, [method], layer=layer)
    values = ["hit_lesions", "energy_lesions"]
    means = localisation.summarise(found.fillna(dict.fromkeys(values, 0.0)), ["method"], values)
    percent = {
        row.value: [round(100 * bound, 1) for bound in (row.mean, row.low, row.high)]
        for row in means.itertuples()
    }
    return {"method": method, "layer": layer, "cells": cells, "images": len(part)} | percent


def make() -> tuple[model_file.Model, Path]:
    """Make the model and its card, or go on where an earlier call was stopped; return it and its file."""
    folder = cache_dir() / NAME / fingerprint(drawn(LEARN))
    with one_thread():
        predictor, stages = trained(folder)
        size, approach = STAGES[-1].image_size, registry.find(APPROACH)
        part = drawn(CALIBRATE)
        pixels = read_pixels(part, size, approach.prepare)
        slope, shift = calibrate(predictor, pixels, part["label"])
        model_file.rounded(predictor)
        chosen_on = image_table(predictor, part, pixels)
        card = _origin(stages) | {
            "calibration": {**CALIBRATE._asdict(), "slope": round(slope, 3), "shift": round(shift, 3)},
        }
        part = drawn(TEST)
        pixels = read_pixels(part, size, approach.prepare)
        tested = image_table(predictor, part, pixels)
        card |= {
            "tested": TEST._asdict() | _worth(tested),
            "thresholds": thresholds.table(chosen_on, tested),
            **kept_facts(
                folder / f"maps-{digest(repr(STAGES), digits=8)}.json",
                lambda: {"maps": pointing(predictor, part, pixels)},
            ),
        }
    model, file = model_file.Model(predictor, card), cards.SHIPPED / f"{NAME}.safetensors"
    model_file.write(model, file)
    return model, file


def _origin(stages: list[dict]) -> dict:
    """Return what the card says of how the network came to be."""
    table, train, watched = learned_from()
    profile, approach = _profile(STAGES[-1]), registry.find(APPROACH)
    study = Study(Path(), table, profile, LEARN.seed)
    pixels = read_pixels(table, profile.image_size, approach.prepare)
    task = Task(table, pixels, train, watched, profile, LEARN.seed, Path(), None)
    return model_file.describe(study, approach, task) | {
        "limits": [REMARK, TESTED, *cards.LIMITS[1:]],
        "training": {"backbone": LITE0, "weights": "imagenet", "stages": stages},
        "seconds": round(sum(stage["seconds"] for stage in stages)),
        "command": f"sdnet maintain models {NAME}",
    }


def _worth(tested: pd.DataFrame) -> dict:
    """Return the area under the ROC curve with its interval, and what the probabilities are worth."""
    areas = curves.areas(tested)
    return {
        "auc": [round(areas[name], 3) for name in ("auc", "auc_low", "auc_high")],
        "brier": round(decisions.brier_score(tested), 4),
        "calibration_error": round(decisions.calibration_error(tested), 4),
    }
