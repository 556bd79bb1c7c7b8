"""Checks of chapter 2, building COVIDGR."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd
from sklearn.metrics import cohen_kappa_score

from sdnet_lib.data import release, severity
from sdnet_lib.exercises.checking import Step, number
from sdnet_lib.phantom import hospital

HOURS = (6, 24, 72, 720, math.inf)


def exercise_2_1(kappa: float, both: pd.DataFrame) -> Iterator[Step]:
    """Check Cohen's kappa of two readers' levels, quadratically weighted."""
    ranks = [both[reader].map(severity.LEVELS.index).astype(int) for reader in both]
    alphabet = [both[reader].map(sorted(severity.LEVELS).index).astype(int) for reader in both]
    mistakes = {
        cohen_kappa_score(
            *ranks
        ): "Without weights Normal against Severe counts no more than Mild against Moderate.",
        cohen_kappa_score(
            *ranks, weights="linear"
        ): "These weights are linear; the exercise asks for others.",
        cohen_kappa_score(*alphabet, weights="quadratic"): "The levels are in the order of the alphabet.",
        (ranks[0] == ranks[1]).mean(): "That is how often they agree, chance included.",
    }
    value = cohen_kappa_score(*ranks, weights="quadratic")
    hint = "Take the two columns of `both`, as numbers in the order of `severity.LEVELS`."
    yield from number(kappa, value, hint, mistakes, within=1e-4)


def exercise_2_2(accuracy: float) -> Iterator[Step]:
    """Check accuracy on COVIDGR-1.0, in percent, of a model that knows the sex alone."""
    table = release.paper_table3()
    women, men = table["women"], table["men"]
    right = 100 * (women["Negative"] + men["Positive"]) / table["images"].sum()
    mistakes = {
        right / 100: "In percent, please.",
        100 - right: "That is how often the model is wrong: men are called positive, women negative.",
        100
        * men["Positive"]
        / table["images"]["Positive"]: "That is the sensitivity: the negatives count, too.",
        100
        * women["Negative"]
        / table["images"]["Negative"]: "That is the specificity: the positives count, too.",
    }
    hint = "Count the right answers in both rows of the table, and divide by all images."
    yield from number(accuracy, right, hint, mistakes, within=0.02)


def exercise_2_3(
    window: list[tuple[float, int, float]],
    studies: pd.DataFrame,
    pcr: pd.DataFrame,
    readings: pd.DataFrame,
    truth: pd.DataFrame,
) -> Iterator[Step]:
    """Check images, and the fraction of wrong labels, of releases with other windows."""
    yield (
        len(window) == len(HOURS),
        f"`window` has {len(window)} rows; one for each of the five windows is wanted.",
    )
    yield all(len(row) == 3 for row in window), "Each row has three entries: (hours, images, wrong)."
    yield [row[0] for row in window] == [*HOURS], "The hours should be those of the exercise, in its order."
    for hours, images, wrong in window:
        made = [
            release.release(studies, pcr, readings, pcr_hours=hours, balanced=balanced)[0]
            for balanced in (False, True)
        ]
        unbalanced = {len(made[1]): "Negatives were left out for balance: see `balanced`."}
        hint = f"With {hours} hours another number of images was found: are all other rules left as they are?"
        yield from number(images, len(made[0]), hint, unbalanced)
        fraction = hospital.wrong_labels(made[0], truth)
        hint = f"With {hours} hours another fraction of wrong labels was found (`hospital.wrong_labels`)."
        yield from number(wrong, fraction, hint, {100 * fraction: "A fraction is wanted, not percent."})
