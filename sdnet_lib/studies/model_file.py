"""Trained models as files: tensors as safetensors, and a card that says where they come from and what for.

The card is in the header of the file, and once more beside it as JSON for people. Reading runs no code.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from sdnet_lib.config import Profile, stored_profile
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import input_checks
from sdnet_lib.files import InputError, write_bytes, write_text
from sdnet_lib.models import registry
from sdnet_lib.models.predictors import Predictor
from sdnet_lib.models.task import Task
from sdnet_lib.studies.study import Study

SHIPPED = Path(__file__).parent / "models"
DEFAULT = "synthetic"
NO_DEVICE = (
    "Not a medical device: for teaching and research. Real decisions need a model trained and validated on "
    "the user's own population."
)
LIMITS = (
    "Tested by cross-validation on the cohort it was trained on: another hospital, device, view or age group "
    "may be read much worse.",
    "It tells P from N and knows nothing else: any other disease may look like either.",
    "Its probabilities hold for the share of P in its training images.",
)
SMALL = 100  # numbers of a tensor that is worth no rounding
CARD = "card"  # its place in the header


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
        "warning": NO_DEVICE,
        "approach": approach.name,
        "labels": list(LABELS),
        "crops": approach.crops,
        **facts,
        "ordinary": input_checks.ranges(task.pixels),
        "limits": list(LIMITS),
    }


def write(model: Model, file: str | Path) -> None:
    """Write a model to `file` and its card to the same name with ``.json``, each atomically.

    Weights are rounded to half precision; vectors, such as means and variances, keep theirs.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(model.card, indent=1)
    tensors = {name: _small(tensor) for name, tensor in model.predictor.state_dict().items()}
    write_text(file.with_suffix(".json"), text + "\n")
    write_bytes(file, save(tensors, {CARD: text}))


def _small(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    large = tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() > SMALL
    return tensor.half() if large else tensor


def shipped() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.safetensors"))


def read(source: str | Path) -> Model:
    """Read a model.

    Parameters
    ----------
    source : str or pathlib.Path
        One of `shipped`, or a file that `write` wrote.

    Raises
    ------
    InputError
        If there is no such file, it is damaged or something else, or its model does not tell N from P.
    """
    file = SHIPPED / f"{source}.safetensors" if str(source) in shipped() else Path(source)
    if not file.is_file():
        raise InputError(f"model {source}: no such file, and not one of {', '.join(shipped())}")
    card = read_card(file)
    profile, tensors = _profile(card), load_file(file)
    predictor = registry.find(card["approach"]).build(profile)
    try:
        predictor.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"model {file}: its tensors are not those of {card['approach']} ({_second_line(error)})"
        ) from error
    return Model(predictor.ready(), card)


def read_card(file: Path) -> dict:
    """Read the card of a model file; raise `InputError` if it has none, or tells other classes apart."""
    try:
        with safe_open(file, "pt") as stored:
            card = json.loads((stored.metadata() or {})[CARD])
        _profile(card)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"model {file}: not a file that sdnet train wrote, or damaged ({error})") from error
    if card.get("labels") != list(LABELS):
        raise InputError(f"model {file}: tells {card.get('labels')} apart, not {' and '.join(LABELS)}")
    return card


def _profile(card: dict) -> Profile:
    """Return the profile in a card; fields that a later version has no use for are passed over."""
    known = {field.name for field in dataclasses.fields(Profile)}
    given = {name: value for name, value in stored_profile(card["profile"]).items() if name in known}
    return Profile(**given | {"lambdas": tuple(given.get("lambdas", ()))})


def _second_line(error: Exception) -> str:
    return str(error).splitlines()[:2][-1].strip()
