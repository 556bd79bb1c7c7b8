"""Selection: every file has one reason, in the order of the rules, and draws make classes alike."""

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.build import select
from sdnet_lib.files import InputError

TAKEN = pd.Timestamp("2020-03-14 10:00")
GOOD = {
    "problem": "",
    "kind": "",
    "body": "CHEST",
    "view": "PA",
    "sex": "F",
    "age": "50",
    "machine": "A 1",
    "kvp": 125.0,
    "burnt_in": "",
    "taken": TAKEN,
    "accession": "",
    "study_uid": "",
}


def films(*changes):
    """Return one film for each dictionary of what is different about it."""
    rows = [
        GOOD | {"file": f"{n}.dcm", "uid": f"1.{n}", "patient_id": f"p{n}x", "accession": f"a{n}"} | change
        for n, change in enumerate(changes)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"problem": "not a DICOM file"}, "no readable DICOM film"),
        ({"kind": "several frames"}, "not a plain X-ray"),
        ({"body": ""}, "part of the body not in the tags, or contradictory"),
        ({"body": "HAND"}, "not a chest"),
        ({"view": ""}, "view not in the tags, or contradictory"),
        ({"view": "AP"}, "view is not PA"),
        ({"patient_id": ""}, "no patient"),
        ({"machine": ""}, "no machine"),
        ({"sex": "O"}, "sex neither F nor M"),
        ({"taken": None}, "no time that can be trusted"),
        ({"machine": "B 2"}, "another machine"),
        ({"kvp": 70.0}, "not 100 to 140 kV"),
        ({"kvp": None}, "not 100 to 140 kV"),
        ({"burnt_in": "YES"}, "text burnt in, says the header"),
        ({"uid": "1.0"}, "one film under two patients"),
        ({"uid": "1.0", "patient_id": "p0x"}, "same film in another file"),
    ],
)
def test_each_rule_on_tags_leaves_out_its_film(change, reason):
    found = select.by_tags(films({}, {}, change), kvp=(100, 140), burnt_in=False)
    assert found["reason"].iloc[2] == reason and found["reason"].iloc[1] == ""
    flow = select.flow(found)
    assert (
        flow["left"].iloc[-1] == (found["reason"] == "").sum()
        and flow["excluded"].sum() == len(found) - flow["left"].iloc[-1]
    )


def test_the_first_rule_that_is_broken_counts():
    found = select.by_tags(films({}, {"view": "AP", "body": "HAND", "sex": ""}))
    assert found["reason"].iloc[1] == "not a chest" and found["detail"].iloc[1] == "HAND"


def test_machines_can_be_named_and_an_unknown_one_is_refused():
    both = select.by_tags(films({}, {}, {"machine": "B 2"}), machines=["A 1", "B 2"])
    assert (both["reason"] == "").all()
    with pytest.raises(InputError, match="--machine C 3.*A 1"):
        select.by_tags(films({}), machines=["C 3"])


def swabs(*rows):
    return pd.DataFrame(
        [
            {"patient_id": who, "sampled": TAKEN + pd.Timedelta(hours=after), "result": result}
            for who, after, result in rows
        ]
    )


def readings(*rows):
    return pd.DataFrame(
        [
            {
                "patient": who,
                "study": study,
                "reader": reader,
                "read_at": TAKEN + pd.Timedelta(hours=1),
                "score": score,
            }
            for who, study, reader, score in rows
        ]
    )


def signatures(table, seed=0):
    rng = np.random.default_rng(seed)
    found = {uid: rng.normal(size=1024) for uid in table["uid"]}
    return {uid: values / np.linalg.norm(values) for uid, values in found.items()}


def judged(table, pcr, read, marks=None, **rules):
    table = select.by_tags(table)
    return select.by_records(table, pcr, read, marks or signatures(table), readers=1, **rules)


