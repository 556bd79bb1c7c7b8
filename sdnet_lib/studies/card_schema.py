"""The schema of a model's card: what must be in it, of which kind and within which bounds."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from sdnet_lib.config import Profile, stored_profile
from sdnet_lib.explain import input_checks
from sdnet_lib.models import registry

LARGEST = 10**7  # of any number of images, pixels or epochs
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Amount = Annotated[float, Field(ge=0, le=LARGEST)]
PerCent = Annotated[float, Field(ge=0, le=100)]
ImageSize = Annotated[int, Field(ge=8, le=1024)]  # pixels that a model may see
KINDS = {"int": Count, "str": str, "tuple[float, ...]": list[Amount]}  # of the fields of a profile


class Part(BaseModel):
    """A dictionary in a card: kinds are not converted, there is no NaN, and there may be more in it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


def _sizes() -> type[Part]:
    """Return the schema of a profile: the fields of `Profile`, of which some have a default."""
    fields = {
        field.name: (KINDS[field.type], ... if field.default is dataclasses.MISSING else field.default)
        for field in dataclasses.fields(Profile)
    }
    return create_model("Sizes", __base__=Part, **fields | {"image_size": (ImageSize, ...)})


class Cohort(Part):
    """What a model has learned from."""

    images: Count
    sources: list[str]
    N: Count = 0
    P: Count = 0
    patients: Count = 0
    severity: dict[str, Count] = {}


class Validated(Part):
    """What cross-validation found, in per cent but for areas; three numbers are a mean and its interval."""

    runs: Count
    accuracy: tuple[float, float, float]
    auc: tuple[float, float, float]
    sensitivity: PerCent
    specificity: PerCent
    severity: dict[str, PerCent] = {}


class Share(Part):
    """How many images of a group a threshold calls P."""

    images: Annotated[int, Field(ge=1, le=LARGEST)]
    called: Count


class Threshold(Part):
    """From which probability on an image is P for a stated specificity, and whom that finds."""

    specificity: Annotated[float, Field(ge=0, le=1)]
    threshold: Annotated[float, Field(ge=0, le=1)]
    found: dict[str, Share]


class Map(Part):
    """A method of explanation that was measured; the first is used."""

    method: str


def _known(approach: str) -> str:
    if approach not in registry.APPROACHES:
        raise ValueError(f"approach {approach!r} is unknown")
    return approach


def _in_today_s_words(profile: object) -> object:
    return stored_profile(profile) if isinstance(profile, dict) else profile


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the lower bound is above the upper one")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_in_order)]


class Card(Part):
    """What `model_file.describe` says, and what is added to it after training."""

    approach: Annotated[str, AfterValidator(_known)]
    labels: list[str]
    crops: bool
    profile: Annotated[_sizes(), BeforeValidator(_in_today_s_words)]
    cohort: Cohort
    ordinary: dict[Literal[input_checks.NAMES], Range]
    limits: Annotated[list[str], Field(min_length=1)]
    warning: str = ""
    seed: Count = 0
    device: str = ""
    command: str = ""
    seconds: Count = 0
    code: dict[str, str] = {}
    versions: dict[str, str] = {}
    cross_validation: Validated | None = None
    thresholds: list[Threshold] = []
    maps: list[Map] = []


def check(text: str) -> None:
    """Raise `ValueError` for the JSON of a card that breaks the schema; the message is one line."""
    try:
        Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ": ".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
