"""Could a network cheat on this cohort? All questions of an audit, from cheap to costly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.audit import metadata, probes, same_films, shortcuts, sources, suspects
from sdnet_lib.audit.films import GROUPS, SQUARE, Evidence, look
from sdnet_lib.audit.findings import CAUSES, GREEN, PROBES, Finding, Guess, judge
from sdnet_lib.audit.probes import Trial, encode, probe
from sdnet_lib.data import images

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
    shown = views(evidence)
    probed = {name: probe(features, trial) for name, features in shown.items()}
    found = judge([*guesses, *(Guess(name, probed[name]) for name in PROBES)], trial)
    twice, pairs = same_films.same_film_twice(cohort, evidence.signatures)
    findings = [
        *found,
        *unknown,
        *metadata.patients_on_two_sides(cohort),
        twice,
        sources.held_out(shown["thumbnail"], cohort, probed["thumbnail"], trial.seed),
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
        measured = pd.to_numeric(facts[name], errors="coerce")
        if measured.notna().all() and measured.nunique() > 2:
            ranks = measured.rank(pct=True)
            usual = ranks.groupby(cohort["label"]).mean()
            middle = measured.groupby(cohort["label"]).mean()
            text = ", ".join(f"{label} {value:.3g}" for label, value in middle.items())
            text = f"{name} on average {text}"
        else:
            values = facts[name].fillna("").astype(str)
            table = pd.crosstab(cohort["label"], values, normalize="index")
            usual = table.loc["P"].sub(table.loc["N"]).abs() / 2
            usual = pd.Series([usual.sum(), 0.0])
            common = table.mean().sort_values(ascending=False).index[:3]
            text = f"{name}: " + "; ".join(
                f"{label} " + ", ".join(f"{value or 'blank'} {row[value]:.0%}" for value in common)
                for label, row in table.iterrows()
            )
        apart = float(usual.max() - usual.min())
        if apart > best:
            best, said = apart, text
    return said


def views(evidence: Evidence) -> dict[str, np.ndarray]:
    """Return what each probe sees, as features: float32 arrays, (n, k)."""
    blank = shortcuts.blank

    def flat(squares: np.ndarray) -> np.ndarray:
        return squares.reshape(len(squares), -1).astype(np.float32) / 255

    small = [images.resize(square.astype(np.float32), (THUMBNAIL, THUMBNAIL)) for square in evidence.squares]
    border = flat(blank(evidence.squares, evidence.lungs, shortcuts.BORDER))
    frame = blank(
        np.ones((1, SQUARE, SQUARE), np.uint8), np.zeros((1, SQUARE, SQUARE), bool), shortcuts.BORDER
    )
    file = pd.concat([evidence.of(group) for group in ("size", "aspect", "format", "header", "file")], axis=1)
    return {
        "file alone": encode(file),
        "border alone": border[:, frame.ravel() > 0],
        "without lungs": flat(blank(evidence.squares, evidence.lungs, shortcuts.BOX)),
        "thumbnail": flat(np.stack(small)),
    }
