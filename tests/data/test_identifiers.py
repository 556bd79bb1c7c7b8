"""Ids as people type them: however they are decorated, one patient stays one."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnet_lib.data.cohort import CohortError, check_cohort, complete
from sdnet_lib.data.identifiers import ambiguous, clean
from sdnet_lib.data.splits import splits

SPACES = st.text(" \t\u00a0\u200b\ufeff\u2003", max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SPACES, SPACES, st.sampled_from(["NFC", "NFD", "NFKD"])), min_size=24, max_size=24))
def test_a_patient_never_stands_on_two_sides_however_it_is_written(decorations):
    people = [f"Peña {number // 2}" for number in range(24)]
    written = [
        before + unicodedata.normalize(form, name) + after
        for name, (before, after, form) in zip(people, decorations, strict=True)
    ]
    cohort = pd.DataFrame({"image_id": [f"i{n}" for n in range(24)], "file": "x", "patient_id": written})
    cohort["label"] = ["NP"[number // 2 % 2] for number in range(24)]
    cohort = check_cohort(complete(cohort, "here"), check_files=False)
    assert cohort["patient_id"].nunique() == 12
    for split in splits(cohort, 1, 3):
        learned = set(cohort["patient_id"].iloc[[*split.train, *split.valid]])
        assert not learned & set(cohort["patient_id"].iloc[split.test])


@pytest.mark.parametrize(
    "text, cleaned", [("12.0", "12"), ("１２", "12"), (" a  b", "a b"), ("0012", "0012")]
)
def test_what_nobody_sees_goes(text, cleaned):
    assert clean(text) == cleaned == clean(cleaned)


ALIKE = [("001", "1"), ("P7", "p7"), ("P07", "P7"), ("a-01", "A-1"), ("1e0", "1"), ("1000", "1e3")]
ALIKE += [("+1", "1"), ("1.50", "1.5"), ("1.", "1"), ("'1", "1"), ("\u0661", "1"), ("p 1", "p_1")]


@pytest.mark.parametrize("one, two", ALIKE)
def test_what_may_be_one_patient_is_for_the_user_to_say(one, two):
    cohort = pd.DataFrame({"image_id": list("abcd"), "file": "x", "label": list("NNPP")})
    cohort["patient_id"] = ["x", one, "y", two]
    with pytest.raises(CohortError, match=r"row 3, column patient_id, and row 5: .* may be one patient"):
        check_cohort(complete(cohort, "here"), check_files=False)


@pytest.mark.parametrize(
    "ids", [["1", "10", "100"], ["a1", "a11", "b1"], ["0", "00x"], ["7", "7"], ["1-11", "11-1"]]
)
def test_other_ids_are_clear(ids):
    assert ambiguous(ids) is None


@pytest.mark.parametrize("name", ["1.23457E+17", "1,23E+05", "#N/A", "#NAME?"])
@pytest.mark.parametrize("column", ["image_id", "patient_id"])
def test_what_a_spreadsheet_has_spoilt_is_no_id(column, name):
    cohort = pd.DataFrame({"image_id": list("abcd"), "file": "x", "label": list("NNPP")})
    cohort["patient_id"] = list("pqrs")
    cohort.loc[1, column] = name
    with pytest.raises(CohortError, match=f"row 3, column {column}: .*: what a spreadsheet left of an id"):
        check_cohort(complete(cohort, "here"), check_files=False)
