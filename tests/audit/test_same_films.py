import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnet_lib.audit import same_films
from sdnet_lib.audit.findings import AMBER, GREEN, RED
from sdnet_lib.data.duplicates import signature
from tests.audit import made


@pytest.fixture(scope="module")
def pictures():
    return [made.film(seed)[0] for seed in range(12)]


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 0.3), st.booleans())
def test_the_quick_search_finds_what_comparing_all_pairs_finds(seed, noise, mirrored):
    rng = np.random.default_rng(seed)
    made_of = rng.integers(0, 12, 40)
    vectors = rng.normal(size=(12, 1024))[made_of] + noise * rng.normal(size=(40, 1024))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole = vectors.copy()
    if mirrored:
        vectors[::2] = whole[::2].reshape(-1, 32, 32)[:, :, ::-1].reshape(20, -1)
    likeness = np.triu(whole @ whole.T, 1)
    clear = np.abs(likeness - same_films.ALIKE) > 1e-3
    expected = {tuple(pair) for pair in np.argwhere((likeness >= same_films.ALIKE) & clear)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_films, "BLOCK", 16)
        table = same_films.pairs(vectors)
    found = {pair for pair in zip(table["first"], table["second"], strict=True) if clear[pair]}
    assert found == expected


def ask(pictures, **columns):
    cohort = made.table(len(pictures), **columns)
    return same_films.same_film_twice(cohort, np.stack([signature(picture) for picture in pictures]))


def test_other_films_are_no_pair(pictures):
    finding, table = ask(pictures)
    assert finding.level == GREEN and table.empty


def test_a_film_under_two_labels_is_red_also_brighter_and_mirrored(pictures):
    changed = [*pictures]
    changed[3] = pictures[0] * 0.5 + 0.2  # N and P
    changed[5] = pictures[1][:, ::-1]  # both P
    finding, table = ask(changed)
    assert finding.level == RED and finding.numbers["pairs"] == 2 and finding.numbers["two_labels"] == 1
    rows = {(row.first, row.second): row for row in table.itertuples()}
    assert not rows["i0", "i3"].mirrored and rows["i1", "i5"].mirrored


def test_two_patients_are_amber_one_is_not_and_two_parts_are_red(pictures):
    changed = [*pictures]
    changed[2] = pictures[0]
    patients = ["p0" if number in (0, 2) else f"p{number}" for number in range(12)]
    assert ask(changed)[0].level == AMBER
    assert ask(changed, patient_id=patients)[0].level == GREEN
    split = ["train", "train", "test", *["train"] * 9]
    assert ask(changed, patient_id=patients, split=split)[0].level == RED


@pytest.mark.parametrize("copies", [2, 3000])
def test_copies_are_as_many_pairs_as_copies_whatever_they_are_under(copies, pictures):
    signatures = np.stack([signature(picture) for picture in [*pictures, *[pictures[2]] * copies]])
    cohort = made.table(len(signatures), patient_id="one")
    finding, table = same_films.same_film_twice(cohort, signatures.astype(np.float16))
    assert len(table) == copies and set(table["first"]) == {"i2"}
    assert finding.level == RED and finding.numbers["two_labels"] == copies / 2  # every other one is positive
    assert table["two_labels"].is_monotonic_decreasing  # the worst first
