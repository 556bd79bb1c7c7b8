"""Checks of chapter 6, cross-validation and reading tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from sdnet_lib.evaluation import decisions
from sdnet_lib.exercises.checking import Step, number

RUNS, FOLDS, GAP = 25, 5, 76.18 - 74.60  # Table 5 of the paper
EACH = 426  # images of either class
CAPS = {"specificity": 26.30, "sensitivity": 69.01}  # COVID-CAPS in Table 4


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


def exercise_6_2(answer: tuple[int, int, int, int, str]) -> Iterator[Step]:
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


def exercise_6_3(break_even: Callable) -> Iterator[Step]:
    """Check the prevalence at which a positive answer is right in half of the cases."""
    for specificity, sensitivity in ((0.9, 0.6), (0.7976, 0.7259)):
        found = break_even(specificity, sensitivity)
        right = (1 - specificity) / (sensitivity + 1 - specificity)
        mistakes = {
            100 * right: "A fraction is wanted, not percent.",
            1 - right: "That is the fraction of the healthy.",
            (1 - sensitivity) / (specificity + 1 - sensitivity): "The order is (specificity, sensitivity).",
            specificity
            / (sensitivity + specificity): "Who is called positive by mistake? Not `specificity`.",
        }
        if isinstance(found, float) and 0 < found < 1:
            value = decisions.predictive_values(sensitivity, specificity, found)[0]
            hint = f"At that prevalence a positive answer would be right in {100 * value:.0f} of 100 cases."
        else:
            hint = "A prevalence is a fraction between 0 and 1."
        yield from number(found, right, hint, mistakes, within=1e-4)
