import numpy as np
import pytest

from sdnet_lib.audit import findings, probes
from sdnet_lib.audit.findings import AMBER, GREEN, RED, Finding, Guess
from sdnet_lib.audit.probes import Answer
from tests.audit import made


@pytest.fixture(scope="module")
def trial():
    return probes.trial(made.table(200), seed=0)


def answer(auc: float, p: float = 1e-9, scores: np.ndarray | None = None) -> Answer:
    return Answer(auc, auc - 0.1, auc + 0.1, 0.5, 0.04, p, np.zeros(200) if scores is None else scores)


@pytest.mark.parametrize(
    "name, auc, p, level",
    [
        ("view", 0.9, 1e-9, RED),
        ("view", 0.7, 1e-9, AMBER),
        ("view", 0.59, 1e-9, GREEN),
        ("view", 0.9, 0.06, GREEN),
        ("grey levels", 0.7, 1e-9, GREEN),
        ("grey levels", 0.8, 1e-9, AMBER),
        ("thumbnail", 1.0, 1e-9, AMBER),
    ],
)
def test_a_level_needs_an_area_and_more_than_chance(name, auc, p, level, trial):
    assert findings.judge([Guess(name, answer(auc, p))], trial)[0].level == level


def test_chance_is_held_to_all_questions_at_once(trial):
    names = findings.CAUSES[:5]
    many = [Guess(name, answer(0.7, 0.02)) for name in names]
    assert findings.judge(many[:1], trial)[0].level == AMBER
    assert {one.level for one in findings.judge(many, trial)} == {GREEN}
    assert findings.judge([], trial) == []


def test_a_shadow_goes_with_its_cause_and_a_second_cause_does_not(trial):
    label, rng = trial.labels[:, 0], np.random.default_rng(0)
    cause = np.where(rng.random(200) < 0.9, label, 1 - label)
    shadow, second = cause + 0.2 * rng.normal(size=200), label + 0.7 * rng.normal(size=200)
    guesses = [
        Guess("sharpness", answer(0.8, scores=shadow)),
        Guess("marker", answer(0.9, scores=cause)),
        Guess("sex", answer(0.7, scores=second)),
    ]
    found = {one.name: one for one in findings.judge(guesses, trial)}
    assert {name: one.goes_with for name, one in found.items()} == {
        "marker": "",
        "sharpness": "marker",
        "sex": "",
    }
    assert found["sharpness"].level == RED and "goes with marker" in found["sharpness"].evidence


@pytest.mark.parametrize("cause", findings.IN_TABLE)
@pytest.mark.parametrize("disease", [0.0, 1.0])
def test_what_the_table_says_comes_before_what_films_show_of_it(cause, disease, trial):
    """Films show sex or site and disease at once, so they guess better than sex or site itself."""
    label, rng = trial.labels[:, 0], np.random.default_rng(0)
    table = np.where(rng.random(200) < 0.8, label, 1 - label)
    shows = 2 * table + disease * label + rng.normal(size=200)
    louder = [Guess("grey levels", answer(0.9, scores=shows)), Guess(cause, answer(0.8, scores=table))]
    found = {one.name: one for one in findings.judge(louder, trial)}
    assert found[cause].goes_with == "" and found["grey levels"].goes_with == cause


@pytest.mark.parametrize("auc, level", [(0.7, GREEN), (0.8, RED)])
def test_sharpness_that_follows_from_exposure_is_no_finding_before_grey_levels_would_be(auc, level, trial):
    label, rng = trial.labels[:, 0], np.random.default_rng(0)
    exposure = label + rng.normal(size=200)
    guesses = [
        Guess("grey levels", answer(0.7, scores=exposure)),
        Guess("sharpness", answer(auc, scores=exposure + 0.3 * rng.normal(size=200))),
    ]
    assert {one.name: one.level for one in findings.judge(guesses, trial)}["sharpness"] == level
    blurred = [guesses[0], Guess("sharpness", answer(0.7, scores=label + 0.8 * rng.normal(size=200)))]
    assert {one.name: one.level for one in findings.judge(blurred, trial)}["sharpness"] == AMBER


def test_a_film_that_shows_more_than_its_table_is_named_too(trial):
    label, rng = trial.labels[:, 0], np.random.default_rng(0)
    table = np.where(rng.random(200) < 0.8, label, 1 - label)
    films = label + 0.5 * rng.normal(size=200)
    both = [Guess("grey levels", answer(0.9, scores=films)), Guess("sex", answer(0.8, scores=table))]
    assert {one.goes_with for one in findings.judge(both, trial)} == {""}


@pytest.mark.parametrize(
    "found, verdict, word",
    [
        ([("view", GREEN), ("age", "unknown")], GREEN, "clean"),
        ([("view", AMBER), ("age", GREEN)], AMBER, "confounded"),
        ([("view", RED), ("patients in two parts", RED)], RED, "confounded"),
        ([("view", AMBER), ("the same film twice", RED)], RED, "inflated"),
        ([("severity", AMBER)], AMBER, "clean"),
        ([], GREEN, "clean"),
    ],
)
def test_the_worst_finding_decides(found, verdict, word):
    made_findings = [Finding(name, level, "", {}) for name, level in found]
    assert (findings.verdict(made_findings), findings.word(made_findings)) == (verdict, word)
