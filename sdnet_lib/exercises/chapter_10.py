"""Checks of chapter 10, audit your own data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from sdnet_lib.exercises.checking import Step, number


def exercise_10_1(area: Callable) -> Iterator[Step]:
    """Check the area under the ROC curve of who sees a marker on p of the ill and q of the well."""
    for p, q in ((1.0, 0.0), (0.8, 0.2), (0.9, 0.5), (0.3, 0.3), (0.1, 0.6)):
        mistakes = {
            p
            * (1 - q): "Pairs that look alike are right in half the cases, and there are two kinds of them.",
            1 - (1 + p - q) / 2: "The ill are more suspect if they have the marker, not less.",
            p - q: "That is the difference of the fractions; a guesser who knows nothing has one half.",
        }
        hint = (
            "Draw one of the ill and one of the well: who has the marker? Four cases, each with its chance."
        )
        yield from number(area(p, q), (1 + p - q) / 2, hint, mistakes)


def exercise_10_2(answer: Callable) -> Iterator[Step]:
    """Check the list of patients who have images in more than one part."""
    rows = [("b", "train"), ("b", "train"), ("a", "test"), ("c", "train"), ("c", "test"), ("a", "train")]
    table = pd.DataFrame(rows, columns=["patient_id", "split"])
    found = answer(table)
    yield isinstance(found, list), f"A list is wanted here, not a {type(found).__name__}."
    yield "b" not in found, "Two images in one part are no leak: count parts, not images."
    yield len(set(found)) == len(found), "Each patient once."
    yield set(found) == {"a", "c"}, "Look for patients with more than one different part."
    yield found == ["a", "c"], "Sorted, please."
    yield answer(table.iloc[:2]) == [], "Nobody is torn apart in a table with one part: an empty list."
