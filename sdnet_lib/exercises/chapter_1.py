"""Checks of chapter 1, dataset bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from sdnet_lib.audit import shortcuts
from sdnet_lib.data.splits import Split
from sdnet_lib.exercises.checking import Step, number


def exercise_1_1(answer: tuple[float, float]) -> Iterator[Step]:
    """Check accuracy and sensitivity, in percent, of a machine that always says Normal."""
    accuracy, sensitivity = answer
    row = shortcuts.published(1).set_index("version").loc["COVIDx 1.0"]
    right = row["Normal"] / (row["Normal"] + row["COVID-19"])
    pneumonia = "Only the Normal and the COVID-19 images take part, not those with pneumonia."
    every = row["Normal"] + row["COVID-19"] + row["Pneumonia"]
    mistakes = {
        right: "In percent, please: of 100 answers.",
        100 * row["Normal"] / every: pneumonia,
        100 * (row["Normal"] + row["Pneumonia"]) / every: pneumonia,
        100 * (1 - right): "That is the fraction of wrong answers.",
    }
    hint = "Accuracy: which answers of this machine are right, out of how many?"
    yield from number(accuracy, 100 * right, hint, mistakes, within=0.05)
    yield from number(
        sensitivity, 0.0, "Sensitivity: how many of the sick does a machine find that says Normal?"
    )


def exercise_1_2(
    answer: Callable, cohort: pd.DataFrame, pixels: np.ndarray, parts: list[Split]
) -> Iterator[Step]:
    """Check the AUC that thumbnails of some size reach."""
    for size in (8, 2):
        seen = shortcuts.cross_validate(cohort, shortcuts.thumbnails(pixels, size), parts)
        found, area = shortcuts.scores(seen), answer(size)
        yield not isinstance(area, dict), "All scores came back; the exercise asks for one of them, the AUC."
        hint = (
            f"With {size} x {size} grey values another AUC was found: is `image_size` used, and are `parts`?"
        )
        yield from number(area, found["auc"], hint, {found["accuracy"]: "That is the accuracy."})
