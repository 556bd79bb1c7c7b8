"""The one place that puts a comparison into words, so that no sentence can contradict its table.

What is said follows from an estimate and its interval alone. An interval that holds nothing at all, the value
at which there is no effect, decides nothing, however large the estimate.
"""

from __future__ import annotations

import math

HELPED, HURT, UNDECIDED, SAME, UNKNOWN = "helped", "hurt", "undecided", "no difference", "not measured"


def verdict(low: float, high: float, nothing: float = 0.0) -> str:
    """Choose the word for an effect.

    It is `HELPED`, `HURT` or `UNDECIDED`; `SAME` where every run had no effect at all, and `UNKNOWN` where
    there is no interval.

    Parameters
    ----------
    low, high : float
        Ends of its interval; NaN where there is none.
    nothing : float
        The value that stands for no effect: 0 for a difference, one half for an area under the ROC curve.
    """
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    if low == high == nothing:
        return SAME
    if low > nothing:
        return HELPED
    return HURT if high < nothing else UNDECIDED


def effect(what: str, estimate: float, low: float, high: float) -> str:
    """Return a sentence about an effect: that it helped, hurt, or is undecided, with its numbers.

    Parameters
    ----------
    what : str
        What may have helped, the subject of the sentence.
    estimate, low, high : float
        A difference of fractions with its interval; positive is better.
    """
    word, subject = verdict(low, high), what[0].upper() + what[1:]
    if word == UNKNOWN:
        return f"{subject}: there is no interval, so nothing can be said."
    if word == SAME:
        return f"{subject} made no difference in any run."
    numbers = "{} points [{} to {}]".format(*(_signed(100 * value) for value in (estimate, low, high)))
    if word == UNDECIDED:
        return f"Whether {what} helped is undecided: {numbers}."
    return f"{subject} {word}: {numbers}."


def beats_a_coin(what: str, auc: float, low: float, high: float) -> str:
    """Return a sentence about an area under the ROC curve beside that of a coin, one half."""
    words = {
        HELPED: "still gives the label away",
        HURT: "points to the wrong label",
        UNDECIDED: "does not differ clearly from a coin",
        UNKNOWN: "was not measured",
    }
    word = verdict(low, high, 0.5)
    numbers = "" if word == UNKNOWN else f": {auc:.2f} [{low:.2f} to {high:.2f}]"
    return f"{what[0].upper()}{what[1:]} {words[word]}{numbers}."


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
