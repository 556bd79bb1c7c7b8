"""Whole audits of small synthetic cohorts, whose truth is known."""

import numpy as np
import pytest

from sdnet_lib.audit import films, findings, probes, questions, suspects
from sdnet_lib.phantom import cohorts


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return cohorts.homogeneous(80, 3, tmp_path_factory.mktemp("honest") / "made", size=64, workers=1)


@pytest.fixture(scope="module")
def seen(honest):
    return films.look(honest)


def by_name(audit):
    return {found.name: found for found in audit.findings}


def test_one_site_is_not_condemned(honest, seen):
    audit = questions.answer(honest, seen, probes.trial(honest))
    assert findings.verdict(audit.findings) != "red"
    found = by_name(audit)
    assert set(found) >= {*findings.CAUSES, *findings.PROBES}
    assert found["format"].level == found["equipment"].level == "green"


def test_a_mixture_is_condemned_for_its_reasons(tmp_path):
    cohort = cohorts.biased(60, 3, tmp_path / "made", size=64, workers=1)
    audit = questions.audit(cohort)
    assert findings.verdict(audit.findings) == "red" and findings.word(audit.findings) == "confounded"
    found = by_name(audit)
    for name in ("view", "equipment", "aspect", "format", "file alone", "border alone"):
        assert found[name].level == "red", name
    assert found["equipment"].goes_with == "" and found["view"].goes_with == "equipment"
    assert len(audit.suspects) == 60 and audit.suspects["gives_away"].is_monotonic_decreasing
    assert audit.suspects["gives_away"].iloc[0] > 0.8


def test_the_same_seed_says_the_same(honest, seen):
    one, two = (questions.answer(honest, seen, probes.trial(honest, seed=5)).findings for _ in range(2))
    assert one == two


def test_a_fact_that_is_planted_is_named_with_what_is_usual(honest, seen):
    label = (honest["label"] == "P").to_numpy()
    facts = seen.facts.assign(**{"aspect ratio": np.where(label, 0.8, 1.0)})
    found = by_name(questions.answer(honest, seen._replace(facts=facts), probes.trial(honest)))
    assert found["aspect"].level == "red" and "aspect ratio" in found["aspect"].evidence
    assert "N 0.8 0%, 1.0 100%" in found["aspect"].evidence


def test_views_show_what_they_say(seen):
    shown = questions.views(seen)
    assert shown["thumbnail"].shape == (80, 256)
    assert shown["border alone"].shape == (80, films.SQUARE**2 - (films.SQUARE - 6) ** 2)
    whole = seen.squares.reshape(80, -1) / np.float32(255)
    hidden = shown["without lungs"] != whole
    assert hidden[seen.lungs.reshape(80, -1) & (whole > 0)].all()


def test_images_are_ranked_by_what_knows_something():
    from tests.audit.made import table
    from tests.audit.test_findings import answer

    cohort = table(200)
    label = (cohort["label"] == "P").to_numpy(float)
    score = label.copy()
    score[:20] = 0.5
    ranked = suspects.ranked(cohort, {"view": answer(0.9, scores=score), "sex": answer(0.55)})
    assert set(ranked["by"]) == {"view"} and set(ranked["image_id"].tail(20)) == set(cohort["image_id"][:20])
    assert suspects.ranked(cohort, {"sex": answer(0.55)}).empty
