"""What a cohort's table says of the label: the same thing as the source, the view, the sex, the date."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from sdnet_lib.audit.findings import AMBER, GREEN, RED, UNKNOWN, Finding, Guess
from sdnet_lib.audit.probes import Trial, encode, probe
from sdnet_lib.audit.words import day, number, shown
from sdnet_lib.data.cohort import SEVERITIES

# A question, and the columns in which cohorts answer it, by their names in small letters.
NAMES = {
    "source": ("source",),
    "view": ("view",),
    "equipment": (
        *("equipment", "site", "hospital", "institution", "manufacturer", "model", "device", "scanner"),
        *("station", "detector"),
    ),
    "sex": ("sex", "gender"),
}
MEASURES = {"age": ("age",), "date": ("date", "study_date", "acquisition_date", "year")}
PARTS = ("split", "fold", "part", "set")  # where a table says who trains and who tests
SHOWN = 4  # values of a cross table that fit into a sentence
MILD = 0.1  # of graded positives: a triage of the mild that has fewer of them was not tried on them


def guesses(cohort: pd.DataFrame, trial: Trial) -> tuple[list[Guess], list[Finding]]:
    """Ask what each column knows of the label.

    Returns
    -------
    guesses : list of Guess
    unknown : list of Finding
        Questions that no column answers, or that all images answer alike.
    """
    found, unknown = [], []
    for name, columns in (NAMES | MEASURES).items():
        table, say = _columns(cohort, columns), number
        if name == "date":
            dated = not table.map(_is_number).all(axis=None)
            say, table = day if dated else number, table.map(partial(_day, dated=dated))
        if name in MEASURES:
            table = table.apply(pd.to_numeric, errors="coerce")
        table = table.loc[:, [len(set(table[column].dropna()) - {""}) > 0 for column in table]]
        if table.empty:
            unknown.append(Finding(name, UNKNOWN, "the cohort has no such column, or it is blank", {}))
        elif (table.nunique(dropna=False) <= 1).all():
            value = " ".join(say(one) if name in MEASURES else shown(one) for one in table.iloc[0])
            unknown.append(Finding(name, GREEN, f"the same for all images: {value}", {}))
        else:
            answer = probe(encode(table), trial)
            column = table.iloc[:, 0]
            says, numbers = (
                _measure_test(column, cohort, say) if name in MEASURES else _names_test(column, cohort)
            )
            found.append(Guess(name, answer, says, numbers))
    return found, unknown


def _columns(cohort: pd.DataFrame, wanted: tuple[str, ...]) -> pd.DataFrame:
    table = cohort[[column for column in cohort if str(column).lower() in wanted]]
    return table.astype(object).where(table.notna(), "").apply(lambda column: column.map(_tidy))


def _tidy(value: object) -> str:
    return str(value).strip()


def _is_number(value: str) -> bool:
    """Say whether a value in a column of dates is a year or another number, or blank; no day."""
    try:
        return not 19000101 <= float(value or 0) <= 21001231
    except ValueError:
        return False


def _day(value: str, dated: bool = False) -> float:
    """Return a date as days since 1970, a year or another number as it is, and NaN for anything else.

    In a `dated` column, one that has days too, a year is its middle: 2020 is no day of 1975.
    """
    if _is_number(value):
        year = float(value or "nan")
        if not (dated and 1900 <= year <= 2100):
            return year
        value = f"{year:.0f}-07-01"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas says that it guesses the format
        moment = pd.to_datetime(value, errors="coerce", utc=True)
    return np.nan if pd.isna(moment) else moment.timestamp() / 86400


def _patients(column: pd.Series, cohort: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the column and the label of one image for each patient and label: tests count patients."""
    once = ~cohort.duplicated(["patient_id", "label"])
    return column[once], cohort.loc[once, "label"]


def _names_test(column: pd.Series, cohort: pd.DataFrame) -> tuple[str, dict[str, object]]:
    """Return a cross table in words, and the chi-squared test with Cramér's V."""
    values, label = _patients(column, cohort)
    table = pd.crosstab(values, label)
    numbers: dict[str, object] = {"counts": {str(value): row.to_dict() for value, row in table.iterrows()}}
    if table.shape[1] == 2 and len(table) > 1:
        chi2, p = stats.chi2_contingency(table)[:2]
        v = float(np.sqrt(chi2 / table.to_numpy().sum()))  # two labels: the smaller side is 2
        numbers |= {"test": "chi-squared over patients", "p_test": float(p), "cramers_v": v}
    fractions = pd.crosstab(label, values, normalize="index")
    common = values.value_counts().index[:SHOWN]
    said = [
        f"{name}: " + ", ".join(f"{shown(value) or 'blank'} {row[value]:.0%}" for value in common)
        for name, row in fractions.iterrows()
    ]
    return "; ".join(said) + (", and others" if len(table) > SHOWN else ""), numbers


def _measure_test(
    column: pd.Series, cohort: pd.DataFrame, say: Callable[[float], str]
) -> tuple[str, dict[str, object]]:
    """Return medians in words, by `say`, and the Mann-Whitney test with Cliff's delta."""
    values, label = _patients(column, cohort)
    groups = {name: values[label == name].dropna() for name in ("N", "P")}
    known = {name: say(group.median()) if len(group) else "unknown" for name, group in groups.items()}
    numbers: dict[str, object] = {"medians": known, "known": {n: len(g) for n, g in groups.items()}}
    if all(len(group) for group in groups.values()):
        u, p = stats.mannwhitneyu(groups["P"], groups["N"])
        delta = 2 * float(u) / len(groups["P"]) / len(groups["N"]) - 1
        numbers |= {"test": "Mann-Whitney over patients", "p_test": float(p), "cliffs_delta": delta}
    return ", ".join(f"median {name} {value}" for name, value in known.items()), numbers


def patients_on_two_sides(cohort: pd.DataFrame) -> list[Finding]:
    """Count patients with both labels, and those in two parts of the split that the table states, if any."""
    labels = cohort.groupby("patient_id")["label"].nunique()
    both = labels[labels > 1].index
    number = {"patients": len(labels), "with_both_labels": len(both), "examples": list(both[:5])}
    evidence = f"{len(both)} of {len(labels)} patients have images of both labels"
    found = [Finding("patients with both labels", AMBER if len(both) else GREEN, evidence, number)]
    stated = [column for column in cohort if str(column).lower() in PARTS]
    if not stated:
        found.append(Finding("patients in two parts", UNKNOWN, "the cohort states no split", {}))
    for column in stated:
        parts = cohort.groupby("patient_id")[column].nunique()
        torn = parts[parts > 1].index
        evidence = f"{len(torn)} of {len(parts)} patients are in two parts of the column {column}"
        number = {"patients": len(parts), "in_two_parts": len(torn), "examples": list(torn[:5])}
        found.append(Finding("patients in two parts", RED if len(torn) else GREEN, evidence, number))
    return found


def severity(cohort: pd.DataFrame) -> Finding:
    """Say whether the positives would do for a triage, which has to know mild disease."""
    levels = cohort.loc[cohort["severity"] != "", "severity"].value_counts()
    counts = {level: int(levels.get(level, 0)) for level in SEVERITIES}
    total = sum(counts.values())
    if not total:
        return Finding("severity", UNKNOWN, "no positive is graded", {})
    said = ", ".join(f"{count} {level}" for level, count in counts.items())
    little = counts["Mild"] < MILD * total or total < (cohort["label"] == "P").sum() / 2
    return Finding("severity", AMBER if little else GREEN, said, {"counts": counts, "mild_needed": MILD})
