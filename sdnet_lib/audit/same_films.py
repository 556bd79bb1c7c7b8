"""Near-duplicates: one film under two labels, two patients or in two parts of a split.

Films are compared by the details of their miniatures (`data.duplicates.signature`). Comparing all pairs costs
n², so a few principal components go first: in them two films can only come closer, never part, so a search by
radius among them misses nothing, and what it finds is confirmed by the whole signature.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from sklearn.decomposition import PCA

from sdnet_lib.audit.findings import AMBER, GREEN, RED, Finding
from sdnet_lib.audit.metadata import PARTS

ALIKE = 0.98  # correlation of signatures; see `data.duplicates.groups`
COMPONENTS = 10
SIDE = 32  # of a signature


def pairs(signatures: np.ndarray, alike: float = ALIKE) -> pd.DataFrame:
    """Return every pair of films that are the same picture, mirrored ones too.

    Parameters
    ----------
    signatures : array, (n, 1024)
        Of length 1 each.
    alike : float

    Returns
    -------
    DataFrame
        ``first, second`` (positions, first < second), ``likeness``, ``mirrored``.
    """
    whole = signatures.astype(np.float32)
    mirrored = whole.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(whole), -1)
    found = []
    few = PCA(min(COMPONENTS, *whole.shape), random_state=0).fit(whole)
    tree = cKDTree(few.transform(whole))
    reach = np.sqrt(2 * (1 - alike)) + 1e-3  # distance of two unit vectors that correlate so much
    for flipped, other in ((False, whole), (True, mirrored)):
        near = tree.query_ball_point(few.transform(other), reach)
        first = np.repeat(np.arange(len(near)), [len(ones) for ones in near])
        second = np.concatenate([*map(np.asarray, near), np.empty(0)]).astype(int)
        first, second = first[first < second], second[first < second]
        for start in range(0, len(first), 10_000):
            one, two = first[start : start + 10_000], second[start : start + 10_000]
            likeness = (other[one] * whole[two]).sum(axis=1)
            kept = likeness >= alike
            found += zip(one[kept], two[kept], likeness[kept], [flipped] * kept.sum(), strict=True)
    table = pd.DataFrame(found, columns=["first", "second", "likeness", "mirrored"])
    table = table.astype({"first": int, "second": int, "likeness": float, "mirrored": bool})
    return table.sort_values("likeness", ascending=False).drop_duplicates(["first", "second"])


def same_film_twice(cohort: pd.DataFrame, signatures: np.ndarray) -> tuple[Finding, pd.DataFrame]:
    """Find the same film under two labels (red), two patients or in two parts of a stated split (amber).

    Returns
    -------
    finding : Finding
    table : DataFrame
        ``first, second`` (image ids), ``likeness, mirrored, two_labels, two_patients, two_parts``.
    """
    table = pairs(signatures)
    one, two = (cohort.iloc[table[side]].reset_index(drop=True) for side in ("first", "second"))
    stated = [column for column in cohort if str(column).lower() in PARTS]
    result = pd.DataFrame({"first": one["image_id"], "second": two["image_id"]})
    result["likeness"], result["mirrored"] = table["likeness"].to_numpy(), table["mirrored"].to_numpy()
    result["two_labels"] = (one["label"] != two["label"]).to_numpy(bool)
    result["two_patients"] = (one["patient_id"] != two["patient_id"]).to_numpy(bool)
    result["two_parts"] = (
        np.any([(one[c] != two[c]).to_numpy(bool) for c in stated], axis=0) if stated else False
    )
    counts = {name: int(result[name].sum()) for name in ("two_labels", "two_patients", "two_parts")}
    level = RED if counts["two_labels"] or counts["two_parts"] else AMBER if counts["two_patients"] else GREEN
    said = ", ".join(f"{count} under {name.replace('_', ' ')}" for name, count in counts.items())
    said = said.replace("under two parts", "in two parts")
    numbers = {"pairs": len(result), "likeness_from": ALIKE} | counts
    return Finding("the same film twice", level, f"{len(result)} pairs: {said}", numbers), result
