"""Every system that can be cross-validated: the paper's own, and those its Tables 2 and 4 compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import classifier, fusion, predictors
from sdnet_lib.models.baselines import bayesian, covidcaps, covidnet, darkcovidnet, mobilenet
from sdnet_lib.models.baselines import deepcovidexplainer as explainer
from sdnet_lib.models.fitting import (
    Task,
    fit_bayesian,
    fit_cnn,
    fit_covidnet,
    fit_ensemble,
    fit_fucitnet,
    fit_published_caps,
    fit_rival,
    fit_sdnet,
)
from sdnet_lib.models.fucitnet import transform
from sdnet_lib.models.training_config import Recipe


class Approach(NamedTuple):
    """A system: how it is called, what it reads, how it learns, and what was reported for it.

    Attributes
    ----------
    name : str
        On the command line; `evaluation.tables.title` has its title.
    image_size : int
        Side in pixels of what its paper feeds it; a small profile feeds less.
    crops : bool
        Whether it sees crops of the lungs or whole images.
    fit : callable
        From a `Task` to a trained `Predictor` and what its provenance should say.
    build : callable
        From a `Profile` to an untrained reader of the same kind, to be filled or counted.
    source, reported : str
        Where it comes from, and what Table 2 or 4 of the paper reports for it.
    read : callable
        From a cohort and a side to pixels, if not `classifier.read_pixels`.
    """

    name: str
    image_size: int
    crops: bool
    fit: Callable[[Task], tuple[predictors.Predictor, dict]]
    build: Callable[[Profile], predictors.Predictor]
    source: str
    reported: str = ""
    read: Callable[[pd.DataFrame, int], np.ndarray] = classifier.read_pixels


def _cnn(profile: Profile) -> predictors.Predictor:
    return predictors.Single(*classifier.network(profile.backbone, "none", 2, 64))


def _fucitnet(profile: Profile) -> predictors.Predictor:
    minus, plus, network = transform.networks(profile)
    return predictors.Fucitnet(plus, minus, network)


def _sdnet(profile: Profile) -> predictors.Predictor:
    minus, plus, _ = transform.networks(profile)
    return predictors.Sdnet(
        plus, minus, *classifier.network(profile.backbone, "none", len(fusion.CLASSES), 64)
    )


def _ensemble(profile: Profile) -> predictors.Predictor:
    members = [predictors.Single(build(2, profile.image_size)) for build, _ in explainer.MEMBERS.values()]
    return predictors.Single(predictors.Mean(members))


def _rival(name: str, module: object, source: str, reported: str, **options: object) -> Approach:
    """Return an approach that is one network, trained by its module's recipe."""
    build = partial(module.network, 2)
    fit = options.pop("fit", partial(fit_rival, build, module.RECIPE))
    predictor, activation = getattr(module, "Reader", predictors.Single), module.RECIPE.loss().activation

    def empty(profile: Profile) -> predictors.Predictor:
        return predictor(build(profile.image_size), activation=activation)

    return Approach(name, module.IMAGE_SIZE, True, fit, empty, source, reported, **options)


def _covidnet(name: str, variant: str, recipe: Recipe = covidnet.RECIPE, reported: str = "") -> Approach:
    def empty(profile: Profile) -> predictors.Predictor:
        network = covidnet.network(variant, len(covidnet.CLASSES), profile.image_size)
        return predictors.Single(network, **covidnet.ANSWERS)

    return Approach(
        name,
        covidnet.IMAGE_SIZES[variant],
        True,
        partial(fit_covidnet, variant, recipe),
        empty,
        f"Wang et al. 2020; budget-matched to {covidnet.VARIANTS[variant].release}",
        reported,
        covidnet.read_pixels,
    )


def _published_caps(name: str, further: bool, figures: str) -> Approach:
    fit, source = partial(fit_published_caps, further), "Afshar et al. 2020; the authors' weights"
    reported = f"Table 4: {figures}"
    return _rival(name, covidcaps, source, reported, fit=fit, read=covidcaps.read_pixels)


PAPER = "Tabik et al. 2020"
APPROACHES = {
    approach.name: approach
    for approach in (
        Approach("resnet50", 224, False, fit_cnn, _cnn, PAPER, "Table 5: accuracy 74.25"),
        Approach("resnet50-crop", 224, True, fit_cnn, _cnn, PAPER, "Table 5: accuracy 74.60"),
        Approach(
            "fucitnet",
            224,
            True,
            fit_fucitnet,
            _fucitnet,
            "Rey-Area et al. 2020",
            "Table 5: accuracy 74.35",
        ),
        Approach("covid-sdnet", 224, True, fit_sdnet, _sdnet, PAPER, "Table 5: accuracy 76.18"),
        _covidnet(
            "covidnet",
            "a",
            reported="Table 2: sensitivity 87.1, accuracy 92.6; Table 4 retrained: accuracy 67.82",
        ),
        _covidnet("covidnet-balanced", "a", covidnet.RECIPE_BALANCED),
        _covidnet("covidnet-small", "small"),
        _covidnet("covidnet-large", "large"),
        _covidnet("covidnet-b", "b"),
        _covidnet("covidnet-c", "c"),
        _rival(
            "covid-caps",
            covidcaps,
            "Afshar et al. 2020",
            "Table 2: sensitivity 90, accuracy 95.7",
            read=covidcaps.read_pixels,
        ),
        _published_caps("covid-caps-published", False, "sensitivity 69.01, accuracy 47.66"),
        _published_caps("covid-caps-retrained", True, "sensitivity 64.93, accuracy 65.34"),
        _rival(
            "darkcovidnet",
            darkcovidnet,
            "Ozturk et al. 2020",
            "Table 2: sensitivity 90.65, accuracy 98.08 (two classes)",
        ),
        Approach(
            "deepcovidexplainer",
            explainer.IMAGE_SIZE,
            True,
            fit_ensemble,
            _ensemble,
            "Karim et al. 2020",
            "Table 2: sensitivity 93, accuracy 96.77",
        ),
        _rival(
            "bayesian-resnet50v2",
            bayesian,
            "Ghoshal and Tucker 2020",
            "Table 2: sensitivity 85.71, accuracy 89.82",
            fit=fit_bayesian,
        ),
        _rival(
            "mobilenet",
            mobilenet,
            "Apostolopoulos and Mpesiana 2020",
            "Table 2: sensitivity 98.66, accuracy 96.78",
        ),
    )
}


def find(name: str) -> Approach:
    """Return the approach called `name`; raise `InputError` naming the choices for any other name."""
    if name not in APPROACHES:
        raise InputError(f"unknown approach {name!r}: choose from {', '.join(APPROACHES)}")
    return APPROACHES[name]


def parameters(approach: Approach, profile: Profile) -> int:
    """Count the learned numbers that an approach predicts with, at its own side.

    Batch normalisation's running statistics are not counted.
    """
    with torch.device("meta"):
        predictor = approach.build(replace(profile, image_size=approach.image_size))
    return sum(p.numel() for p in predictor.parameters())


def describe(profile: Profile) -> str:
    """Return all approaches as text: name, parameters, input side, source, and what the paper reports."""
    lines = [f"{'approach':22}{'parameters':>12}{'side':>6}  source; what the paper reports"]
    for name, approach in APPROACHES.items():
        count = f"{parameters(approach, profile):,}"
        said = approach.source + (f"; {approach.reported}" if approach.reported else "")
        lines.append(f"{name:22}{count:>12}{approach.image_size:6}  {said}")
    return "\n".join(lines)
