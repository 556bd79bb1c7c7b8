"""Near-duplicates: one film under two labels, two patients or in two parts of a split.

Films are compared by the details of their miniatures (`data.duplicates.signature`). Comparing all pairs costs
n², so a few principal components go first: in them two films can only come closer, never part, so a search by
radius among them misses nothing, and what it finds is confirmed by the whole signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from sdnet_lib.audit.findings import AMBER, GREEN, RED, Finding
from sdnet_lib.audit.metadata import PARTS

ALIKE = 0.98  # correlation of signatures; see `data.duplicates.groups`
COMPONENTS = 10
SIDE = 32  # of a signature
BLOCK = 1000  # films, or pairs of them, whose signatures are held in full


def pairs(signatures: np.ndarray, alike: float = ALIKE) -> pd.DataFrame:
    """Return every pair of films that are the same picture, mirrored ones too, the most alike first.

    Of films that are the same to the last digit each makes a pair with the first alone, and only that one is
    compared with others: a thousand copies are a thousand pairs, not half a million.

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
    seen: dict[bytes, int] = {}
    contents = (hashlib.sha256(one.tobytes()).digest() for one in signatures)
    original = np.array([seen.setdefault(content, row) for row, content in enumerate(contents)], int)
    copies = np.flatnonzero(original != np.arange(len(original)))
    rows = np.fromiter(seen.values(), int)
    exact = pd.DataFrame({"first": original[copies], "second": copies, "likeness": 1.0, "mirrored": False})
    few = _components(signatures)
    table = pd.concat([exact, *_near(signatures, rows, few, alike)], ignore_index=True)
    return table.sort_values("likeness", ascending=False, kind="stable").drop_duplicates(["first", "second"])


def _components(signatures: np.ndarray) -> np.ndarray:
    """Return the directions in which films differ most, (1024, COMPONENTS)."""
    mean = signatures.mean(axis=0, dtype=np.float32)
    spread = np.zeros((len(mean), len(mean)), np.float32)
    for start in range(0, len(signatures), BLOCK):
        part = signatures[start : start + BLOCK] - mean
        spread += part.T @ part
    return np.linalg.eigh(spread)[1][:, -COMPONENTS:]


def _near(signatures: np.ndarray, rows: np.ndarray, few: np.ndarray, alike: float) -> Iterator[pd.DataFrame]:
    """Yield the pairs among some films, a block at a time, so that few are ever held in full."""
    reach = np.sqrt(2 * (1 - alike)) + 1e-3  # distance of two unit vectors that correlate so much
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    tree = cKDTree(np.concatenate([_whole(signatures[block]) @ few for block in blocks]))
    for block, mirrored in product(blocks, (False, True)):
        near = tree.query_ball_point(_whole(signatures[block], mirrored) @ few, reach)
        first = np.repeat(block, [len(ones) for ones in near])
        second = rows[np.concatenate([np.asarray(ones, int) for ones in near])]
        later = first < second
        first, second = first[later], second[later]
        for start in range(0, len(first), BLOCK):
            one, two = first[start : start + BLOCK], second[start : start + BLOCK]
            likeness = (_whole(signatures[one], mirrored) * _whole(signatures[two])).sum(axis=1)
            table = pd.DataFrame({"first": one, "second": two, "likeness": likeness, "mirrored": mirrored})
            yield table[table["likeness"] >= alike].astype({"likeness": float})


def _whole(signatures: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """Return signatures as numbers to compute with, those of the mirrored films if wanted."""
    whole = signatures.astype(np.float32)
    return whole.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(whole), -1) if mirrored else whole


def same_film_twice(cohort: pd.DataFrame, signatures: np.ndarray) -> tuple[Finding, pd.DataFrame]:
    """Find the same film under two labels (red), two patients or in two parts of a stated split (amber).

    Returns
    -------
    finding : Finding
    table : DataFrame
        ``first, second`` (image ids), ``likeness, mirrored, two_labels, two_patients, two_parts``, what is
        worst first.
    """
    found = pairs(signatures)
    stated = [column for column in cohort if str(column).lower() in PARTS]
    asked = {"two_labels": ["label"], "two_patients": ["patient_id"], "two_parts": stated}
    for name, columns in asked.items():
        found[name] = False
        for column in columns:
            code = pd.factorize(cohort[column])[0]
            found[name] |= code[found["first"]] != code[found["second"]]
    counts = {name: int(found[name].sum()) for name in asked}
    found = found.sort_values(["two_labels", "two_parts", "two_patients"], ascending=False, kind="stable")
    for place in ("first", "second"):
        found[place] = cohort["image_id"].to_numpy()[found[place]]
    level = RED if counts["two_labels"] or counts["two_parts"] else AMBER if counts["two_patients"] else GREEN
    said = ", ".join(f"{count} under {name.replace('_', ' ')}" for name, count in counts.items())
    said = said.replace("under two parts", "in two parts")
    numbers = {"pairs": len(found), "likeness_from": ALIKE} | counts
    evidence = f"{len(found)} pairs: {said}"
    return Finding("the same film twice", level, evidence, numbers), found.reset_index(drop=True)
