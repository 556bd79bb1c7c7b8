"""Checks of chapter 8, thresholds, probabilities and benefit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sdnet_lib.evaluation import decisions
from sdnet_lib.exercises.checking import Step, number


def exercise_8_1(break_even: Callable) -> Iterator[Step]:
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


def exercise_8_2(net_benefit: Callable) -> Iterator[Step]:
    """Check the net benefit per patient of acting on some, from a threshold on."""
    ill = np.array([True] * 4 + [False] * 6)
    acts = np.array([True] * 3 + [False] * 3 + [True] * 2 + [False] * 2)
    treated, needless = 3 / 10, 2 / 10  # of all patients
    for threshold in (0.2, 0.6):
        found, price = net_benefit(ill, acts, threshold), threshold / (1 - threshold)
        right = treated - price * needless
        mistakes = {
            treated
            - needless: "A needless act has a price; here it counts as much as a rightly treated patient.",
            treated
            - needless / price: "The price is upside down: who acts early holds needless acts to be cheap.",
            treated - threshold * needless: "The price is not the threshold itself, but its odds.",
            10 * right: "For each patient: divide by how many there are.",
            right * 10 / 5: "Divide by all patients, not by those on whom you act.",
            3 / 4
            - price * 2 / 6: "These are fractions of the ill and of the healthy; take all patients for both.",
            treated: "Nothing is paid for the needless acts.",
        }
        hint = "Count the ill among those on whom you act, and the healthy among them; then the price."
        yield from number(found, right, hint, mistakes)
    yield from number(
        net_benefit(ill, np.zeros(10, bool), 0.2), 0.0, "Whoever acts on nobody does neither good nor harm."
    )
