"""Checks of chapter 6, cross-validation and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from sdnet_lib.exercises.checking import Step, number

RUNS, FOLDS, GAP = 25, 5, 76.18 - 74.60  # Table 5 of the paper
DEALT = ("aabbcddde", (0, 1, 0, 0, 1, 1, 1, 2, 2))  # the patient and the fold of each image


def exercise_6_1(p_value: Callable) -> Iterator[Step]:
    """Check two-sided p of the corrected test, if the differences had this sd."""
    for sd in (3.0, 1.0):
        found = p_value(sd)
        yield np.ndim(found) == 0, "One number is wanted for one sd."

        def p(variance: float, sd: float = sd) -> float:
            return float(2 * stats.t.sf(GAP / (np.sqrt(variance) * sd), df=RUNS - 1))

        right = p(1 / RUNS + 1 / (FOLDS - 1))
        mistakes = {
            p(1 / RUNS): "That is the plain t-test, for which 25 runs are 25 strangers.",
            p(1 / (FOLDS - 1)): "The part that falls with the number of runs is missing.",
            p(1 / RUNS + 1 / FOLDS): "Test part by *training* part: four folds train.",
            right / 2: "That is one side; the exercise asks for both.",
            1 - right / 2: "That is the other side of the distribution.",
            p(1 / RUNS + 1 / (FOLDS - 1), sd=100 * sd): "The sd is in points; the difference should be, too.",
        }
        hint = f"For an sd of {sd:g} another p was found: error of the mean, then t, then its distribution."
        yield from number(float(found), right, hint, mistakes, within=5e-4)


def exercise_6_2(on_both_sides: Callable) -> Iterator[Step]:
    """Check the fraction of images whose patient has images in another fold, too."""
    patients, folds = np.array(list(DEALT[0])), np.array(DEALT[1])
    found = on_both_sides(patients, folds)
    mistakes = {
        5.0: "That is how many; the exercise asks for a fraction.",
        100 * 5 / 9: "A fraction is wanted, not percent.",
        2 / 5: "That is the fraction of patients; count the images.",
        7 / 9: "Several images are no harm if they are all dealt into one fold.",
        4 / 9: "That is the fraction of the images that are safe.",
    }
    hint = "Take each image: is there another one of its patient, in another fold?"
    yield from number(found, 5 / 9, hint, mistakes)
    yield from number(on_both_sides(patients, np.zeros(9, int)), 0.0, "With one fold nobody is on two sides.")
