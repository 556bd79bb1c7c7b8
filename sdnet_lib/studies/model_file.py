"""Trained models as files: tensors as safetensors, and a card that says where they come from and what for.

The card is in the header of the file, and once more beside it as JSON for people. Reading runs no code.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from sdnet_lib.checksums import write_seal, write_tensors
from sdnet_lib.config import Profile, stored_profile
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import input_checks
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.models.predictors import Predictor
from sdnet_lib.models.task import Task
from sdnet_lib.studies import card
from sdnet_lib.studies.study import Study

SMALL = 100  # numbers of a tensor that is worth no rounding


class Model(NamedTuple):
    """A trained predictor and its card."""

    predictor: Predictor
    card: dict

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that it sees."""
        return stored_profile(self.card["profile"])["image_size"]

    @property
    def approach(self) -> registry.Approach:
        """What it was trained as: whether it wants crops, and how it reads a file."""
        return registry.find(self.card["approach"])


def describe(study: Study, approach: registry.Approach, task: Task) -> dict:
    """Return what a card says of a model that has learned from a task before anybody has tested it."""
    cohort = task.cohort
    origin = dataclasses.replace(study, cohort=cohort).origin(approach.name)
    facts = {key: origin[key] for key in ("code", "cohort", "device", "versions", "seed", "profile")}
    counts = {label: int((cohort["label"] == label).sum()) for label in LABELS}
    levels = cohort.loc[cohort["severity"] != "", "severity"].value_counts()
    facts["cohort"] |= counts | {"patients": int(cohort["patient_id"].nunique())}
    facts["cohort"] |= {"severity": {name: int(count) for name, count in levels.items()}}
    return {
        "warning": card.NO_DEVICE,
        "approach": approach.name,
        "labels": list(LABELS),
        "crops": approach.crops,
        **facts,
        "ordinary": input_checks.ranges(task.pixels),
        "limits": list(card.LIMITS),
    }


def write(model: Model, file: str | Path) -> None:
    """Write a model to `file` and its card to the same name with ``.json``, atomically and with checksums.

    Weights are rounded to half precision; vectors, such as means and variances, keep theirs.
    """
    file = Path(file)
    tensors = {name: _small(tensor) for name, tensor in model.predictor.state_dict().items()}
    write_tensors(file, tensors, {card.KEY: json.dumps(model.card, indent=1)})
    write_seal(file.with_suffix(".json"), model.card, file)


def rounded(predictor: Predictor) -> None:
    """Round a predictor's weights as `write` does, so that what is measured is what will be read."""
    predictor.load_state_dict({name: _small(tensor) for name, tensor in predictor.state_dict().items()})


def _small(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    large = tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() > SMALL
    return tensor.half() if large else tensor


def read(source: str | Path) -> Model:
    """Read a model.

    Parameters
    ----------
    source : str or pathlib.Path
        One of `card.shipped`, or a file that `write` wrote.

    Raises
    ------
    InputError
        If there is no such file, it or its card is damaged or something else, or it does not tell N from P.
    """
    file = card.find(source)
    found = card.read(file)
    profile, tensors = _profile(found), load_file(file)
    predictor = registry.find(found["approach"]).build(profile)
    try:
        predictor.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"model {file}: its tensors are not those of {found['approach']} ({_second_line(error)})"
        ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"model {file}: {name} holds values that are no numbers")
    return Model(predictor.ready(), found)


def _profile(card: dict) -> Profile:
    """Return the profile in a card; fields that a later version has no use for are passed over."""
    known = {field.name for field in dataclasses.fields(Profile)}
    given = {name: value for name, value in stored_profile(card["profile"]).items() if name in known}
    return Profile(**given | {"lambdas": tuple(given.get("lambdas", ()))})


def _second_line(error: Exception) -> str:
    return str(error).splitlines()[:2][-1].strip()
