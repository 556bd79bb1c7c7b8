"""From a hospital's records to a release like COVIDGR: three tables in, a cohort and a flow chart out.

The rules are the paper's (Section 3): an RT-PCR and an expert's reading within 24 hours of the X-ray, PA
views only, one machine, severity by RALE, as many negatives as positives. Thresholds are arguments whose
defaults are the paper's values. The tables, described in `sdnet_lib.data.records`, may come from
`sdnet_lib.phantom.hospital` or from a real archive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sdnet_lib.data import severity
from sdnet_lib.data.records import checked

NEEDED = ["patient_id", "sex", "machine", "view", "taken"]
RELEASED = "released"


def release(
    studies: pd.DataFrame, pcr: pd.DataFrame, readings: pd.DataFrame, **rules: object
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply the rules and return the cohort and the flow of exclusions.

    Parameters
    ----------
    studies, pcr, readings : DataFrame
        See `sdnet_lib.data.records`.
    **rules
        The thresholds of `judge`.

    Returns
    -------
    cohort : DataFrame
        One row per released image: the columns of a cohort, `file` empty unless the studies have one, sex,
        machine, taken, rale (0 to 8) and any other column of the studies.
    flow : DataFrame
        See `flow`.

    Raises
    ------
    InputError
        A table with a missing column or a value that cannot be; the message names table, row and column.
    """
    judged = judge(studies, pcr, readings, **rules)
    kept = judged[judged["reason"] == RELEASED].drop(columns="reason")
    cohort = kept.rename(columns={"study_id": "image_id"})
    if "file" not in cohort:
        cohort["file"] = ""
    cohort["source"] = "archive"
    first = ["image_id", "file", "label", "severity", "patient_id", "source", "view"]
    cohort = cohort[first + [name for name in cohort if name not in first]]
    return cohort.sort_values(["label", "image_id"], ignore_index=True), flow(judged)


