"""How far the audit can be trusted: cohorts in which one shortcut is planted, at a known strength.

Patients are drawn once, at one site, half of them positive and half of each label women, then drawn or stored
again with each shortcut. A cohort of the calibration takes some of them at random, and for each one the plain
film or the one with the shortcut. At strength s the shortcut lies on (1 + s) / 2 of the positives and on
(1 - s) / 2 of the negatives, so by it alone the label is guessed with an area under the ROC curve of
(1 + s) / 2. The stored table has a row per audited cohort: `shortcut` (``none`` for a homogeneous cohort),
`strength`, `images`, `seed`, `verdict`, the questions that were `named` (amber or red), and those that go
`along` with one of them (`findings.Finding.goes_with`).
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from sdnet_lib.audit import findings, probes, questions
from sdnet_lib.audit.films import Evidence, look
from sdnet_lib.code_version import code_version
from sdnet_lib.config import cache_dir
from sdnet_lib.data import images
from sdnet_lib.data.cohort import read_cohort, write_cohort
from sdnet_lib.files import new_folder
from sdnet_lib.phantom.acquisition import SITES, stamp
from sdnet_lib.phantom.cohorts import HOMOGENEOUS, plan
from sdnet_lib.phantom.radiograph import Phantom, radiograph
from sdnet_lib.studies.published import hours, kept

POOL = 2200  # patients
PLANNED = 1000  # at least: a smaller pool is the first of so many, so that it can grow
SIZE = 128  # longest side of a film
SEEDS, SIZES, STRENGTHS = 40, (200, 1000), (1.0, 0.6, 0.3)
NONE = "none"
# What each shortcut may be called: itself, or what comes with it by nature.
NAMES = {
    "marker": {"marker"},
    "border": {"border"},
    "detector curve": {"grey levels"},
    "sharpness": {"sharpness"},
    "aspect": {"aspect", "size"},
    "sex": {"sex"},
    "view": {"view"},
    # another hospital: all that its films show
    "site": {
        "source",
        "equipment",
        "size",
        "aspect",
        "format",
        "border",
        "marker",
        "grey levels",
        "sharpness",
    },
}


def _ink(image: np.ndarray, rng: np.random.Generator, **what: object) -> np.ndarray:
    plain = {"marker": "", "text": "", "border": (0, 0, 0, 0)}
    return stamp(image, dataclasses.replace(SITES["A"], **plain | what), rng)


# How a stored film becomes one with the shortcut: image, random numbers -> image.
PLANTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "marker": lambda image, rng: _ink(image, rng, marker="R", marker_at=(0.07, 0.08)),
    "border": lambda image, rng: _ink(image, rng, border=(0.04, 0.03, 0.04, 0.03)),
    "detector curve": lambda image, rng: image**0.7,
    "sharpness": lambda image, rng: ndimage.gaussian_filter(image, 0.7),
    "aspect": lambda image, rng: image[:, round(0.05 * image.shape[1]) : round(0.95 * image.shape[1])],
}
DRAWN = {"view": {"view": "AP"}, "site": {"site": "B"}}  # and what cannot be laid on a film


class Cell(NamedTuple):
    """Cohorts of one kind."""

    shortcut: str
    strength: float
    images: int


# The most telling first, and of those the cheap ones, so that a computation that is cut off has done them.
PLANTED = [(NONE, 0.0), *((name, strength) for strength, name in product(STRENGTHS, NAMES))]
CELLS = [Cell(name, strength, number) for number, (name, strength) in product(SIZES, PLANTED)]


def compute(cells: list[Cell] = CELLS, seeds: int = SEEDS, pool: int = POOL) -> tuple[dict, dict]:
    """Audit the cohorts of some cells; see `published.store` for what is returned.

    What was drawn or audited before comes from the cache. A shortcut is drawn when its first cell is due.
    """
    folder = cache_dir() / "audit-calibration" / f"pool-{pool}"
    films: dict[str, tuple[pd.DataFrame, Evidence]] = {}
    rows = []
    for cell, seed in tqdm([*product(cells, range(seeds))], "cohorts audited", disable=None):
        for name in (NONE, cell.shortcut):
            if name not in films and name in (NONE, *PLANTS, *DRAWN):
                films[name] = drawn(name, pool, folder)
        file = folder / "cohorts" / f"{cell.shortcut}-{cell.strength}-{cell.images}-{seed}.parquet"
        rows.append(kept(file, lambda cell=cell, seed=seed: pd.DataFrame([audited(cell, seed, films)])))
    table = pd.concat(rows, ignore_index=True)
    return {"": table}, origin(table, pool, hours(folder / "films") + hours(folder / "cohorts"))


def origin(table: pd.DataFrame, pool: int, spent: float) -> dict:
    """Return where a table of audited cohorts comes from, and what of the plan is missing in it.

    Parameters
    ----------
    table : DataFrame
    pool : int
        Patients that were drawn.
    spent : float
        Hours.
    """
    done = table.groupby(list(Cell._fields)).size()
    return {
        "films": {"patients": pool, "size": SIZE, "site": "A"},
        "cohorts_planned_of_each_kind": SEEDS,
        "missing": [
            cell._asdict() | {"cohorts": SEEDS - int(done.get(cell, 0))}
            for cell in CELLS
            if done.get(cell, 0) < SEEDS
        ],
        "bounds": {"others": findings.PLAIN} | findings.BOUNDS,
        "permutations": probes.PERMUTATIONS,
        "hours_of_computing": round(spent, 2),
        "code": code(),
    }


def code() -> str:
    """Return the version of the code that audits."""
    return code_version("sdnet_lib.audit.questions")


def drawn(name: str, pool: int, folder: Path) -> tuple[pd.DataFrame, Evidence]:
    """Draw the patients with one shortcut on every film, and note down what an audit sees of them."""
    where = folder / "images" / name.replace(" ", "-")
    if not where.is_dir():
        with new_folder(where) as part:
            rows = [_draw(row, name, part) for row in tqdm(_patients(pool), name, disable=None, leave=False)]
            write_cohort(pd.DataFrame(rows), part)
    cohort = read_cohort(where, check_files=False)
    packed = kept(folder / "films" / f"{where.name}.npz", lambda: _packed(look(cohort)))
    facts = pd.read_json(io.StringIO(str(packed.pop("facts"))), orient="split", dtype=False)
    return cohort, Evidence(facts, **packed)


def _packed(evidence: Evidence) -> dict[str, np.ndarray]:
    """Return what is known of films as arrays by name, the facts as text."""
    facts = evidence.facts.to_json(orient="split", double_precision=15)
    return evidence._asdict() | {"facts": np.array(facts)}


def _patients(pool: int) -> list[dict]:
    """Plan the patients: positives of COVIDGR's severities, and as many women as men in each label."""
    rows = plan(max(pool, PLANNED), 0, HOMOGENEOUS)[:pool]
    seen = {"N": 0, "P": 0}
    for row in rows:
        row["sex"] = "FM"[seen[row["label"]] % 2]
        seen[row["label"]] += 1
    return rows


