"""Checks of chapter 5, twins and their fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from fastai.learner import Learner

from sdnet_lib.exercises.checking import Step, array, number
from sdnet_lib.models import fusion


def _letters(answers: np.ndarray) -> np.ndarray:
    """Return N or P for each row of four values: whose largest is larger; a tie is P."""
    negative, positive = answers[:, fusion.NEGATIVE].max(1), answers[:, fusion.POSITIVE].max(1)
    return np.where(negative > positive, "N", "P")


def exercise_5_1(rule: Callable) -> Iterator[Step]:
    """Check the paper's rule for many patients."""
    theta, psi = np.random.default_rng(1).dirichlet(np.ones(4), (2, 500))
    labels, _ = fusion.rule(theta, psi)
    totals = theta + psi
    sums = totals[:, fusion.NEGATIVE].sum(1) > totals[:, fusion.POSITIVE].sum(1)
    mistakes = {
        "This follows the first twin alone.": _letters(theta),
        "This follows the second twin alone.": _letters(psi),
        "This averages over the twins first; the paper compares single values.": _letters(totals),
        "This adds up what N and what P got; the paper compares single values.": np.where(sums, "N", "P"),
        "N and P are exchanged.": np.where(labels == "N", "P", "N"),
    }
    hint = "Of 500 patients with random answers some are decided in another way than by the paper's rule."
    yield from array(rule(theta, psi), labels, hint, mistakes)
    tie = np.array([[0.4, 0.1, 0.4, 0.1]])
    hint = "A tie is decided in another way than by the paper."
    yield from array(rule(tie, tie), fusion.rule(tie, tie)[0], hint)


def exercise_5_2(
    answer: tuple[np.ndarray, np.ndarray], learner: Learner, twins: np.ndarray
) -> Iterator[Step]:
    """Check decisions and cases if the twins come in the wrong order; `twins` are in the right one."""
    label, case = answer
    swapped = fusion.predict(learner, twins[:, ::-1].copy())
    labels, cases = fusion.rule(*swapped)
    straight = {"These are the cases of the right order.": fusion.rule(*swapped[::-1])[1]}
    yield from array(label, labels, "Other decisions were found: predict again, then use `fusion.rule`.")
    hint = "Other cases were found: give the rule both answers in the order in which they came."
    yield from array(case, cases, hint, straight)


def exercise_5_3(
    answer: tuple[np.ndarray, float, float], theta: np.ndarray, psi: np.ndarray, truth: np.ndarray
) -> Iterator[Step]:
    """Check a ward that calls a patient positive if either twin is read as P."""
    cautious, sensitivity, specificity = answer
    first, second = _letters(theta) == "P", _letters(psi) == "P"
    called = np.where(first | second, "P", "N")
    mistakes = {
        "This ward wants both twins to be P; is that cautious?": np.where(first & second, "P", "N"),
        "This is the fusion's decision.": fusion.rule(theta, psi)[0],
        "This looks at the first twin alone.": _letters(theta),
        "This looks at the second twin alone.": _letters(psi),
    }
    hint = "Read each twin by its largest value, then call P whom either calls P."
    yield from array(cautious, called, hint, mistakes)
    right = called == truth
    found = right[truth == "P"].mean(), right[truth == "N"].mean()
    hint = "Sensitivity: of those who are P, how many are called P?"
    yield from number(sensitivity, found[0], hint, {found[1]: "Sensitivity and specificity are exchanged."})
    yield from number(specificity, found[1], "Specificity: of those who are N, how many are called N?")
