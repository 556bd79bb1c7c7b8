"""Has a network learned? One that has not is counted and shown as such, and is no part of any mean or test.

It has not if it gives all images of its own training part one answer, or is right there no more often than
whoever always names the larger class. Each run says so in the column `learned` of its predictions. Studies
that were stored before there was this column have no answers to training images: there a run counts as one
that has not learned if all images of its test part get one answer. In neither case does it matter whether an
answer to a tested image is right.
"""

from __future__ import annotations

import pandas as pd

from sdnet_lib.evaluation.metrics import RUN, called, is_right

NOTE = (
    "Runs that have not learned (one answer for all images, or no more right answers in their own training "
    "part than the larger class has images) are counted here and left out of all means, curves and tests."
)
STORED_NOTE = (
    "This study was stored without answers to training images: a run counts as not learned if all images of "
    "its test part get one answer."
)


def judge(training: pd.DataFrame) -> dict:
    """Say whether a network has learned, from its answers to its own training part.

    Parameters
    ----------
    training : DataFrame
        Columns `label`, `prob_N`, `prob_P`, a row per image; no number is no answer, hence wrong.

    Returns
    -------
    dict
        ``learned`` (bool), ``training_accuracy``, ``majority`` (the fraction of the larger class),
        ``one_answer`` (bool).
    """
    answered = training[training[["prob_N", "prob_P"]].notna().all(axis=1)]
    accuracy = float(is_right(answered).sum() / len(training))
    majority = float(training["label"].value_counts(normalize=True).max())
    one_answer = bool(called(answered).nunique() < 2)
    return {
        "learned": accuracy > majority and not one_answer,
        "training_accuracy": accuracy,
        "majority": majority,
        "one_answer": one_answer,
    }


def says_so(predictions: pd.DataFrame) -> bool:
    """Return whether all runs of a prediction table say whether they have learned."""
    return "learned" in predictions and bool(predictions["learned"].notna().all())


def has_learned(predictions: pd.DataFrame) -> pd.Series:
    """Return whether the network of each row has learned, one bool a row of a prediction table."""
    varied = called(predictions).groupby([predictions[name] for name in RUN]).transform("nunique") > 1
    if "learned" not in predictions:
        return varied
    return predictions["learned"].astype("boolean").fillna(varied.astype("boolean")).astype(bool)


def only_learned(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the runs that have learned."""
    return predictions[has_learned(predictions)]


def count(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count the runs of each approach, and those that have learned.

    Returns
    -------
    DataFrame of int
        `runs` and `learned` by approach, in the order of the table.
    """
    runs = predictions[list(RUN)].assign(learned=has_learned(predictions)).drop_duplicates()
    return runs.groupby("approach", sort=False)["learned"].agg(runs="size", learned="sum")


def too_few(predictions: pd.DataFrame) -> str:
    """Say so if no approach has two runs that have learned, and so no spread; else return an empty text."""
    counts = count(predictions)
    if counts["learned"].max() > 1:
        return ""
    return f"only {counts['learned'].sum()} of {counts['runs'].sum()} runs have learned"