def _draw(row: dict, name: str, folder: Path) -> dict:
    what = {key: value for key, value in row.items() if key not in ("image_id", "shot")}
    made: Phantom = radiograph(size=SIZE, **what | DRAWN.get(name, {}))
    plant = PLANTS.get(name, lambda image, rng: image)
    rng = np.random.default_rng([row["seed"], 1])
    image = plant(made.image, rng)
    masks = {"lung_mask": made.lung_mask, "lesion_mask": made.lesion_mask}
    if image.shape != made.image.shape:
        masks = {key: plant(mask, rng) for key, mask in masks.items()}
    files = {"file": f"{row['image_id']}{SITES[made.site].suffix}"}
    files |= {key: f"{key}-{row['image_id']}.png" for key in masks}
    for key, pixels in {"file": image, **masks}.items():
        images.write_gray(folder / files[key], pixels)
    return {
        **{"image_id": row["image_id"], "label": made.label, "severity": made.severity},
        **{key: str(folder / file) for key, file in files.items()},
        **{"patient_id": f"patient-{row['seed']}", "source": f"site {made.site}", "view": made.view},
        **{"sex": made.sex, "age": made.age},
    }


def audited(cell: Cell, seed: int, films: dict[str, tuple[pd.DataFrame, Evidence]]) -> dict:
    """Put a cohort together and audit it; return its row of the table."""
    cohort, evidence = planted(cell, seed, films)
    found = questions.answer(cohort, evidence, probes.trial(cohort, seed, draws=20)).findings
    loud = [one for one in found if one.level in (findings.AMBER, findings.RED)]
    return {
        **cell._asdict(),
        "seed": seed,
        "verdict": findings.verdict(found),
        "named": "; ".join(one.name for one in loud if not one.goes_with),
        "along": "; ".join(f"{one.name} with {one.goes_with}" for one in loud if one.goes_with),
    }


