"""Monte Carlo dropout: many answers of one network whose units are dropped at random, and how they disagree.

Gal and Ghahramani, ICML 2016. `baselines.bayesian` predicts with it; `explain.uncertainty` asks with it how
sure any predictor is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.nn import functional as F


class Prediction(NamedTuple):
    """What many passes or networks say about n images; entropies are in nats.

    Attributes
    ----------
    probabilities : float array, (n, classes)
        Mean of the probabilities over the passes.
    entropy : float array, (n,)
        Entropy of that mean: all uncertainty, of the image and of the network. Of two classes it is
        log 2 = 0.69 at most.
    information : float array, (n,)
        Mutual information of class and network, `entropy` less the mean entropy of single passes: what more
        training images could remove. Zero if all passes agree.
    """

    probabilities: np.ndarray
    entropy: np.ndarray
    information: np.ndarray


def summarise(samples: np.ndarray) -> Prediction:
    """Turn the probabilities of single passes into a prediction and its uncertainty.

    Parameters
    ----------
    samples : float array, (passes, n, classes)
    """
    mean = samples.mean(0)
    entropy = _entropy(mean)
    return Prediction(mean, entropy, (entropy - _entropy(samples).mean(0)).clip(0))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    logarithms = np.log(probabilities.clip(np.finfo(probabilities.dtype).tiny))
    return -(probabilities * logarithms).sum(-1)


def drop_units(x: Tensor, fraction: float) -> Tensor:
    """Drop the same units, a fraction of them, for every row of features (n, units); scale up the others."""
    return F.dropout1d(x.T[None], fraction)[0].T
