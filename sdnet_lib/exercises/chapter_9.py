"""Checks of chapter 9, what the network looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from sdnet_lib.exercises.checking import Step, array, number
from sdnet_lib.explain import faithfulness, layers, localisation, saliency
from sdnet_lib.models.predictors import Predictor


def exercise_9_1(energy: Callable) -> Iterator[Step]:
    """Check the fraction of a map's sum inside a region."""
    heat, region = np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[False, True], [False, True]])
    mistakes = {
        3.0: "That is the sum inside: a fraction of what?",
        1.5: "That is a mean inside: large and small regions would count alike.",
        0.5: "That is the fraction of the area, whatever the map says.",
        0.25: "That is the fraction outside.",
    }
    hint = "Three quarters of a small map lie in its region; your function says otherwise."
    yield from number(energy(heat, region), heat[region].sum() / heat.sum(), hint, mistakes)
    nothing = energy(np.zeros((2, 2)), region)
    hint = "A map of zeros looks nowhere. Any fraction would claim that it looks somewhere."
    yield nothing != nothing, hint


def exercise_9_2(
    answer: tuple[str, float],
    predictor: Predictor,
    cohort: pd.DataFrame,
    pixels: np.ndarray,
    regions: Mapping[str, np.ndarray],
    value: str,
) -> Iterator[Step]:
    """Check a finer layer, and the mean of a measure for Grad-CAM maps taken from it."""
    finer, found = answer
    size = pixels.shape[-1]
    cells = layers.cells(predictor, size)
    yield finer in cells, "That is no layer of this network: `layers.cells` names them."
    yield (
        cells[finer] > cells[layers.fine(predictor, size)],
        "Its cells are no smaller than those of the chapter's maps.",
    )

    def mean(layer: str | None) -> float:
        return localisation.table(predictor, cohort, pixels, regions, ["grad-cam"], layer=layer)[value].mean()

    hint = f"Another mean of `{value}` was found for this layer (`localisation.table` with `layer=`)."
    mistakes = {mean(None): "That is the value of the chapter's layer, not of yours."}
    yield from number(float(found), mean(finer), hint, mistakes, within=1e-4)


def exercise_9_3(together: np.ndarray, predictor: Predictor, pixels: np.ndarray) -> Iterator[Step]:
    """Check likeness of the maps why N and why P of each patient."""
    maps = saliency.pair(predictor, pixels)
    mistakes = {
        "Each map was compared with itself: one of the two is why N, the other why P.": np.ones(len(pixels))
    }
    hint = "Other values were found: `saliency.pair` gives N first, P second, of the images that are tested."
    yield from array(together, faithfulness.likeness(maps[:, 0], maps[:, 1]), hint, mistakes)
