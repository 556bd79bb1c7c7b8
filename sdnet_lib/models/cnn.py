"""The paper's CNN by itself, on whole images or on crops: an ImageNet backbone, 512 units, two outputs."""

from __future__ import annotations

from sdnet_lib.config import Profile
from sdnet_lib.models import classifier
from sdnet_lib.models.backbones import available_weights
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import Task


def fit(task: Task) -> tuple[Single, dict]:
    """Train it (Section 4, step 3)."""
    weights = available_weights(task.profile.backbone)
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
    notes = {"backbone": task.profile.backbone, "weights": weights} | classifier.summary(history)
    return Single.of(learner), notes


def build(profile: Profile) -> Single:
    """Return an untrained one."""
    return Single(*classifier.network(profile.backbone, "none"))
