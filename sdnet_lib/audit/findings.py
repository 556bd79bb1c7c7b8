"""What an audit may say: findings, their levels, and the verdict that follows from them.

The thresholds are those that the calibration measured (`audit.calibration`; table in the book).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sdnet_lib.audit.probes import Answer, Trial, within
from sdnet_lib.evaluation.statistics import holm

GREEN, AMBER, RED, UNKNOWN = "green", "amber", "red", "unknown"
LEVELS = (RED, AMBER, GREEN, UNKNOWN)  # worst first
SIGNIFICANT = 0.05  # p after Holm over all questions of an audit
PLAIN = (0.60, 0.75)  # area from which a guess is amber, and red
# Disease shows there too: automatic exposure aims at the lungs, and so moves every grey level of a film.
NEAR_DISEASE = (0.75, 0.85)
WITH_LUNGS = (0.95, 2.0)  # lungs are seen: a plain disease may be enough, so this alone is never red
# What one can put a name to, from the surest to the vaguest; then how far all of it together goes.
IN_TABLE = ("source", "view", "equipment", "sex", "age", "date")
CAUSES = (
    *IN_TABLE,
    *("size", "aspect", "format", "header", "border", "marker", "grey levels", "sharpness"),
)
PROBES = ("file alone", "border alone", "without lungs", "thumbnail")
ALL = 0.95  # area from which a cause tells nearly all
APART = 0.01  # p from which a cause knows something that one before it does not
BOUNDS = {
    "grey levels": NEAR_DISEASE,
    "file alone": NEAR_DISEASE,  # bytes per pixel depend on what is in the picture
    "border alone": NEAR_DISEASE,
    "without lungs": NEAR_DISEASE,
    "thumbnail": WITH_LUNGS,
}


class Finding(NamedTuple):
    """One question and its answer.

    Attributes
    ----------
    name : str
        What was asked about, such as ``view`` or ``marker``.
    level : str
        One of `LEVELS`; ``unknown`` where the cohort does not say.
    evidence : str
        One sentence with the numbers that decided.
    numbers : dict
        Those numbers, and more, for programs.
    goes_with : str
        A cause that comes first, if this one knows too little where that one is the same: repair that one
        first.
    """

    name: str
    level: str
    evidence: str
    numbers: dict[str, object]
    goes_with: str = ""


class Guess(NamedTuple):
    """How well something guesses the label, before it is known how many questions were asked.

    Attributes
    ----------
    name : str
    answer : Answer
    says : str
        More evidence, such as a cross table, in words.
    numbers : dict
        More numbers.
    """

    name: str
    answer: Answer
    says: str = ""
    numbers: dict[str, object] | None = None


def judge(guesses: Sequence[Guess], trial: Trial) -> list[Finding]:
    """Turn guesses to findings: a level needs a large area, and one that chance does not reach.

    The p values are corrected for all questions together, by Holm's method. Then the causes are separated,
    those of the table before those of the films, the loudest first: see `Finding.goes_with`. Films follow
    from a patient's sex or a hospital's habits, never the other way round, and with the disease, which they
    show too, they may guess better than what they follow from.
    """
    if not guesses:
        return []
    adjusted = holm(np.array([guess.answer.p for guess in guesses]))
    found = {guess.name: _finding(guess, float(p)) for guess, p in zip(guesses, adjusted, strict=True)}
    answers = {guess.name: guess.answer for guess in guesses}
    if "sharpness" in found and found["sharpness"].level != GREEN and _is_exposure(answers, trial):
        evidence = f"{found['sharpness'].evidence}; no more than grey levels show, as disease does"
        found["sharpness"] = found["sharpness"]._replace(level=GREEN, evidence=evidence)
    loud = [name for name in CAUSES if name in found and found[name].level in (RED, AMBER)]
    leads: list[str] = []
    # equals stay in order
    for name in sorted(loud, key=lambda name: (name not in IN_TABLE, -round(answers[name].auc, 2))):
        lead = next((one for one in leads if not _apart(name, answers[name], answers[one], trial)), "")
        if lead:
            evidence = f"{found[name].evidence}; goes with {lead}"
            found[name] = found[name]._replace(evidence=evidence, goes_with=lead)
        else:
            leads.append(name)
    return list(found.values())


def _is_exposure(answers: Mapping[str, Answer], trial: Trial) -> bool:
    """Say whether sharpness shows what exposure does to a film, and too little of it.

    Noise is another part of a film's contrast where the film is darker, so disease reaches sharpness on the
    path on which it reaches grey levels, which need more than others for a level.
    """
    if "grey levels" not in answers or answers["sharpness"].auc >= NEAR_DISEASE[0]:
        return False
    return not _apart("sharpness", answers["sharpness"], answers["grey levels"], trial)


def _apart(name: str, answer: Answer, lead: Answer, trial: Trial) -> bool:
    """Say whether a cause knows enough to be amber among images that one before it takes for alike.

    One that tells nearly all leaves nothing to know.
    """
    if lead.auc >= ALL:
        return False
    area, p = within(answer.scores, lead.scores, trial)
    return bool(p <= APART and area >= BOUNDS.get(name, PLAIN)[0])


def _finding(guess: Guess, p: float) -> Finding:
    answer, (amber, red) = guess.answer, BOUNDS.get(guess.name, PLAIN)
    level = GREEN
    if p <= SIGNIFICANT and answer.auc >= amber:
        level = RED if answer.auc >= red else AMBER
    said = f"AUC {answer.auc:.2f} [{answer.low:.2f} to {answer.high:.2f}]"
    by_chance = f"chance reaches {answer.chance:.2f} ± {answer.spread:.2f}"
    evidence = "; ".join(part for part in (said, by_chance, guess.says) if part)
    numbers = answer.numbers() | {"p_holm": p, "amber_from": amber, "red_from": red}
    return Finding(guess.name, level, evidence, numbers | (guess.numbers or {}))


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst level: red, amber, or green if nothing was found."""
    found = {finding.level for finding in findings}
    return next((level for level in (RED, AMBER) if level in found), GREEN)


LEAKS = ("patients in two parts", "the same film twice", "held-out source")


def word(findings: Sequence[Finding]) -> str:
    """Say the verdict in a word of the field.

    ``confounded``: something besides disease gives the label away. ``inflated``: a test would score too high,
    because the same patients or films are on two sides. ``clean``: neither was found, which is no proof.
    """
    loud = [finding for finding in findings if finding.level in (RED, AMBER)]
    worst = [finding for finding in loud if finding.level == verdict(findings)]
    if any(finding.name not in (*LEAKS, "severity") for finding in worst):
        return "confounded"
    return "inflated" if any(finding.name in LEAKS for finding in worst) else "clean"
