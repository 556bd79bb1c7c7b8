"""FuCiTNet: generators that pull images towards a class, and the classifier that they are trained with.

Section 4, step 2 of the paper. `fit` trains; what comes of it, `sdnet_lib.models.fucitnet.twins` puts to use.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.torch_core import no_random
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from sdnet_lib.config import Profile, pick_device
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError
from sdnet_lib.models.backbones import at_hand
from sdnet_lib.models.fucitnet import training
from sdnet_lib.models.fucitnet.generators import check_way, perceptual_network
from sdnet_lib.models.fucitnet.twins import (
    NEGATIVE,
    POSITIVE,
    Transform,
    classify,
    fused,
    stream,
    transform,
    write,
)

__all__ = [
    "NEGATIVE",
    "POSITIVE",
    "Transform",
    "classify",
    "fit",
    "fused",
    "load",
    "networks",
    "save",
    "stream",
    "transform",
    "write",
]

SMALLEST_SIZE = 32  # pixels: VGG-16 halves them five times
SEARCH = 4  # a lambda is tried for a fourth of the epochs
NETWORKS = ("plus", "minus", "classifier")  # of a Transform


def networks(profile: Profile) -> list[nn.Module]:
    """Return untrained networks as `fit` trains them: the generators of N and of P, and the classifier."""
    start = training.start(profile.generator_backbone, "none", "paper")
    return [*start.generators, start.classifier]


def fit(
    pixels: np.ndarray,
    labels: Sequence[str],
    train: Sequence[int],
    valid: Sequence[int],
    *,
    profile: Profile,
    seed: int = 0,
    way: str = "paper",
    checkpoint: Path | None = None,
) -> Transform:
    """Train the generators of both classes together with a classifier.

    Of several lambdas each is tried for a fourth of the epochs, and the one with the lowest validation loss
    goes on. The loss decides, as it does on when to stop: 16 validation images know only 17 accuracies.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
        For instance from `classifier.read_pixels`, of a cropped cohort.
    labels : sequence of str
        N or P, one an image.
    train, valid : sequence of int
        Positions of the images to learn from, and of those that decide when to stop and which lambda is best.
        No other image is looked at.
    profile : Profile
        Its `generator_epochs`, `lambdas`, `generator_backbone`, `batch` and `patience` are used.
    seed : int
        Same seed, number of threads and machine: same networks.
    way : str
        ``paper``: its description. ``code``: its authors' program, which starts generators from random
        weights, normalises each image in them by itself, normalises none in front of the pretrained networks,
        adds total variation to the loss, spreads lambda over all generators, weighs classes by their rarity,
        freezes the classifier's early layers and divides its rate by ten every five epochs.
    checkpoint : pathlib.Path, optional
        Files whose names begin like this are written after each epoch and removed at the end. After an
        interruption the same call goes on from them and ends as if nothing had happened.

    Raises
    ------
    InputError
        If images or labels cannot be used, a part is empty or lacks a class, the loss is not a number, or the
        checkpoint is damaged, or of other data or settings.
    """
    check_way(way)
    parts = _parts(pixels, labels, train, valid)
    with no_random(seed):  # building a network draws random numbers, even if a file then fills it
        features = perceptual_network(normalise=way == "paper")
        weights = at_hand(profile.generator_backbone)
    run = training.Run(parts, *features, weights, profile, way, seed)
    with tempfile.TemporaryDirectory() as folder:
        stem = Path(checkpoint or Path(folder) / "fucitnet")
        files = {weight: stem.with_name(f"{stem.name}.lambda-{weight:g}") for weight in profile.lambdas}
        tried = _try_all(run, files) if len(files) > 1 else []
        weight = min(tried, key=lambda row: row["valid_loss"])["lambda"] if tried else profile.lambdas[0]
        keep = files[weight] if checkpoint or tried else None
        trained = training.train(run, weight, profile.generator_epochs, keep)  # after a trial, goes on
        for file in files.values():
            file.unlink(missing_ok=True)
    origin = training.settings(run) | {
        "lambda": weight,
        "lambdas_tried": tried,
        "epochs": len(trained.history),
        "best_epoch": trained.best,
    }
    minus, plus = trained.networks.generators
    return Transform(plus.eval(), minus.eval(), trained.networks.classifier.eval(), trained.history, origin)


def _try_all(run: training.Run, files: dict[float, Path]) -> list[dict[str, float]]:
    """Train with each lambda for a while; return how each did, one row a lambda."""
    epochs = max(1, run.profile.generator_epochs // SEARCH)
    rows = []
    for weight, file in files.items():
        trained = training.train(run, weight, epochs, file)
        best = trained.history.iloc[trained.best - 1]
        found = {name: float(best[name]) for name in ("valid_loss", "valid_accuracy", "valid_mse")}
        rows.append({"lambda": weight, "epochs": epochs} | found)
    return rows


def _parts(
    pixels: np.ndarray, labels: Sequence[str], train: Sequence[int], valid: Sequence[int]
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Check what `fit` is given; return images and positions in `LABELS` of both parts, and of no other."""
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise InputError(
            f"pixels: {pixels.dtype} of shape {pixels.shape}, uint8 (n, image_size, image_size) is needed"
        )
    if min(pixels.shape[1:]) < SMALLEST_SIZE:
        raise InputError(
            f"pixels: images of {pixels.shape[1]} x {pixels.shape[2]}, {SMALLEST_SIZE} is the least"
        )
    if len(labels) != len(pixels):
        raise InputError(f"{len(labels)} labels for {len(pixels)} images")
    labels = np.asarray(labels)
    for name, rows in (("training", train), ("validation", valid)):
        for label in LABELS:
            if label not in labels[np.asarray(rows, int)]:
                raise InputError(f"the {name} part has no image of class {label}")
    strange = set(labels[[*train, *valid]]) - set(LABELS)
    if strange:
        raise InputError(f"label {str(sorted(strange)[0])!r} is not one of {', '.join(LABELS)}")
    return tuple(
        (pixels[rows], np.array([LABELS.index(label) for label in labels[rows]]))
        for rows in (np.asarray(train, int), np.asarray(valid, int))
    )


def save(fitted: Transform, file: str | Path) -> None:
    """Write the networks as safetensors, atomically, with `history` and `origin` in the header."""
    file = Path(file)
    tensors = {
        f"{name}.{key}": tensor.contiguous()
        for name in NETWORKS
        for key, tensor in getattr(fitted, name).state_dict().items()
    }
    header = {"origin": json.dumps(fitted.origin), "history": json.dumps(fitted.history.to_dict("records"))}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata=header)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def load(file: str | Path) -> Transform:
    """Read what `save` wrote, ready for `transform` and `classify`.

    Raises
    ------
    InputError
        If the file is missing, damaged or something else.
    """
    try:
        with safe_open(file, "pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        origin = json.loads(header["origin"])
        history = pd.DataFrame(json.loads(header["history"]))
        start = training.start(origin["backbone"], "none", origin["way"])
        minus, plus = start.generators
        parts = dict(zip(NETWORKS, (plus, minus, start.classifier), strict=True))
        for name, network in parts.items():
            own = {
                key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")
            }
            network.load_state_dict(own)
            network.eval().to(pick_device())
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file}: not the networks of FuCiTNet, or damaged ({reason})") from error
    return Transform(**parts, history=history, origin=origin)