def planted(
    cell: Cell, seed: int, films: dict[str, tuple[pd.DataFrame, Evidence]]
) -> tuple[pd.DataFrame, Evidence]:
    """Choose patients at random, and who of them has the shortcut; return the cohort and its evidence."""
    rng = np.random.default_rng([seed, cell.images, *map(ord, cell.shortcut)])
    plain, seen = films[NONE]
    chosen, marked = [], []
    for label, part in (("P", (1 + cell.strength) / 2), ("N", (1 - cell.strength) / 2)):
        half = cell.images // 2
        of_label = np.flatnonzero(plain["label"] == label)
        with_it = np.arange(half) < round(part * half)
        if cell.shortcut == "sex":
            women = (plain["sex"].to_numpy() == "F")[of_label]
            number = int(with_it.sum())
            chosen += [*rng.choice(of_label[women], number, False)]
            chosen += [*rng.choice(of_label[~women], half - number, False)]
        else:
            chosen += [*rng.choice(of_label, half, replace=False)]
        marked += [*with_it]
    rows, marked = np.array(chosen), np.array(marked)
    order = rng.permutation(len(rows))
    rows, marked = rows[order], marked[order]
    if cell.shortcut in (NONE, "sex"):
        return plain.iloc[rows].reset_index(drop=True), seen.rows(rows)
    table, planted_seen = films[cell.shortcut]
    rows = rows + len(plain) * marked
    both = pd.concat([plain, table], ignore_index=True)
    joined = Evidence(
        pd.concat([seen.facts, planted_seen.facts], ignore_index=True),
        *(np.concatenate(pair) for pair in zip(seen[1:], planted_seen[1:], strict=True)),
    )
    return both.iloc[rows].reset_index(drop=True), joined.rows(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Count, for each kind of cohort, how often the audit was right.

    Returns
    -------
    DataFrame
        ``shortcut, strength, images, cohorts``; ``named`` (fraction that calls the shortcut by its name),
        ``others`` (that names another cause, which comes with it by nature excluded), ``red``, ``green``.
    """
    causes = set(findings.CAUSES)

    def count(group: pd.DataFrame) -> pd.Series:
        shortcut = group.name[0]
        own = NAMES.get(shortcut, set())
        named = [set(filter(None, text.split("; "))) & causes for text in group["named"].fillna("")]
        mean = {
            "named": np.mean([bool(one & own) for one in named]) if own else np.nan,
            "others": np.mean([bool(one - own) for one in named]),
            "red": (group["verdict"] == "red").mean(),
            "green": (group["verdict"] == "green").mean(),
        }
        return pd.Series({"cohorts": len(group)} | mean)

    keys = ["shortcut", "strength", "images"]
    found = table.groupby(keys, sort=False).apply(count, include_groups=False).reset_index()
    return found.astype({"cohorts": int})
