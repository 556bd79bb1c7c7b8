"""Could a network cheat on this cohort? All questions of an audit, from cheap to costly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.audit import metadata, probes, same_films, sources, suspects
from sdnet_lib.audit.films import GROUPS, SQUARE, Evidence, look
from sdnet_lib.audit.findings import CAUSES, GREEN, PROBES, Finding, Guess, judge
from sdnet_lib.audit.probes import Trial, encode, probe
from sdnet_lib.audit.shortcuts import BORDER, BOX, blank
from sdnet_lib.audit.words import number, shown
from sdnet_lib.data.images import resize

THUMBNAIL = 16


class Audit(NamedTuple):
    """What an audit found.

    Attributes
    ----------
    findings : list of Finding
        In the order of the questions.
    suspects : DataFrame
        From `suspects.ranked`: the images that give their source away.
    same : DataFrame
        From `same_films.same_film_twice`.
    """

    findings: list[Finding]
    suspects: pd.DataFrame
    same: pd.DataFrame


def audit(cohort: pd.DataFrame, seed: int = 0) -> Audit:
    """Audit a cohort.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort.
    seed : int
        Of folds, permutations and bootstrap.

    Raises
    ------
    InputError
        If an image cannot be read, or a label has fewer patients than folds need.
    """
    shared = probes.trial(cohort, seed)  # first, for it refuses what cannot be cross-validated
    return answer(cohort, look(cohort), shared)


def answer(cohort: pd.DataFrame, evidence: Evidence, trial: Trial) -> Audit:
    """Answer all questions from what is known of the films."""
    guesses, unknown = causes(cohort, evidence, trial)
    probed = {name: probe(view(name, evidence), trial) for name in PROBES}
    found = judge([*guesses, *(Guess(name, probed[name]) for name in PROBES)], trial)
    twice, pairs = same_films.same_film_twice(cohort, evidence.signatures)
    findings = [
        *found,
        *unknown,
        *metadata.patients_on_two_sides(cohort),
        twice,
        sources.held_out(view("thumbnail", evidence), cohort, probed["thumbnail"], trial.seed),
        metadata.severity(cohort),
    ]
    order = [*CAUSES, *PROBES]
    findings.sort(key=lambda finding: order.index(finding.name) if finding.name in order else len(order))
    blind = {guess.name: guess.answer for guess in guesses} | {n: probed[n] for n in PROBES[1:3]}
    return Audit(findings, suspects.ranked(cohort, blind), pairs)


def causes(cohort: pd.DataFrame, evidence: Evidence, trial: Trial) -> tuple[list[Guess], list[Finding]]:
    """Ask what has a name: the columns of the table, then the facts of the films, group by group."""
    guesses, unknown = metadata.guesses(cohort, trial)
    for group in GROUPS[:-1]:
        facts = evidence.of(group)
        if facts.empty or (facts.nunique(dropna=False) <= 1).all():
            unknown.append(Finding(group, GREEN, "the same for all images", {}))
            continue
        guesses.append(Guess(group, probe(encode(facts), trial), _differ(facts, cohort)))
    return guesses, unknown


def _differ(facts: pd.DataFrame, cohort: pd.DataFrame) -> str:
    """Name the fact of a group that differs most between the labels, with what is usual in each."""
    best, said = 0.0, ""
    for name in facts:
        apart, text = _difference(facts[name], cohort["label"])
        if apart > best:
            best, said = apart, f"{name}{text}"
    return said


def _difference(fact: pd.Series, label: pd.Series) -> tuple[float, str]:
    """Return how far the labels differ in a fact, from 0 to 1, and what is usual in each."""
    measured = pd.to_numeric(fact, errors="coerce")
    if measured.notna().all() and measured.nunique() > 2:
        usual = measured.rank(pct=True).groupby(label).mean()
        middle = measured.groupby(label).mean()
        text = ", ".join(f"{one} {number(value)}" for one, value in middle.items())
        return float(usual.max() - usual.min()), f" on average {text}"
    table = pd.crosstab(label, fact.fillna("").map(shown), normalize="index")
    common = table.mean().sort_values(ascending=False).index[:3]
    text = "; ".join(
        f"{one} " + ", ".join(f"{value or 'blank'} {row[value]:.0%}" for value in common)
        for one, row in table.iterrows()
    )
    return float(table.loc["P"].sub(table.loc["N"]).abs().sum() / 2), f": {text}"


def view(name: str, evidence: Evidence) -> np.ndarray:
    """Return what one of `PROBES` sees, as features: float array, (n, k)."""
    if name == "file alone":
        groups = ("size", "aspect", "format", "header", "file")
        return encode(pd.concat([evidence.of(group) for group in groups], axis=1))
    if name == "thumbnail":
        size = (THUMBNAIL, THUMBNAIL)
        return _flat(np.stack([resize(square.astype(np.float32), size) for square in evidence.squares]))
    if name == "without lungs":
        return _flat(blank(evidence.squares, evidence.lungs, BOX))
    kept = blank(np.ones((1, SQUARE, SQUARE), np.uint8), np.zeros((1, SQUARE, SQUARE), bool), BORDER)
    return _flat(evidence.squares[:, kept[0] > 0])


def _flat(pixels: np.ndarray) -> np.ndarray:
    """Return grey levels of films, (n, ...), from 0 to 1, as float32, (n, k)."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    flat /= 255
    return flat
