"""From predictions to the numbers of a run: confusion counts, and the paper's seven measures (section 5.1).

A *prediction table* has one row per tested image and the columns ``approach, repeat, fold, image_id,
patient_id, label, severity, prob_N, prob_P``. A *run* is one network: an approach, a repeat, a fold.

A network with a third class also says in ``vote`` which of its classes it names. Tested are images of N and P
alone, as in the paper; a vote for the third class is an error for either, and no vote for N or P.
"""

from __future__ import annotations

import pandas as pd

from sdnet_lib.data.cohort import SEVERITIES
from sdnet_lib.files import InputError

RUN = ("approach", "repeat", "fold")
# In the order of the columns of Table 5.
METRICS = ("specificity", "precision_N", "f1_N", "sensitivity", "precision_P", "f1_P", "accuracy")
PER = {"repeat": ["approach", "repeat"], "fold": list(RUN)}


def called(predictions: pd.DataFrame) -> pd.Series:
    """Return what each row is called: its vote, else N or P; a tie goes to P, as in the paper's fusion."""
    positive = predictions["prob_P"] >= predictions["prob_N"]
    likelier = positive.map({True: "P", False: "N"})
    return predictions["vote"].fillna(likelier) if "vote" in predictions else likelier


def is_right(predictions: pd.DataFrame) -> pd.Series:
    """Return whether the predicted label is the true one, one bool a row."""
    return called(predictions) == predictions["label"]


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count the outcomes of each run.

    Returns
    -------
    DataFrame of int
        Columns TN, FP, FN, TP, and N_other and P_other, images that were called something else; indexed by
        approach, repeat and fold, in the order of their first row.
    """
    truth, named = predictions["label"] == "P", called(predictions)
    outcomes = {"TN": ~truth & (named == "N"), "FP": ~truth & (named == "P")}
    outcomes |= {"FN": truth & (named == "N"), "TP": truth & (named == "P")}
    other = ~named.isin(["N", "P"])
    outcomes |= {"N_other": ~truth & other, "P_other": truth & other}
    return pd.DataFrame(outcomes).groupby([predictions[name] for name in RUN], sort=False).sum()


def harmonic_mean(one: pd.Series, other: pd.Series) -> pd.Series:
    """Return 2 a b / (a + b): 0 where both are 0, NaN where one is NaN."""
    total = one + other
    return 2 * one * other / total.where(total != 0, 1)


def measures(counts: pd.DataFrame) -> pd.DataFrame:
    """Turn confusion counts into the paper's measures.

    A measure whose denominator is 0 is NaN, never 0: the precision of a class that was never predicted, and
    its F1 with it, or the recall of a class that was not tested.

    Parameters
    ----------
    counts : DataFrame
        Columns TN, FP, FN, TP, and perhaps N_other and P_other.

    Returns
    -------
    DataFrame of float
        Columns `METRICS`, fractions; the same index.
    """

    def fraction(part: pd.Series, whole: pd.Series) -> pd.Series:
        return part / whole.where(whole > 0)

    TN, FP, FN, TP = (counts[name] for name in ("TN", "FP", "FN", "TP"))
    N, P = (TN + FP + counts.get("N_other", 0), FN + TP + counts.get("P_other", 0))
    specificity, precision_N = fraction(TN, N), fraction(TN, TN + FN)
    sensitivity, precision_P = fraction(TP, P), fraction(TP, TP + FP)
    found = {
        "specificity": specificity,
        "precision_N": precision_N,
        "f1_N": harmonic_mean(precision_N, specificity),
        "sensitivity": sensitivity,
        "precision_P": precision_P,
        "f1_P": harmonic_mean(precision_P, sensitivity),
        "accuracy": fraction(TN + TP, N + P),
    }
    return pd.DataFrame(found, columns=list(METRICS))


def per_run(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the seven measures of each run, fractions, indexed by approach, repeat and fold."""
    return measures(confusion(predictions))


def by_severity(predictions: pd.DataFrame, per: str = "repeat") -> pd.DataFrame:
    """Return the accuracy on each level of severity (section 5.5), level by level and run by run.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table; rows without a severity are left out.
    per : str
        ``repeat`` pools the folds of a repetition, in which each image is tested once. That is what Tables 6
        and 8 did, for their means are fractions of five times the level. ``fold`` looks at each fold alone,
        where a level has few images.

    Returns
    -------
    DataFrame of float
        One column a level that occurs, from the mildest; fractions, NaN where nothing was tested. Indexed by
        approach and repeat, and by fold if asked.

    Raises
    ------
    InputError
        If `per` is another word.
    """
    if per not in PER:
        raise InputError(f"per {per!r}: not one of {', '.join(PER)}")
    known = predictions[predictions["severity"] != ""]
    runs = known[PER[per]].drop_duplicates()
    groups = [known[name] for name in [*PER[per], "severity"]]
    found = is_right(known).groupby(groups).mean().unstack("severity")
    levels = [level for level in SEVERITIES if level in found]
    return found.loc[pd.MultiIndex.from_frame(runs), levels]  # approaches as they come, not by name
