"""How sure is a prediction? A network is asked many times while its units are dropped at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from fastai.torch_core import no_random
from torch import Tensor, nn

from sdnet_lib.files import InputError
from sdnet_lib.models.dropout import Prediction, drop_units, summarise
from sdnet_lib.models.predictors import BATCH, Mean, Predictor, half_precision, to_images

PASSES = 50
DROPOUT = 0.5


def probabilities(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return the columns `prob_N` and `prob_P` of a prediction as one array (n, 2)."""
    return np.stack([columns["prob_N"], columns["prob_P"]], 1).astype(float)


def by_dropout(
    predictor: Predictor, pixels: np.ndarray, *, passes: int = PASSES, seed: int = 0
) -> Prediction:
    """Ask one network many times while half the units in front of its last layer are dropped at random.

    Monte Carlo dropout (Gal and Ghahramani, ICML 2016) on a network that was trained without: the spread says
    how much an answer leans on few units, and is no posterior.

    Parameters
    ----------
    predictor : Predictor
    pixels : uint8 array, (n, image_size, image_size)
    passes : int
        The features are computed once, so passes are cheap.
    seed : int
        Draws the units that are dropped, the same for all images.

    Raises
    ------
    InputError
        If there is not at least one pass, or no `last_linear`.
    """
    if passes < 1:
        raise InputError(f"a prediction needs at least one pass, not {passes}")
    last, parts = last_linear(predictor.ready()), []
    for start in range(0, len(pixels), BATCH):
        with inputs_of(last) as features, torch.inference_mode(), half_precision():
            predictor(to_images(pixels[start : start + BATCH]))
        parts.append(sample(predictor, last, features, passes, seed))
    return summarise(np.concatenate(parts, 1))


def last_linear(predictor: Predictor) -> nn.Linear:
    """Return the linear layer that gives a network's answer.

    Raises
    ------
    InputError
        If it has none (COVID-CAPS), or averages several networks.
    """
    found = [layer for layer in predictor.network.modules() if isinstance(layer, nn.Linear)]
    if not found or isinstance(predictor.network, Mean):
        raise InputError("this network has no last linear layer whose units could be dropped")
    return found[-1]


@contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Gather what a layer is given, call by call, inside the ``with`` block: one call a view."""
    seen = []
    hook = layer.register_forward_hook(lambda _, given, __: seen.append(given[0].detach().float()))
    try:
        yield seen
    finally:
        hook.remove()


def sample(
    predictor: Predictor, last: nn.Linear, features: Sequence[Tensor], passes: int, seed: int
) -> np.ndarray:
    """Return probabilities (passes, n, 2) of the last layer given its inputs, with units dropped."""
    samples = []
    with torch.inference_mode(), no_random(seed):
        for _ in range(passes):
            answers = [last(drop_units(view, DROPOUT)) for view in features]
            samples.append(probabilities(predictor.columns(predictor.combine(answers))))
    return np.stack(samples)
