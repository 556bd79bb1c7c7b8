"""Whole audits of small synthetic cohorts, whose truth is known."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnet_lib.audit import films, findings, marker, metadata, probes, questions, suspects
from sdnet_lib.data import images
from sdnet_lib.phantom import cohorts
from tests.audit import made


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


def test_a_plate_is_named_a_marker_and_nothing_else(honest, tmp_path):
    """White with a black letter, larger than a letter, as chapter 9 plants it."""
    label, files = (honest["label"] == "P").to_numpy(), []
    chosen = label ^ (np.arange(len(label)) % 10 == 0)
    for name, file, planted in zip(honest["image_id"], honest["file"], chosen, strict=True):
        pixels = images.eight_bits(images.read_gray(file))
        files.append(str(tmp_path / f"{name}.png"))
        images.write_gray(files[-1], marker.plant(pixels[None], np.array([planted]))[0] / 255)
    cohort = honest.assign(file=files)
    found = by_name(questions.answer(cohort, films.look(cohort), probes.trial(cohort)))
    assert found["marker"].level == "red" and not found["marker"].goes_with
    named = [name for name in findings.CAUSES if found[name].level in ("red", "amber")]
    assert [name for name in named if not found[name].goes_with] == ["marker"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=3), st.booleans())
def test_no_number_is_longer_than_one_can_read(values, as_text):
    """A border of a hundredth is no 0.010000000000000002."""
    values = [value * 0.1 for value in values]
    column = [values[number % len(values)] for number in range(60)]
    cohort = made.table(60, age=column, scanner=[str(one) for one in column] if as_text else column)
    trial = probes.trial(cohort)
    guesses, same = metadata.guesses(cohort, trial)
    said = [guess.says for guess in guesses] + [one.evidence for one in same]
    said.append(questions._differ(cohort[["age", "scanner"]], cohort))
    assert not any(re.search(r"\d\.\d{12}", text) for text in said), said


def test_views_show_what_they_say(seen):
    shown = {name: questions.view(name, seen) for name in findings.PROBES}
    assert len(shown["file alone"]) == 80
    assert shown["thumbnail"].shape == (80, 256)
    assert shown["border alone"].shape == (80, films.SQUARE**2 - (films.SQUARE - 6) ** 2)
    whole = seen.squares.reshape(80, -1) / np.float32(255)
    hidden = shown["without lungs"] != whole
    assert hidden[seen.lungs.reshape(80, -1) & (whole > 0)].all()


def test_images_are_ranked_by_what_knows_something():
    from tests.audit.test_findings import answer

    cohort = made.table(200)
    label = (cohort["label"] == "P").to_numpy(float)
    score = label.copy()
    score[:20] = 0.5
    ranked = suspects.ranked(cohort, {"view": answer(0.9, scores=score), "sex": answer(0.55)})
    assert set(ranked["by"]) == {"view"} and set(ranked["image_id"].tail(20)) == set(cohort["image_id"][:20])
    assert suspects.ranked(cohort, {"sex": answer(0.55)}).empty
