"""Across sources: whether what a model learned of some sources holds in one that it has never seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sdnet_lib.audit.findings import AMBER, GREEN, UNKNOWN, Finding
from sdnet_lib.audit.probes import Answer
from sdnet_lib.audit.shortcuts import predictions
from sdnet_lib.audit.words import shown
from sdnet_lib.evaluation import curves

ENOUGH = 10  # patients of each label, for a source to be looked at alone
FALL = 0.1  # of the area: what a held-out source may cost before it is named


def held_out(features: np.ndarray, cohort: pd.DataFrame, full: Answer, seed: int = 0) -> Finding:
    """Compare a model's area on sources that it knows with that on each source that it has never seen.

    Parameters
    ----------
    features : float array, (n, k)
        What the model sees: the whole film, small.
    cohort : DataFrame
    full : Answer
        Of the same features, all sources mixed.
    seed : int
        Of the bootstrap.
    """
    patients = cohort.drop_duplicates(["patient_id", "label"]).groupby(["source", "label"]).size()
    counts = patients.unstack("label", fill_value=0).reindex(columns=["N", "P"], fill_value=0)
    if len(counts) < 2:
        return Finding("held-out source", UNKNOWN, "one source: nothing can be held out", {})
    both = counts.index[(counts >= ENOUGH).all(axis=1)]
    if not len(both):
        reason = f"no source has {ENOUGH} patients of each label: source and label cannot be separated"
        return Finding("held-out source", UNKNOWN, reason, {"patients": counts.to_dict("index")})
    rows = {}
    for source in both:
        here = (cohort["source"] == source).to_numpy()
        known = cohort.loc[here].assign(prob_P=full.scores[here])
        inside = curves.areas(predictions(known, known["prob_P"]), seed=seed)
        strange = _by_others(features, cohort, here)
        if strange is not None:
            outside = curves.areas(predictions(cohort[here], strange), seed=seed)
            rows[source] = {"known": inside["auc"], "held_out": outside["auc"]} | {
                f"held_out_{side}": outside[f"auc_{side}"] for side in ("low", "high")
            }
    if not rows:
        return Finding("held-out source", UNKNOWN, "without any one source a label is missing", {})
    falls = {name: row["known"] - row["held_out"] for name, row in rows.items()}
    fell = [n for n, fall in falls.items() if fall > FALL and rows[n]["held_out_high"] < rows[n]["known"]]
    said = "; ".join(
        f"{shown(n)}: AUC {r['known']:.2f} known, {r['held_out']:.2f} new" for n, r in rows.items()
    )
    numbers = {"sources": rows, "fall_allowed": FALL}
    return Finding("held-out source", AMBER if fell else GREEN, said, numbers)


def _by_others(features: np.ndarray, cohort: pd.DataFrame, here: np.ndarray) -> np.ndarray | None:
    """Score the images of a source by a model of all others, without its patients; None if a label lacks."""
    patients = set(cohort.loc[here, "patient_id"])
    others = ~here & ~cohort["patient_id"].isin(patients).to_numpy()
    label = (cohort["label"] == "P").to_numpy(float)
    if len(set(label[others])) < 2:
        return None
    scaler = StandardScaler().fit(features[others])
    model = Ridge(alpha=max(1, features.shape[1] / 4))
    model.fit(scaler.transform(features[others]), label[others])
    return model.predict(scaler.transform(features[here]))
