"""Tables that say how sure a study's numbers are: intervals, tests of pairs, areas, predictive values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdnet_lib.evaluation import curves, decisions, statistics, tables
from sdnet_lib.evaluation.bootstrap import DRAWS
from sdnet_lib.evaluation.render import NONE, Table, interval, number, p_value
from sdnet_lib.files import InputError
from sdnet_lib.models.registry import title

CALIBRATION = ("calibration_error", "brier_score")


def intervals(predictions: pd.DataFrame) -> Table:
    """Return the accuracy of each approach with an interval over runs."""
    rows = [
        [title(row.Index), interval(row.mean, row.low, row.high)]
        for row in statistics.intervals(predictions).itertuples()
    ]
    note = "95 % intervals with Nadeau and Bengio's variance, for runs share their training images."
    runs = len(predictions[["repeat", "fold"]].drop_duplicates())
    wider = statistics.validation_effect(runs, max(2, statistics.folds_of(predictions)))
    ratio = (
        "Its ratio of test to training images is 1 / (folds - 1), with the validation part, which decides "
        f"when to stop, among the training images; without, intervals are {number(wider - 1, 1)} % wider."
    )
    return Table("Accuracy, in %", ["", "Mean [95 % interval]"], rows, [note, ratio])


def pairs(predictions: pd.DataFrame) -> Table:
    """Compare all pairs of approaches, each on the runs that both have; say why not, if that cannot be."""
    caption = "Differences of accuracy, in points: corrected resampled t-test, p after Holm"
    header = ["", "Difference [95 % interval]", "t", "p", "p (Holm)"]
    try:
        found = statistics.pairwise(predictions)
    except InputError as error:
        return Table(caption, header, [[NONE] * len(header)], [f"No test: {error}."])
    rows = [
        [
            f"{title(row.first)} − {title(row.second)}",
            interval(row.mean, row.low, row.high),
            number(row.t, 2, 1),
            p_value(row.p),
            p_value(row.p_holm),
        ]
        for row in found.itertuples()
    ]
    fewest, most = found["runs"].min(), found["runs"].max()
    note = f"Each pair is compared on the runs that both have, {fewest} to {most}."
    return Table(caption, header, rows, [] if fewest == most else [note])


def scores(predictions: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return areas, calibration and the spread of the area over single networks, by approach.

    An approach that was tested on one class only is left out.
    """
    single, found = curves.areas_of_runs(predictions).groupby("approach", sort=False), {}
    middle, lowest, highest = single.mean(), single.min(), single.max()
    for approach, images in curves.per_image(predictions).items():
        if images["label"].nunique() < 2:
            continue
        found[approach] = curves.areas(images) | {
            "single": middle[approach],
            "single_low": lowest[approach],
            "single_high": highest[approach],
            "calibration_error": decisions.calibration_error(images),
            "brier_score": decisions.brier_score(images),
        }
    return found


def _area(found: dict[str, float], name: str = "auc") -> str:
    return interval(*(found[f"{name}{end}"] for end in ("", "_low", "_high")), 3, 1) if found else NONE


def _single(found: dict[str, float]) -> str:
    if not found:
        return NONE
    mean, *ends = (number(found[f"single{end}"], 3, 1) for end in ("", "_low", "_high"))
    return f"{mean} ({' to '.join(ends)})"


def probabilities(predictions: pd.DataFrame) -> Table:
    """Return areas under curves, the area of single networks, and how well probabilities are calibrated."""
    rows, numbers = [], []
    for approach, found in scores(predictions).items():
        areas = [_area(found, name) for name in curves.AREAS]
        rest = [number(found[name], 3, 1) for name in CALIBRATION]
        rows.append([title(approach), *areas, _single(found), *rest])
        for name in (*curves.AREAS, *CALIBRATION):
            ends = {end: found.get(f"{name}_{end}", np.nan) for end in ("low", "high")}
            row = {"table": "probabilities", "approach": approach, "quantity": name, "mean": found[name]}
            numbers.append(row | ends)
    if not rows:
        return Table("Probabilities", ["", "AUC"], [[NONE, NONE]], ["A class is missing: no areas."])
    header = ["", "AUC [95 %]", "Average precision [95 %]", "AUC of single networks", "ECE", "Brier"]
    notes = [
        f"The probabilities of an image are averaged over the networks that tested it; intervals from "
        f"{DRAWS} bootstrap samples of patients.",
        "Single networks: mean (lowest to highest).",
    ]
    return Table("Probabilities", header, rows, notes, pd.DataFrame(numbers))


def predictive_values(predictions: pd.DataFrame) -> Table:
    """Return what a positive and a negative result are worth where the disease is rarer or more common."""
    rows = []
    for approach, images in curves.per_image(predictions).items():
        for row in decisions.predictive_table(images).itertuples():
            values = [
                interval(row.ppv, row.ppv_low, row.ppv_high),
                interval(row.npv, row.npv_low, row.npv_high),
            ]
            rows.append([title(approach), number(row.prevalence, 0), *values])
    header = ["", "Prevalence", "PPV [95 %]", "NPV [95 %]"]
    note = "From sensitivity and specificity, means over the networks; intervals by bootstrap over patients."
    return Table("Predictive values by prevalence, in %", header, rows, [note])


def accuracies_and_areas(predictions: pd.DataFrame) -> Table:
    """Return the accuracy and the area of each approach with their intervals, in one table."""
    found, rows = scores(predictions), []
    for row in statistics.intervals(predictions).itertuples():
        areas = found.get(row.Index, {})
        accuracy = interval(row.mean, row.low, row.high)
        rows.append([title(row.Index), accuracy, _area(areas), _single(areas)])
    header = ["", "Accuracy [95 %]", "AUC [95 %]", "AUC of single networks"]
    note = (
        "Accuracy: interval over runs, with Nadeau and Bengio's variance. AUC: an image's probabilities are "
        f"averaged over the networks that tested it; interval from {DRAWS} samples of patients. "
        "Single networks: mean (lowest to highest)."
    )
    return Table("With their uncertainty", header, rows, [note])


def carried(home: pd.DataFrame, away: pd.DataFrame) -> Table:
    """Compare the same networks on their own cohort and on another hospital's."""
    before, after = tables.table_5(home), tables.table_5(away)
    scores_before, scores_after = scores(home), scores(away)
    rows = []
    for approach in after.index:
        recalls = [
            number(table.at[approach, (measure, "mean")])
            for measure in ("specificity", "sensitivity", "accuracy")
            for table in (before, after)
        ]
        there = scores_after.get(approach, {})
        areas = [_area(scores_before.get(approach, {})), _area(there), _single(there)]
        rows.append([title(approach), *recalls, *areas])
    names = [f"{name} {place}" for name in ("Spec.", "Sens.", "Acc.") for place in ("home", "away")]
    header = ["", *names, "AUC home [95 %]", "AUC away [95 %]", "AUC away, single networks"]
    images = away.drop_duplicates("image_id")
    positive = number((images["label"] == "P").mean())
    note = (
        f"Away: {len(images)} images of {images['patient_id'].nunique()} patients, {positive} % positive; "
        "every network tests all of them. Home: each image is tested by networks that were not trained on it."
    )
    return Table("The same networks at home and away, in % (AUC as a fraction)", header, rows, [note])
