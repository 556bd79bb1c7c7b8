"""Checks of chapter 7, printed tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sdnet_lib.exercises.checking import Step, number

EACH = 426  # images of either class
CAPS = {"specificity": 26.30, "sensitivity": 69.01}  # COVID-CAPS in Table 4


def exercise_7_1(answer: tuple[int, int, int, int, str]) -> Iterator[Step]:
    """Check the four counts of COVID-CAPS as published, and the number that does not fit them."""
    TN, FP, FN, TP, misfit = answer
    yield all(isinstance(count, int | np.integer) for count in answer[:4]), "Counts are whole numbers."
    yield TN + FP == EACH, f"TN and FP are all negatives: together {EACH}."
    yield FN + TP == EACH, f"FN and TP are all positives: together {EACH}."
    yield (
        abs(100 * TN / EACH - CAPS["specificity"]) < 0.01,
        "The specificity of your counts is not the printed one.",
    )
    yield (
        abs(100 * TP / EACH - CAPS["sensitivity"]) < 0.01,
        "The sensitivity of your counts is not the printed one.",
    )
    names = ("specificity", "precision_N", "sensitivity", "precision_P", "accuracy")
    yield misfit in names, f"Name the number by its column: {', '.join(names)}."
    yield misfit == names[1], "Your counts give just this number. Compute the others from them, too."


def exercise_7_2(positives: Callable) -> Iterator[Step]:
    """Check the fraction of positives that makes an accuracy of two recalls, NaN where they are equal."""
    for specificity, sensitivity, right in ((80.0, 60.0, 0.25), (85.2, 76.8, 0.5), (60.0, 90.0, 0.8)):
        found = positives(specificity, sensitivity, specificity + right * (sensitivity - specificity))
        mistakes = {
            1 - right: "That is the fraction of negatives, or the two recalls are mixed up.",
            100 * right: "A fraction is wanted, not percent.",
        }
        hint = "The accuracy is the sensitivity for so many, and the specificity for all others: solve that."
        yield from number(found, right, hint, mistakes, within=1e-6)
    unknown = positives(70.0, 70.0, 70.0)
    yield (
        np.ndim(unknown) == 0 and bool(np.isnan(unknown)),
        "With equal recalls any mixture gives this accuracy: nobody can tell, so NaN.",
    )
