"""What makes a training of FuCiTNet stop in time, repeatable, and able to go on after an interruption."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.learner import Recorder
from torch import Tensor

from sdnet_lib.config import pick_device, set_seed
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.files import InputError

if TYPE_CHECKING:
    from sdnet_lib.models.fucitnet.training import Networks

TERMS = [f"{term}_{label}" for term in ("mse", "perceptual", "cross_entropy", "loss") for label in LABELS]
COLUMNS = ["epoch", *TERMS, "classifier_loss", "valid_loss", "valid_accuracy", "valid_mse"]


class Keeper(Callback):
    """Seed each epoch, keep the best one's weights, stop in time, and write what a later run goes on from.

    Every epoch draws from a seed of its own, so a run that goes on needs the state of no random numbers.
    fastai's trackers do not remember what was before an interruption.

    Parameters
    ----------
    networks : fucitnet_train.Networks
        What is trained.
    patience : int
        Epochs without a lower validation loss before training stops.
    seed : int
        Of the run.
    file, key : Path or None, str
        Written after each epoch, and what must be the same in a file to go on from it.

    Attributes
    ----------
    history : list of dict
        A row an epoch, of `COLUMNS`.
    best : int
        The epoch, counted from 1, of the lowest validation loss; 0 before there is one.

    Raises
    ------
    InputError
        If `file` is there but cannot be read, or is of other data or settings.
    """

    order = Recorder.order + 1

    def __init__(self, networks: Networks, patience: int, seed: int, file: Path | None, key: str) -> None:
        self.networks, self.patience, self.seed, self.file, self.key = networks, patience, seed, file, key
        self.state = _read(file, key) if file and file.exists() else {}
        self.history: list[dict[str, float]] = self.state.get("history", [])
        self.best, self.best_weights = self.state.get("best", 0), self.state.get("best_weights", {})

    @property
    def finished(self) -> bool:
        """Whether the validation loss has not fallen for so long that training is over."""
        return len(self.history) - self.best >= self.patience and bool(self.history)

    def before_fit(self) -> None:
        """Go on where the file ends."""
        if not self.state:
            return
        _set_weights(self.networks, self.state["weights"])
        for optimiser, state in zip(self._optimisers(), self.state["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.learn.twins.scaler.load_state_dict(self.state["scaler"])

    def before_epoch(self) -> None:
        """Seed the epoch; in the authors' way, divide the classifier's rate by ten every five epochs."""
        number = len(self.history) + 1
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        set_seed(seed)
        self.dls.train.rng = random.Random(seed)  # draws the order of the images
        if self.learn.twins.way == "code":
            self.opt.set_hypers(lr=self.learn.lr * 0.1 ** (number // 5))

    def after_epoch(self) -> None:
        """Look at the validation loss, and stop where it has ceased to fall."""
        twins, (_, valid_loss, accuracy) = self.learn.twins, self.recorder.values[-1]
        values = [len(self.history) + 1, *twins.train_means, valid_loss, accuracy, twins.valid_mse]
        lowest = min((row["valid_loss"] for row in self.history), default=np.inf)
        self.history.append(dict(zip(COLUMNS, values, strict=True)))
        if valid_loss < lowest:
            self.best, self.best_weights = len(self.history), _weights(self.networks)
        elif not self.best:
            raise InputError(f"lambda {twins.weight:g}: the validation loss is not a number")
        if self.file:
            self._write()
        if self.finished:
            raise CancelFitException

    def restore_best(self) -> None:
        """Give the networks the weights of the best epoch."""
        _set_weights(self.networks, self.best_weights)

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        return [*self.learn.twins.optimisers, self.opt.opt]

    def _write(self) -> None:
        state = {
            "key": self.key,
            "history": self.history,
            "best": self.best,
            "best_weights": self.best_weights,
            "weights": _weights(self.networks),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers()],
            "scaler": self.learn.twins.scaler.state_dict(),
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(f".{self.file.name}.{os.getpid()}.part")
        try:
            torch.save(state, part)
            os.replace(part, self.file)
        finally:
            part.unlink(missing_ok=True)


def _read(file: Path, key: str) -> dict:
    try:
        state = torch.load(file, pick_device(), weights_only=True)
        found = state["key"]
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a checkpoint, or a damaged one; delete it to start anew") from error
    if found != key:
        raise InputError(f"{file}: the checkpoint of other data or settings; delete it to start anew")
    return state


def _weights(networks: Networks) -> list[dict[str, Tensor]]:
    return [{name: t.detach().clone() for name, t in network.state_dict().items()} for network in networks]


def _set_weights(networks: Networks, weights: list[dict[str, Tensor]]) -> None:
    for network, state in zip(networks, weights, strict=True):
        network.load_state_dict(state)
