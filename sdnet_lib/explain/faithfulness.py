"""Whether a map depends on its network, and the answer on what the map names.

A map that looks right may still be wrong: here it must change when the weights of its network are random, and
name the pixels that the answer depends on. Where maps point is measured in `localisation`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
from fastai.torch_core import no_random
from scipy import ndimage, stats
from torch import nn

from sdnet_lib.data.cohort import LABELS
from sdnet_lib.explain import saliency
from sdnet_lib.explain.localisation import WHOM, baseline
from sdnet_lib.explain.uncertainty import probabilities
from sdnet_lib.files import InputError
from sdnet_lib.models.predictors import Predictor

KINDS = ("deletion", "insertion")
STEPS = 10  # of a deletion or insertion curve
BLUR = 1 / 8  # of the side: what a deleted pixel shows instead
# fractions of the layers whose weights become random, from the last backwards
STAGES = {"last": 0.01, "third": 0.33, "all": 1.0}
RANDOM = "random order"  # of pixels, which deletion and insertion have to beat


def randomised(predictor: Predictor, fraction: float, seed: int = 0) -> Predictor:
    """Return a copy whose last layers, a fraction of all that learn, have random weights again.

    For the sanity check of Adebayo et al. (NeurIPS 2018): if the map survives, it never was about the model.

    Parameters
    ----------
    predictor : Predictor
    fraction : float
        From above zero (the last layer alone, at least) to 1 (the whole network).
    seed : int
        Draws the weights.
    """
    copied = copy.deepcopy(predictor)
    learning = [layer for layer in copied.network.modules() if hasattr(layer, "reset_parameters")]
    count = max(1, round(fraction * len(learning)))
    with no_random(seed):
        for layer in learning[-count:]:
            layer.reset_parameters()
            if isinstance(layer, nn.Linear):  # torch's own start leaves a deep network's answers all alike
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    return copied


def likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two maps of each image, (n,); NaN where one of them is flat."""
    found = np.full(len(first), np.nan)
    for row, (one, two) in enumerate(zip(first, second, strict=True)):
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            found[row] = stats.spearmanr(one.ravel(), two.ravel()).statistic
    return found


def curve(predictor: Predictor, pixels: np.ndarray, maps: np.ndarray, label: str, kind: str) -> np.ndarray:
    """Watch an answer while pixels vanish or appear in the order of a map (Petsiuk et al., BMVC 2018).

    Parameters
    ----------
    predictor : Predictor
    pixels : uint8 array, (n, image_size, image_size)
    maps : float array, (n, image_size, image_size)
    label : str
        ``N`` or ``P``: whose probability is watched.
    kind : str
        ``deletion``: highest pixels are blurred first. ``insertion``: in a blurred image they come back
        first.

    Returns
    -------
    float array, (n, `STEPS` + 1)
        Probabilities while 0, 1/`STEPS`, ... 1 of the pixels are changed. A map that names what matters falls
        early in a deletion and rises early in an insertion.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of curve {kind!r}: choose {' or '.join(KINDS)}")
    soft = np.stack([ndimage.gaussian_filter(image, BLUR * image.shape[-1]) for image in pixels])
    before, after = (pixels, soft) if kind == "deletion" else (soft, pixels)
    order = (-maps).reshape(len(maps), -1).argsort(1, kind="stable").argsort(1).reshape(maps.shape)
    probability = []
    for step in range(STEPS + 1):
        changed = order < step / STEPS * maps[0].size
        answers = probabilities(predictor.predict(np.where(changed, after, before)))
        probability.append(answers[:, LABELS.index(label)])
    return np.stack(probability, 1)


def area(curves: np.ndarray) -> np.ndarray:
    """Return the area under each curve of `curve`, (n,), in [0, 1]."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def checks(
    predictor: Predictor,
    cohort: pd.DataFrame,
    pixels: np.ndarray,
    methods: Sequence[str],
    label: str = "P",
    seed: int = 0,
    layer: str | None = None,
) -> pd.DataFrame:
    """Ask of each map whether it outlives its network's weights, and whether the answer hangs on its pixels.

    Parameters
    ----------
    predictor, cohort, pixels, label, layer
        As in `localisation.table`.
    methods : sequence of str
        From `saliency.METHODS`.
    seed : int
        Draws the weights, and the order of `RANDOM`.

    Returns
    -------
    DataFrame
        A row per image and method: `alike_last`, `alike_third` and `alike_all`, the `likeness` to the map
        after these layers have random weights (zero where that is flat), and `deletion` and `insertion`, the
        `area` under each `curve`. Then the areas for the order of the image's edges and for a random one.
    """
    column = LABELS.index(label)
    at = {method: layer if method in saliency.CAMS else None for method in methods}
    maps = {method: saliency.pair(predictor, pixels, method, at[method])[:, column] for method in methods}
    alike = {method: {} for method in methods}
    for stage, fraction in STAGES.items():
        random_weights = randomised(predictor, fraction, seed)
        for method in methods:
            again = saliency.pair(random_weights, pixels, method, at[method])[:, column]
            alike[method][f"alike_{stage}"] = np.nan_to_num(likeness(maps[method], again))
    orders = maps | {
        "edges": baseline("edges", pixels),
        RANDOM: np.random.default_rng(seed).random(pixels.shape),
    }
    facts, parts = cohort[WHOM].reset_index(drop=True), []
    for method, order in orders.items():
        found = {kind: area(curve(predictor, pixels, order, label, kind)) for kind in KINDS}
        parts.append(facts.assign(**alike.get(method, {}), **found, method=method))
    return pd.concat(parts, ignore_index=True)