def test_positives_that_were_read_as_normal_and_results_that_change():
    pcr = swabs(
        ("p0x", 2, "positive"), ("p1x", -3, "negative"), ("p1x", 5, "positive"), ("p2x", 30, "positive")
    )
    read = readings(("p0x", "", "A", 0), ("", "a1", "A", 7), ("p2x", "", "A", 1))
    found = judged(films({}, {}, {}), pcr, read)
    assert list(found["label"]) == ["P", "P", ""] and list(found["severity"])[:2] == ["Normal-PCR+", "Severe"]
    assert found["reason"].iloc[2] == "no RT-PCR result within 24 h"


def test_negatives_with_opacities_and_films_that_nobody_read():
    found = judged(
        films({}, {}), swabs(("p0x", 0, "negative"), ("p1x", 0, "negative")), readings(("p0x", "", "A", 3))
    )
    assert list(found["reason"]) == ["RT-PCR negative, lungs not normal", "fewer than 1 readings within 24 h"]


def test_one_picture_under_two_patients_is_left_out_and_a_copy_counts_once():
    table = films({}, {}, {"patient_id": "p0x", "taken": TAKEN + pd.Timedelta(hours=1)}, {})
    marks = signatures(table)
    marks["1.1"] = marks["1.0"]
    everybody = [(f"p{n}x", 0, "negative") for n in range(4)]
    found = judged(table, swabs(*everybody), readings(*((who, "", "A", 0) for who, *_ in everybody)), marks)
    assert list(found["reason"][:2]) == ["picture filed under two patients"] * 2
    marks = signatures(table)
    marks["1.2"] = marks["1.0"]
    found = judged(table, swabs(*everybody), readings(*((who, "", "A", 0) for who, *_ in everybody)), marks)
    assert list(found["reason"]) == ["", "", "copy of an earlier picture", ""]


def test_a_reading_of_a_study_is_for_all_its_films_and_for_no_other_patient():
    table = films({"study_uid": "9.9"}, {"study_uid": "9.9"}, {})
    found = select.matched(table, readings(("", "9.9", "A", 2), ("p2x", "a0", "B", 1), ("", "1.2", "C", 1)))
    assert sorted(zip(found["study_id"], found["reader"], strict=True)) == [
        ("1.0", "A"),
        ("1.1", "A"),
        ("1.2", "C"),
    ]


def test_ids_that_lost_their_zeros_in_a_spreadsheet_are_refused():
    with pytest.raises(InputError, match="'007' and '7' may be one"):
        judged(films({"patient_id": "007"}), swabs(("7", 0, "negative")), readings(("7", "", "A", 0)))


def drawn(table, keys):
    table = select.start(table)
    table.attrs["rules"] = []
    found = select.balance(table, keys, table["uid"])
    return found[found["reason"] == ""]


def cohort(seed=0, n=120):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"label": rng.choice(["N", "P"], n, p=[0.7, 0.3]), "uid": rng.permutation(n).astype(str)}
    )
    table["sex"], table["age"] = rng.choice(["F", "M"], n), rng.integers(20, 60, n).astype(str)
    levels = rng.choice(select.POSITIVE_LEVELS, n, p=[0.1, 0.2, 0.4, 0.3])
    table["severity"] = np.where(table["label"] == "P", levels, "")
    return table


@pytest.mark.parametrize("seed", range(3))
def test_draws_make_alike_what_is_asked(seed):
    table = cohort(seed)
    assert len(drawn(table, ())) == len(table)
    counts = drawn(table, ("class",))["label"].value_counts()
    assert counts["N"] == counts["P"] == table["label"].value_counts().min()
    sexes = drawn(table, ("class", "sex")).groupby(["sex", "label"]).size().unstack()
    assert (sexes["N"] == sexes["P"]).all()
    ages = drawn(table, ("age",))
    strata = ages.groupby([ages["age"].str[0], "label"]).size().unstack()
    assert (strata["N"] == strata["P"]).all()
    levels = drawn(table, ("severity",))["severity"]
    assert levels[levels != ""].value_counts().nunique() == 1


def test_a_draw_does_not_depend_on_the_order_of_the_files():
    table = cohort()
    again = table.sample(frac=1, random_state=1)
    assert set(drawn(table, ("class", "sex"))["uid"]) == set(drawn(again, ("class", "sex"))["uid"])
