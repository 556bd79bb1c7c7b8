"""Where does the gain come from? COVID-SDNet less each of its controls, on the same runs.

A gain is owed to an idea only if the control without the idea does not have it. The paired differences of
a cross-validation have corrected intervals (`evaluation.statistics`); those of a single test, which has no
runs, have intervals by the bootstrap over patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sdnet_lib.evaluation import bootstrap, statistics
from sdnet_lib.evaluation.curves import areas_of_runs
from sdnet_lib.evaluation.learned import only_learned
from sdnet_lib.evaluation.metrics import is_right, per_run
from sdnet_lib.evaluation.render import Table, interval, number
from sdnet_lib.evaluation.verdicts import effect, verdict
from sdnet_lib.models.registry import APPROACHES, CONTROLS, title

WHOLE = "covid-sdnet"
MEASURES = ("accuracy", "auc")
WORDS = {
    "resnet50-crop": "COVID-SDNet as a whole (against the plain crop)",
    "crop-matched": "all that is more than optimiser steps (against a crop with as many)",
    "twins-copied": "two different twins (against copies)",
    "twins-tinted": "generators that learn (against fixed tints)",
    "sdnet-plus": "the second opinion (against x+ alone)",
    "sdnet-minus": "the second opinion (against x− alone)",
    "sdnet-mean": "the maximum (against the mean of twins)",
    "fucitnet": "a network of its own for the decision (against FuCiTNet's)",
    "lite0-probe": "COVID-SDNet as a whole (against a frozen EfficientNet-Lite0 with a linear probe)",
}
NOTE = (
    "Differences: COVID-SDNet less the control, in points, on the runs in which both have learned, with "
    "corrected 95 % intervals. A gain over a control is owed to what the control lacks; where the interval "
    "holds zero it is undecided."
)
TESTED_ONCE = (
    "One test of one training each: 95 % intervals by the bootstrap over patients, which do not know what "
    "another training would have given."
)


def with_decisions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Add one twin alone and the mean of twins, where they are missing: other decisions of the same networks.

    The predictions of COVID-SDNet hold its answers to both twins, so that nothing has to be trained for them.
    """
    from sdnet_lib.models import fusion

    whole = predictions[predictions["approach"] == WHOLE]
    if whole.empty or "plus_P+" not in whole or whole["plus_P+"].isna().any():
        return predictions
    found = [predictions]
    for decision in ("plus", "minus", "mean"):
        name = f"sdnet-{decision}"
        if name not in set(predictions["approach"]):
            negative, positive = fusion.decide(*fusion.answers(whole), decision).T
            found.append(whole.assign(approach=name, prob_N=negative, prob_P=positive))
    return pd.concat(found, ignore_index=True)


def differences(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return COVID-SDNet less each control, paired by run.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table of a cross-validation; `with_decisions` adds controls to it.

    Returns
    -------
    DataFrame
        One row per control that is there, in the order of `registry.CONTROLS`: `control` (its name), `runs`
        in which both have learned, `value` (the control's mean accuracy in these), and for each of `MEASURES`
        the mean difference with its interval: ``accuracy, accuracy_low, accuracy_high, auc, ...``; NaN with
        fewer than two runs. Fractions. `verdict` is that of the accuracy.
    """
    folds, predictions = statistics.folds_of(predictions), only_learned(predictions)
    values = {"accuracy": per_run(predictions)["accuracy"], "auc": areas_of_runs(predictions)}
    values = {name: column.unstack("approach") for name, column in values.items()}
    rows = []
    for control in CONTROLS:
        if {control, WHOLE} <= set(values["accuracy"]):
            both = {name: table[[WHOLE, control]].dropna() for name, table in values.items()}
            row = {
                "control": control,
                "runs": len(both["accuracy"]),
                "value": both["accuracy"][control].mean(),
            }
            for name, table in both.items():
                row |= _paired(name, (table[WHOLE] - table[control]).to_numpy(), folds)
            rows.append(row | {"verdict": verdict(row["accuracy_low"], row["accuracy_high"])})
    names = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["control", "runs", "value", *names, "verdict"])


def _paired(name: str, values: np.ndarray, folds: int) -> dict[str, float]:
    if len(values) < 2 or folds < 2:
        return {name: values.mean() if len(values) else np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    found = statistics.corrected_t_test(values, folds)
    return {name: found["mean"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def of_one_test(
    test: pd.DataFrame,
    probability: Mapping[str, np.ndarray],
    seed: int = 0,
    controls: Sequence[str] = CONTROLS,
) -> pd.DataFrame:
    """Return the same for systems that were trained and tested once, on the same patients.

    Parameters
    ----------
    test : DataFrame
        Columns `patient_id` and `label`, a row per tested image.
    probability : dict of str to float array, (n,)
        Probability of P by approach, COVID-SDNet's among them.
    seed : int
        Draws the samples of patients.
    controls : sequence of str
        What COVID-SDNet is compared with, where `probability` has it.

    Returns
    -------
    DataFrame
        As from `differences`, without the area under the ROC curve; `runs` is 1.
    """
    right = {
        name: is_right(test[["label"]].assign(prob_P=values, prob_N=1 - values)).to_numpy(float)
        for name, values in probability.items()
    }
    rows = []
    for control in (name for name in controls if name in right):
        gain = right[WHOLE] - right[control]
        low, high = bootstrap.interval(test["patient_id"], lambda w, g=gain: (w @ g) / w.sum(1), seed=seed)
        row = {"control": control, "runs": 1, "value": right[control].mean(), "accuracy": gain.mean()}
        ends = {"accuracy_low": float(low), "accuracy_high": float(high)}
        rows.append(row | ends | {"verdict": verdict(*ends.values())})
    return pd.DataFrame(rows)


def table(found: pd.DataFrame) -> Table:
    """Lay out what `differences` or `of_one_test` returns; empty where there is nothing to compare."""
    once = "auc" not in found
    rows = []
    for row in found.to_dict("records"):
        lacks = APPROACHES[row["control"]].lacks or "several things"
        gain = interval(row["accuracy"], row["accuracy_low"], row["accuracy_high"], 1)
        area = [] if once else [interval(row["auc"], row["auc_low"], row["auc_high"], 3, 1)]
        cells = [lacks, str(row["runs"]), number(row["value"], 1), gain, *area, row["verdict"]]
        rows.append([title(row["control"]), *cells])
    header = ["Control", "It lacks", "Runs", "Its accuracy", "COVID-SDNet less it [95 %]"]
    header += [*([] if once else ["In AUC [95 %]"]), "Did that help?"]
    return Table("Where does the gain come from?", header, rows, [TESTED_ONCE if once else NOTE])


def sentences(found: pd.DataFrame) -> list[str]:
    """Return a sentence per control, in which words and numbers are those of the table."""
    ends = ("accuracy", "accuracy_low", "accuracy_high")
    return [effect(WORDS[row["control"]], *(row[end] for end in ends)) for row in found.to_dict("records")]
