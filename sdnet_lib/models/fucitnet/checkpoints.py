"""What makes a training of FuCiTNet stop in time, repeatable, and able to go on after an interruption.

At the paper's sizes one training takes hours on a GPU, and after the search for lambda the best one goes on.
"""

from __future__ import annotations

import copy
import io
import random
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.learner import Recorder
from torch import nn

from sdnet_lib.checksums import beside, made_again, read_seal, write_seal
from sdnet_lib.config import pick_device, set_seed
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError, write_bytes

TERMS = [f"{term}_{label}" for term in ("mse", "perceptual", "cross_entropy", "loss") for label in LABELS]
COLUMNS = ["epoch", *TERMS, "classifier_loss", "valid_loss", "valid_accuracy", "valid_mse"]


class Checkpoint(Callback):
    """Seed each epoch, keep the best one's weights, stop in time, and write what a later run goes on from.

    Every epoch draws from a seed of its own, so a run that goes on needs the state of no random numbers.
    fastai's trackers do not remember what was before an interruption.

    Parameters
    ----------
    networks : nn.Module
        All that is trained.
    patience : int
        Epochs without a lower validation loss before training stops.
    seed : int
        Of the run.
    file, key : Path or None, str
        Written after each epoch, and what must be the same in a file to go on from it. A damaged file is
        passed over, which one line says.

    Attributes
    ----------
    history : list of dict
        A row per epoch, of `COLUMNS`.
    best : int
        The epoch, counted from 1, of the lowest validation loss; 0 before there is one.

    Raises
    ------
    InputError
        If `file` is of other data or settings.
    """

    order = Recorder.order + 1

    def __init__(self, networks: nn.Module, patience: int, seed: int, file: Path | None, key: str) -> None:
        self.networks, self.patience, self.seed, self.file, self.key = networks, patience, seed, file, key
        self.state = _read(file, key) if file and not made_again(file) else {}
        self.history: list[dict[str, float]] = self.state.get("history", [])
        self.best, self.best_weights = self.state.get("best", 0), self.state.get("best_weights", {})

    @property
    def finished(self) -> bool:
        """Whether the validation loss has not fallen for so long that training is over."""
        return len(self.history) - self.best >= self.patience and bool(self.history)

    def before_fit(self) -> None:
        """Go on where the file ends."""
        if self.state:
            self.networks.load_state_dict(self.state["weights"])
            for part, state in zip(self._trainers(), self.state["trainers"], strict=True):
                part.load_state_dict(state)

    def before_epoch(self) -> None:
        """Seed the epoch."""
        seed = int(np.random.SeedSequence((self.seed, len(self.history) + 1)).generate_state(1)[0])
        set_seed(seed)
        self.dls.train.rng = random.Random(seed)  # draws the order of the images

    def after_epoch(self) -> None:
        """Look at the validation loss, and stop where it has ceased to fall."""
        twins, (_, valid_loss, accuracy) = self.learn.twins, self.recorder.values[-1]
        values = [len(self.history) + 1, *twins.train_means, valid_loss, accuracy, twins.valid_mse]
        lowest = min((row["valid_loss"] for row in self.history), default=np.inf)
        self.history.append(dict(zip(COLUMNS, values, strict=True)))
        if valid_loss < lowest:
            self.best, self.best_weights = len(self.history), copy.deepcopy(self.networks.state_dict())
        elif not self.best:
            raise InputError(f"lambda {twins.weight:g}: the validation loss is not a number")
        if self.file:
            self._write(self.file)
        if self.finished:
            raise CancelFitException

    def restore_best(self) -> None:
        """Give the networks the weights of the best epoch."""
        self.networks.load_state_dict(self.best_weights)

    def _trainers(self) -> list:
        return [*self.learn.twins.optimisers, self.opt.opt, self.learn.twins.scaler]

    def _write(self, file: Path) -> None:
        state = {
            "history": self.history,
            "best": self.best,
            "best_weights": self.best_weights,
            "weights": self.networks.state_dict(),
            "trainers": [part.state_dict() for part in self._trainers()],
        }
        content = io.BytesIO()  # torch would not say why it cannot write a file
        torch.save(state, content)
        write_bytes(file, content.getvalue())
        write_seal(beside(file), {"key": self.key, "epochs": len(self.history)}, file)


def remove(file: Path) -> None:
    """Remove a checkpoint that nobody goes on from any more."""
    for one in (file, beside(file)):
        one.unlink(missing_ok=True)


def _read(file: Path, key: str) -> dict:
    if read_seal(beside(file), file)["key"] != key:
        raise InputError(f"{file}: the checkpoint of other data or settings; delete it to start anew")
    return torch.load(file, pick_device(), weights_only=True)
