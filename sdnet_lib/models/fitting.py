"""How each approach learns from a task: the paper's own systems and the rivals, to readers of one kind.

A `Task` holds the training and the validation part and nothing else, so what is tested cannot leak into what
was learned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from fastai.torch_core import no_random
from filelock import FileLock
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import backbones, classifier, fusion, predictors
from sdnet_lib.models.baselines import bayesian, covidcaps, covidcaps_weights, covidnet
from sdnet_lib.models.baselines import deepcovidexplainer as explainer
from sdnet_lib.models.fucitnet import transform as fucitnet
from sdnet_lib.models.training_config import Recipe


class Task(NamedTuple):
    """What a run may learn from.

    Attributes
    ----------
    cohort : DataFrame
        The rows of the training and the validation part, and no others.
    pixels : uint8 array, (n, image_size, image_size)
        Their images.
    train, valid : int array
        Positions of the rows of either part.
    profile : Profile
        Sizes; its `image_size` is that of `pixels`.
    seed : int
        Everything random starts here.
    shared : Path
        A file name without suffix where approaches that need the same generators keep them.
    data : Path or None
        The folder that holds the public data sets, for weights that lie there.
    """

    cohort: pd.DataFrame
    pixels: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    profile: Profile
    seed: int
    shared: Path
    data: Path | None


def fit_cnn(task: Task) -> tuple[predictors.Predictor, dict]:
    """Train the paper's CNN: a trunk, 512 units, two outputs (Section 4, step 3)."""
    weights = backbones.at_hand(task.profile.backbone)
    learner = classifier.learner(
        task.cohort,
        task.train,
        task.valid,
        profile=task.profile,
        weights=weights,
        seed=task.seed,
        pixels=task.pixels,
    )
    history = classifier.fit(learner, task.profile)
    said = {"backbone": task.profile.backbone, "weights": weights} | _summary(history)
    return predictors.Single.of(learner), said


def fit_rival(
    build: Callable[[int], nn.Module], recipe: Recipe, task: Task
) -> tuple[predictors.Predictor, dict]:
    """Train a rival's network by its own recipe."""
    learner, said = _train(build, recipe, ("N", "P"), task)
    return predictors.Single.of(learner), said


def fit_covidnet(variant: str, recipe: Recipe, task: Task) -> tuple[predictors.Predictor, dict]:
    """Train a budget-matched COVID-Net; it keeps an output for pneumonia, which a two-class cohort lacks."""
    build = partial(covidnet.network, variant, len(covidnet.CLASSES))
    learner, said = _train(build, recipe, covidnet.CLASSES, task)
    return predictors.Single.of(learner, **covidnet.ANSWERS), said


def fit_ensemble(task: Task) -> tuple[predictors.Predictor, dict]:
    """Train both networks of DeepCOVIDExplainer and average their softmax outputs."""
    trained = {
        name: fit_rival(partial(build, 2), recipe, task)
        for name, (build, recipe) in explainer.MEMBERS.items()
    }
    members = [predictor for predictor, _ in trained.values()]
    return predictors.Single(predictors.Mean(members)), {name: said for name, (_, said) in trained.items()}


def fit_bayesian(task: Task) -> tuple[predictors.Predictor, dict]:
    """Train the Bayesian ResNet50V2; its prediction is the mean of many passes with dropout left on."""
    learner, said = _train(partial(bayesian.network, 2), bayesian.RECIPE, ("N", "P"), task)
    return bayesian.Predictor.of(learner, seed=task.seed), said


def fit_fucitnet(task: Task) -> tuple[predictors.Predictor, dict]:
    """Train FuCiTNet alone: generators and classifier together decide (Section 4, step 2)."""
    made = _generators(task)
    return predictors.Fucitnet(made.plus, made.minus, made.classifier), made.origin


def fit_sdnet(task: Task) -> tuple[predictors.Predictor, dict]:
    """Train COVID-SDNet: generators, then a four-class network on the twins, then fusion."""
    made = _generators(task)
    weights = backbones.at_hand(task.profile.backbone)
    learner = fusion.learner(
        task.cohort,
        fucitnet.transform(made, task.pixels),
        task.train,
        task.valid,
        profile=task.profile,
        weights=weights,
        seed=task.seed,
    )
    history = classifier.fit(learner, task.profile)
    normal = (values[:3] for values in learner.normal)  # of one twin
    said = {"backbone": task.profile.backbone, "weights": weights} | _summary(history)
    predictor = predictors.Sdnet(made.plus, made.minus, learner.model.single, *normal)
    return predictor, said | {"generators": made.origin}


def fit_published_caps(further: bool, task: Task) -> tuple[predictors.Predictor, dict]:
    """Take COVID-CAPS with its authors' weights, as it is or trained further (Table 4)."""
    file = None if task.data is None else task.data / "covidcaps" / covidcaps_weights.PUBLISHED
    if file is None or not file.is_file():
        raise InputError(
            f"the authors' weights are needed: covidcaps/{covidcaps_weights.PUBLISHED} in --data DIR"
        )

    def build(image_size: int) -> nn.Module:
        return covidcaps_weights.load(file)

    if further:
        learner, said = _train(build, covidcaps.RECIPE, ("N", "P"), task)
    else:
        learner, said = _learner(build, covidcaps.RECIPE, ("N", "P"), task), {}
    return predictors.Single.of(learner), said | {"weights": file.name}


def _learner(build: Callable, recipe: Recipe, classes: tuple[str, ...], task: Task) -> classifier.Learner:
    with no_random(task.seed):
        model = build(task.profile.image_size)
    return classifier.learner(
        task.cohort,
        task.train,
        task.valid,
        profile=task.profile,
        model=model,
        recipe=recipe,
        classes=classes,
        seed=task.seed,
        pixels=task.pixels,
    )


def _train(
    build: Callable[[int], nn.Module], recipe: Recipe, classes: tuple[str, ...], task: Task
) -> tuple[classifier.Learner, dict]:
    learner = _learner(build, recipe, classes, task)
    weights = learner.model.weights
    return learner, {"weights": weights} | _summary(classifier.fit(learner, task.profile))


def _generators(task: Task) -> fucitnet.Transform:
    """Train the generators of this part, or take those that another approach trained on the same part."""
    file, checkpoint = task.shared.with_suffix(".safetensors"), task.shared.with_suffix(".checkpoint")
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(task.shared.with_suffix(".lock")):
        if not file.exists():
            transform = fucitnet.fit(
                task.pixels,
                task.cohort["label"].to_numpy(),
                task.train,
                task.valid,
                profile=task.profile,
                seed=task.seed,
                checkpoint=checkpoint,
            )
            fucitnet.save(transform, file)
        return fucitnet.load(file)


def _summary(history: pd.DataFrame) -> dict:
    """Say how long a network trained and how well it did on the validation part, for its provenance."""
    best = history.loc[history["valid_loss"].idxmin()]
    return {"epochs": len(history), "best_epoch": int(best["epoch"]), "valid_loss": float(best["valid_loss"])}
