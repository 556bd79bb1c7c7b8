"""Generators that come with the course: trained on drawn patients to the end of their patience.

One file per lambda, with the generators of both classes in half precision, and a card beside it. The card
also says whether they do more than tint: how much of what they change is one colour per image, and what a
linear probe finds in the twins' mean colours alone, in the whole twins, and in the images themselves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import Tensor, nn

from sdnet_lib.audit import shortcuts
from sdnet_lib.checksums import beside, check_stamp, kept_file, read_seal, write_seal, write_tensors
from sdnet_lib.code_version import code_version
from sdnet_lib.config import Profile, cache_dir, get_profile
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.models.classifier import embed
from sdnet_lib.models.fucitnet import training, twins
from sdnet_lib.models.fucitnet.generators import generator
from sdnet_lib.studies.synthetic_model import Part, drawn

FOLDER = Path(__file__).parent / "generators"
LEARN, PROBED = Part(1200, 7_000_011), Part(400, 7_000_012)
VALID = 120  # of the first, which decide when to stop
BOTH = ("plus", "minus")
LAMBDAS = (1.0, 0.1, 0.01)
PROFILE = replace(get_profile("quick"), generator_epochs=50, patience=10)  # the paper's, at 128 pixels


def file_of(weight: float) -> Path:
    """Return where the generators of a lambda are stored."""
    return FOLDER / f"lambda-{weight:g}.safetensors"


def stored() -> dict[float, tuple[nn.Module, nn.Module, dict]]:
    """Return G_P, G_N and the card of each lambda whose generators are there.

    Raises
    ------
    InputError
        If a file is damaged.
    """
    return {weight: _read(file_of(weight)) for weight in LAMBDAS if file_of(weight).exists()}


def _read(file: Path) -> tuple[nn.Module, nn.Module, dict]:
    card = read_seal(beside(file), file)
    check_stamp(file)
    return *_filled(load_file(file)), card


def _filled(tensors: dict[str, Tensor]) -> list[nn.Module]:
    """Return G_P and G_N with tensors of a stored file."""
    both = [generator().eval() for _ in BOTH]
    for name, network in zip(BOTH, both, strict=True):
        network.load_state_dict({key: tensors[f"{name}.{key}"] for key in network.state_dict()})
    return both


def make(weight: float, profile: Profile = PROFILE) -> Path:
    """Train the generators of one lambda, or go on after the last epoch; store and measure them."""
    learn = drawn(LEARN)
    pixels, labels = read_pixels(learn, profile.image_size), learn["label"].to_numpy()
    train, valid = np.split(np.arange(len(learn)), [len(learn) - VALID])
    name = f"{weight:g}-{code_version(training.__name__)}"

    def trained(part: Path) -> dict:
        fitted = training.fit(
            pixels,
            labels,
            train,
            valid,
            profile=replace(profile, lambdas=(weight,)),
            seed=LEARN.seed,
            checkpoint=cache_dir() / "generators" / f"{name}.checkpoint",
        )
        twins.save(fitted, part)
        return {}

    fitted = twins.load(kept_file(cache_dir() / "generators" / f"{name}.safetensors", trained))
    halves = {
        f"{one}.{key}": (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for one in BOTH
        for key, tensor in getattr(fitted, one).state_dict().items()
    }
    history = fitted.history[["epoch", "valid_loss", "valid_accuracy", "valid_mse"]]
    card = fitted.origin | {
        "made": time.strftime("%Y-%m-%d"),
        "command": "sdnet maintain generators",
        "code": code_version(training.__name__),
        "learned_from": LEARN._asdict(),
        "probed_on": PROBED._asdict(),
        "history": history.round(4).to_dict("records"),
        **probes(_filled(halves), learn.iloc[train], profile.image_size),  # rounded, as they will be read
    }
    file = file_of(weight)
    write_tensors(file, halves, {})
    write_seal(beside(file), card, file)
    return file


def probes(pair: Sequence[nn.Module], learn: pd.DataFrame, image_size: int) -> dict:
    """Say what generators change, and what a linear probe finds in it.

    Parameters
    ----------
    pair : sequence of nn.Module
        G_P and G_N.
    learn : DataFrame
        Crops that the probes learn from; they are tested on those of `PROBED`.

    Returns
    -------
    dict
        `tint`: by generator, which fraction of its change (mean square) one colour per image makes up.
        `probes`: area under the ROC curve of N against P with its 95 % interval, by what the probe sees:
        ``mean colours`` of both twins (six numbers), ``twins`` (features of both), ``images`` (theirs).
    """
    tested = drawn(PROBED)
    sides = [(part, read_pixels(part, image_size)) for part in (learn, tested)]
    made = [twins.through(pair, pixels) for _, pixels in sides]
    change = made[1].astype(np.float32) - sides[1][1][:, None, None] / np.float32(255)
    colour = (change.mean((3, 4)) ** 2).mean((0, 2)) / np.maximum((change**2).mean((0, 2, 3, 4)), 1e-12)
    seen = {
        "mean colours": [twin.astype(np.float32).mean((3, 4)).reshape(len(twin), -1) for twin in made],
        "twins": [np.concatenate([_features(twin[:, place]) for place in (0, 1)], 1) for twin in made],
        "images": [embed(pixels) for _, pixels in sides],
    }
    return {
        "tint": {name: round(float(part), 3) for name, part in zip(BOTH, colour, strict=True)},
        "probes": {name: _probed(*features, learn["label"], tested) for name, features in seen.items()},
    }


def _features(twin: np.ndarray) -> np.ndarray:
    return embed(np.ascontiguousarray(twin).astype(np.float32))


def _probed(known: np.ndarray, asked: np.ndarray, labels: pd.Series, tested: pd.DataFrame) -> list[float]:
    """Return area and bounds of a linear probe of some features."""
    probe = shortcuts.clone(shortcuts.LINEAR).fit(known, labels == "P")
    found = shortcuts.scores(shortcuts.predictions(tested, probe.predict_proba(asked)[:, 1]))
    return [round(found[name], 3) for name in ("auc", "auc_low", "auc_high")]


def summary(file: Path) -> str:
    """Say in one line what a card says."""
    card = read_seal(beside(file), file)
    found = ", ".join(f"{name} {auc:.3f}" for name, (auc, *_) in card["probes"].items())
    return (
        f"{file}: {card['epochs']} epochs; one colour makes up {card['tint']} of the change; AUC of {found}"
    )
