"""The paper's CNN by itself, on whole images or on crops: an ImageNet backbone, 512 units, two outputs."""

from __future__ import annotations

from sdnet_lib.config import Profile
from sdnet_lib.models import classifier
from sdnet_lib.models.backbones import available_weights
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import Task
from sdnet_lib.models.training_config import TrainingConfig, steps_of_twins


def fit(task: Task, matched: bool = False) -> tuple[Single, dict]:
    """Train it (Section 4, step 3).

    Parameters
    ----------
    task : Task
    matched : bool
        Whether it makes as many optimiser steps an epoch as COVID-SDNet, which is twice as many: a batch of
        the same size holds half as many pairs of twins.
    """
    profile = task.profile
    weights = available_weights(profile.backbone, profile.weights)
    steps = steps_of_twins(len(task.train), profile.batch) if matched else None
    learner = classifier.learner(
        task.cohort,
        task.train,
        task.valid,
        profile=profile,
        weights=weights,
        config=TrainingConfig(batch=profile.batch, steps=steps),
        seed=task.seed,
        pixels=task.pixels,
    )
    history = classifier.fit(learner, profile)
    notes = {"backbone": profile.backbone, "weights": weights} | classifier.summary(learner, history)
    return Single.of(learner), notes


def build(profile: Profile) -> Single:
    """Return an untrained one."""
    return Single(*classifier.network(profile.backbone, "none"))
