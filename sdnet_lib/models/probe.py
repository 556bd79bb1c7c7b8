"""A frozen encoder with a linear probe: what one would take today, before one trains anything.

The encoder's features of the crops are all that is learned from, by one logistic regression. How much its
coefficients may weigh is chosen by cross-validation within the training part, patients kept together; the
validation part decides nothing. The whole is one network all the same, so that it can be kept and explained.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from sdnet_lib.config import NONE, THREADS, Profile
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.data.splits import splits
from sdnet_lib.files import InputError
from sdnet_lib.models.encoders import ENCODERS, Encoder
from sdnet_lib.models.predictors import Single
from sdnet_lib.models.task import Task

STRENGTHS = (
    1e-5,
    1e-4,
    1e-3,
    1e-2,
    1e-1,
    1.0,
    10.0,
)  # scikit-learn's C: the smaller, the weaker the coefficients
FOLDS = 5
FEW = 3  # patients of a label, of which fewer cannot be split
USUAL = 1e-2  # C where they cannot


class Resize(nn.Module):
    """Bring images to the size that an encoder knows, whatever size a study gives to all approaches."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels, image_size, image_size)."""
        size = (self.image_size, self.image_size)
        return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def features(encoder: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Return what a frozen encoder finds in images.

    Parameters
    ----------
    encoder : Encoder
        From `load`.
    pixels : uint8 array, (n, image_size, image_size)
        Of any size: the encoder is given its own.

    Returns
    -------
    float32 array, (n, features)
    """
    body = nn.Sequential(Resize(encoder.image_size), encoder.body)
    return Single(body, encoder.mean, encoder.std).outputs(pixels).cpu().numpy()


class Probe(NamedTuple):
    """A logistic regression on features as they are, and how it came about.

    Attributes
    ----------
    weight, bias : float array (features,) and float
        The logit of P is features @ weight + bias.
    strength : float
        Its C.
    chosen : str
        How that was chosen.
    """

    weight: np.ndarray
    bias: float
    strength: float
    chosen: str

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of P for features (n, k): (n,)."""
        return expit(features @ self.weight + self.bias)


def learn(features: np.ndarray, cohort: pd.DataFrame, seed: int) -> Probe:
    """Fit a logistic regression on standardised features.

    Parameters
    ----------
    features : float array, (n, k)
    cohort : DataFrame
        Whose they are, row for row: `image_id`, `patient_id`, `label` and `severity` are used.
    seed : int
        Draws the folds of the choice of C.
    """
    features, positive = features.astype(float), cohort["label"].to_numpy() == LABELS[1]
    cohort = cohort.reset_index(drop=True)
    with threadpool_limits(THREADS):  # more threads would add up in another order
        strength, chosen = _choose(features, positive, cohort, seed)
        scaler, model = _fit(features, positive, strength)
    weight = model.coef_[0] / scaler.scale_
    return Probe(weight, float(model.intercept_[0] - weight @ scaler.mean_), strength, chosen)


def _choose(features: np.ndarray, positive: np.ndarray, cohort: pd.DataFrame, seed: int) -> tuple[float, str]:
    """Return the C with the least log loss on patients it has not seen, and how it was chosen."""
    fewest = int(cohort.drop_duplicates("patient_id")["label"].value_counts().min())
    folds = min(FOLDS, fewest)
    if fewest < FEW:
        return USUAL, f"fixed: {fewest} patients of a label are too few to choose"
    loss = dict.fromkeys(STRENGTHS, 0.0)
    for part in splits(cohort, 1, folds, seed):
        seen = np.concatenate([part.train, part.valid])
        for strength in STRENGTHS:
            scaler, model = _fit(features[seen], positive[seen], strength)
            found = model.predict_proba(scaler.transform(features[part.test]))
            loss[strength] += log_loss(positive[part.test], found, normalize=False, labels=[False, True])
    return min(loss, key=loss.get), f"least log loss in {folds} folds of the training part's patients"


def _fit(
    features: np.ndarray, positive: np.ndarray, strength: float
) -> tuple[StandardScaler, LogisticRegression]:
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=strength, max_iter=5000)
    return scaler, model.fit(scaler.transform(features), positive)


def fit(task: Task, encoder: str) -> tuple[Single, dict]:
    """Look at the training part with a frozen encoder and fit a probe to what it finds.

    Parameters
    ----------
    task : Task
    encoder : str
        One of `encoders.ENCODERS`.

    Raises
    ------
    InputError
        See `load`.
    """
    found = load(encoder, task.profile.weights)
    probe = learn(features(found, task.pixels[task.train]), task.cohort.iloc[task.train], task.seed)
    predictor = _predictor(found)
    with torch.no_grad():
        _write(predictor.network[-1], probe)
    return predictor, {
        "weights": found.weights,
        "encoder": encoder,
        "trained": "logistic regression, encoder frozen",
        "features": found.features,
        "input": {"image_size": found.image_size, "mean": list(found.mean), "std": list(found.std)},
        "C": probe.strength,
        "C_chosen": probe.chosen,
    }


def _predictor(encoder: Encoder) -> Single:
    head = nn.Linear(encoder.features, len(LABELS))
    return Single(nn.Sequential(Resize(encoder.image_size), encoder.body, head), encoder.mean, encoder.std)


def _write(head: nn.Linear, probe: Probe) -> None:
    """Share the logit out equally: half of it speaks for P, and half against N."""
    sides = np.array([-0.5, 0.5])
    head.weight.copy_(torch.from_numpy(np.outer(sides, probe.weight)))
    head.bias.copy_(torch.from_numpy(sides * probe.bias))


def load(encoder: str, weights: str | None = None) -> Encoder:
    """Return an encoder with its own weights; those that are missing are downloaded, once.

    Parameters
    ----------
    encoder : str
        One of `encoders.ENCODERS`.
    weights : str, optional
        As in `Profile`: an encoder has no others than its own.

    Raises
    ------
    InputError
        If they cannot be had, or random ones are asked for.
    """
    if weights == NONE:
        raise InputError(f"--weights none: {encoder} is frozen, and random weights would stay random")
    return ENCODERS[encoder](True)


def build(profile: Profile, encoder: str) -> Single:
    """Return an untrained one, with random weights, to be filled or counted."""
    return _predictor(ENCODERS[encoder](False))