def judge(
    studies: pd.DataFrame,
    pcr: pd.DataFrame,
    readings: pd.DataFrame,
    *,
    pcr_hours: float = 24.0,
    reading_hours: float = 24.0,
    views: Sequence[str] = ("PA",),
    machines: Sequence[str] | None = None,
    readers: int = 2,
    one_per_patient: bool = True,
    balanced: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Give every study a label, a severity and the first reason why it is not released.

    Parameters
    ----------
    pcr_hours : float
        A test counts if its sample was taken less than this many hours before or after the X-ray (Section 3:
        24). Any positive test among those makes the study positive; ``inf`` lets every test count.
    reading_hours : float
        A reading counts if it was given less than this many hours after the X-ray.
    views : sequence of str
        Views that are kept (Section 3: PA only).
    machines : sequence of str, optional
        Machines that are kept; by default the one that took the most studies in these views (Section 3: same
        equipment).
    readers : int
        Readings that must agree on the level; if they do not, the next reading decides.
    one_per_patient : bool
        Keep a patient's first study only. The paper does not say; it makes the images independent.
    balanced : bool
        Draw from the larger class as many as the smaller has (Table 3: 426 and 426).
    seed : int
        Of that draw.

    Returns
    -------
    DataFrame
        The studies, and ``label`` ("N", "P" or ""), ``severity``, ``rale`` (missing where not read), and
        ``reason``: an ordered categorical with the rules in the order they were applied, then `RELEASED`.
    """
    studies = checked("studies", studies)
    pcr, readings = checked("pcr", pcr), checked("readings", readings)
    if machines is None:
        machines = studies.loc[studies["view"].isin(views), "machine"].mode().tolist()[:1]
    picture = studies["picture"] if "picture" in studies else pd.Series(pd.NA, studies.index)
    owners = studies.groupby(picture)["patient_id"].transform("nunique")

    studies["label"] = _labels(studies, pcr, pcr_hours)
    read = consensus(studies, readings, hours=reading_hours, readers=readers)
    studies["rale"] = studies["study_id"].map(read["rale"]).astype("Int64")
    scores = studies["rale"].where(studies["label"] == "P")
    studies["severity"] = scores.map(severity.positive_severity, na_action="ignore").astype(object).fillna("")
    enough = studies["study_id"].map(read["readings"]).fillna(0) >= readers

    reasons: dict[str, pd.Series] = {}
    left = pd.Series(True, studies.index)

    def exclude(reason: str, mask: pd.Series) -> None:
        nonlocal left
        reasons[reason] = left & mask.fillna(False).astype(bool)
        left = left & ~reasons[reason]

    within_pcr, within_reading = _window(pcr_hours), _window(reading_hours)
    exclude("incomplete record", studies[NEEDED].isna().any(axis=1))
    exclude(f"view is not {' or '.join(views)}", ~studies["view"].isin(views))
    exclude("another machine", ~studies["machine"].isin(machines))
    exclude("picture filed under two patients", owners > 1)
    exclude("copy of an earlier picture", _later(studies, left & picture.notna(), picture))
    exclude(f"no RT-PCR result{within_pcr}", studies["label"] == "")
    exclude(f"fewer than {readers} readings{within_reading}", ~enough)
    exclude("readers disagree, nobody decided", studies["rale"].isna())
    exclude("RT-PCR negative, lungs not normal", (studies["label"] == "N") & (studies["rale"] > 0))
    exclude("later study of the same patient", _later(studies, left & one_per_patient, studies["patient_id"]))
    exclude("not drawn when classes were balanced", _surplus(studies, left & balanced, seed))

    studies["reason"] = RELEASED
    for reason, mask in reasons.items():
        studies.loc[mask, "reason"] = reason
    studies["reason"] = pd.Categorical(studies["reason"], [*reasons, RELEASED], ordered=True)
    return studies


def flow(judged: pd.DataFrame) -> pd.DataFrame:
    """Count the exclusions: columns ``rule, excluded, left``, one row per rule in the order of application.

    The first row is the whole archive, and in each row ``left`` is the row above's less ``excluded``.
    """
    counts = judged["reason"].value_counts(sort=False).drop(RELEASED)
    excluded = [0, *counts]
    return pd.DataFrame(
        {
            "rule": ["in the archive", *counts.index],
            "excluded": excluded,
            "left": len(judged) - np.cumsum(excluded),
        }
    )


def consensus(
    studies: pd.DataFrame, readings: pd.DataFrame, *, hours: float = 24.0, readers: int = 2
) -> pd.DataFrame:
    """Make one score of several readings.

    The first `readers` readings (of different readers, within `hours` after the X-ray) count. If they agree
    on the level, the score is their mean, halves up, which stays in that level. If they do not, the next
    reader's score decides; without one the score is missing.

    Returns
    -------
    DataFrame
        Index ``study_id``; ``rale`` (Int64, may be missing) and ``readings`` (how many counted).
    """
    given = readings.dropna(subset=["score", "read_at"]).merge(studies[["study_id", "taken"]], on="study_id")
    delay = (given["read_at"] - given["taken"]) / pd.Timedelta(hours=1)
    given = given[(delay >= 0) & (delay < hours)].sort_values(["study_id", "read_at", "reader"])
    given = given.drop_duplicates(["study_id", "reader"])
    given["place"] = given.groupby("study_id").cumcount()
    given["level"] = given["score"].map(severity.severity)

    first = given[given["place"] < readers].groupby("study_id")
    mean = first["score"].mean().map(severity.score_from_extent).astype("Int64")
    decider = given[given["place"] == readers].set_index("study_id")["score"].reindex(mean.index)
    agreed = first["level"].nunique() == 1
    score = mean.where(agreed, decider.astype("Int64")).where(first.size() >= readers)
    return pd.DataFrame({"rale": score, "readings": given.groupby("study_id").size()})


def table3(cohort: pd.DataFrame) -> pd.DataFrame:
    """Count a cohort as Table 3 of the paper does: images, women, men and severity levels by class.

    Counts of what the cohort does not know (no ``sex`` column, no severity at all) are missing, not 0.
    """
    rows = {}
    for label, name in (("N", "Negative"), ("P", "Positive")):
        part = cohort[cohort["label"] == label]
        sex = part["sex"] if "sex" in cohort else pd.Series("", part.index)
        known = label == "P" and (part["severity"] != "").any()
        rows[name] = {
            "images": len(part),
            "women": (sex == "F").sum() if sex.isin(["F", "M"]).any() else pd.NA,
            "men": (sex == "M").sum() if sex.isin(["F", "M"]).any() else pd.NA,
            **{s: (part["severity"] == s).sum() if known else pd.NA for s in severity.POSITIVE_LEVELS},
        }
    return pd.DataFrame(rows).T.astype("Int64").rename_axis("class")


def paper_table3() -> pd.DataFrame:
    """Return Table 3 of the paper, COVIDGR-1.0, in the shape of `table3`."""
    rows = {"Negative": [426, 239, 187, *[pd.NA] * 4], "Positive": [426, 190, 236, 76, 100, 171, 79]}
    columns = ["images", "women", "men", *severity.POSITIVE_LEVELS]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).astype("Int64").rename_axis("class")


def giveaway(cohort: pd.DataFrame, columns: Sequence[str]) -> float:
    """Measure how well columns of a table alone, no pixel among them, tell the label.

    A logistic regression on the columns' values, five-fold cross-validated with a patient's rows in one fold.

    Returns
    -------
    float
        Mean area under the ROC curve: 0.5 says nothing, 1.0 says everything.
    """
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    values = cohort[list(columns)].fillna("unknown").astype(str)
    folds = StratifiedGroupKFold(5)
    positive, patients = cohort["label"] == "P", cohort["patient_id"]
    return float(
        cross_val_score(model, values, positive, groups=patients, cv=folds, scoring="roc_auc").mean()
    )


def _labels(studies: pd.DataFrame, pcr: pd.DataFrame, hours: float) -> pd.Series:
    """Return "P" if any test in the window is positive, else "N" if any is negative, else ""."""
    pairs = studies[["study_id", "patient_id", "taken"]].merge(pcr, on="patient_id")
    apart = (pairs["sampled"] - pairs["taken"]).abs() / pd.Timedelta(hours=1)
    inside = pairs[apart < hours]
    found = {
        label: studies["study_id"].isin(inside.loc[inside["result"] == result, "study_id"])
        for label, result in (("P", "positive"), ("N", "negative"))
    }
    return pd.Series(np.select([found["P"], found["N"]], ["P", "N"], ""), studies.index)


def _later(studies: pd.DataFrame, among: pd.Series, key: pd.Series) -> pd.Series:
    """Mark, among the marked studies, all but the first by time of each value of `key`."""
    first_to_last = studies[among].sort_values(["taken", "study_id"]).index
    return key[first_to_last].duplicated().reindex(studies.index, fill_value=False)


def _surplus(studies: pd.DataFrame, among: pd.Series, seed: int) -> pd.Series:
    """Mark what a seeded draw leaves out so that both classes have the size of the smaller."""
    ids = studies[among].sort_values("study_id")
    shuffled = ids.iloc[np.random.default_rng(seed).permutation(len(ids))]
    place = shuffled.groupby("label").cumcount()
    keep = min((ids["label"] == label).sum() for label in "NP")
    return (place >= keep).reindex(studies.index, fill_value=False)


def _window(hours: float) -> str:
    return "" if np.isinf(hours) else f" within {hours:g} h"
