import numpy as np
import pandas as pd
import pytest

from sdnet_lib import plots
from sdnet_lib.data import release, severity
from sdnet_lib.files import InputError

NOON = pd.Timestamp("2020-03-20 12:00")


def hours(number):
    return NOON + pd.Timedelta(hours=number)


def study(study_id, patient_id=None, **changes):
    row = {"sex": "F", "machine": "Room 1", "view": "PA", "taken": NOON, "picture": study_id}
    return {"study_id": study_id, "patient_id": patient_id or f"of {study_id}", **row, **changes}


def tables(studies, *, result="positive", scores=(4, 4), test_at=2):
    """One test and one reading a score for each study, unless a test replaces them."""
    studies = pd.DataFrame(studies)
    pcr = pd.DataFrame(
        {"patient_id": studies["patient_id"].dropna().unique(), "sampled": hours(test_at), "result": result}
    )
    readings = pd.DataFrame(
        [
            {"study_id": name, "reader": f"reader {place}", "read_at": hours(1 + place), "score": score}
            for name in studies["study_id"]
            for place, score in enumerate(scores)
        ]
    )
    return studies, pcr, readings


def reasons(*three, **rules):
    judged = release.judge(*three, **{"balanced": False, **rules})
    return judged.set_index("study_id")["reason"].astype(str).to_dict()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "released"),
        ({"view": None}, "incomplete record"),
        ({"sex": None}, "incomplete record"),
        ({"taken": pd.NaT}, "incomplete record"),
        ({"machine": "Bedside"}, "another machine"),
        ({"view": "AP"}, "view is not PA"),
        ({"view": "AP", "machine": "Bedside"}, "view is not PA"),  # the first rule that strikes is counted
        ({"taken": hours(100)}, "no RT-PCR result within 24 h"),
        ({"taken": hours(-100), "patient_id": "untested"}, "no RT-PCR result within 24 h"),
        ({"taken": hours(1.5)}, "fewer than 2 readings within 24 h"),  # read before it was taken
    ],
)
def test_each_rule_strikes_alone(changes, reason):
    studies, pcr, readings = tables([study("plain"), study("other"), study("tried")])
    for name, value in changes.items():
        studies.loc[2, name] = value
    found = reasons(studies, pcr, readings)
    assert found == {"plain": "released", "other": "released", "tried": reason}


@pytest.mark.parametrize(("apart", "kept"), [(23.999, True), (-23.999, True), (24, False), (-24, False)])
def test_the_window_is_open_at_24_hours(apart, kept):
    assert (reasons(*tables([study("a")], test_at=apart))["a"] == "released") is kept


def test_thresholds_are_arguments():
    late = tables([study("a")], test_at=30)
    assert reasons(*late)["a"] == "no RT-PCR result within 24 h"
    assert reasons(*late, pcr_hours=36)["a"] == "released"
    bedside = tables([study("a"), study("b", view="AP", machine="Bedside")])
    assert reasons(*bedside, views=("PA", "AP"), machines=["Room 1", "Bedside"])["b"] == "released"
    assert reasons(*bedside, machines=["Bedside"])["a"] == "another machine"
    once = tables([study("a")], scores=[4])
    assert reasons(*once)["a"] == "fewer than 2 readings within 24 h"
    assert reasons(*once, readers=1)["a"] == "released"


def test_a_positive_test_outweighs_a_negative_one():
    studies, pcr, readings = tables([study("a")], result="negative")
    pcr = pd.concat([pcr, pcr.assign(sampled=hours(5), result="positive")])
    assert release.judge(studies, pcr, readings)["label"].tolist() == ["P"]


@pytest.mark.parametrize("result", ["inconclusive", None])
def test_a_test_without_a_result_is_no_test(result):
    assert reasons(*tables([study("a")], result=result))["a"] == "no RT-PCR result within 24 h"


@pytest.mark.parametrize(
    ("scores", "score"),
    [
        ((3, 3), 3),
        ((3, 5), 4),  # one level, the mean
        ((1, 2), 2),  # a half goes up, the level stays
        ((2, 3, 3), 3),  # two levels, the third decides
        ((2, 3, 8), 8),
        ((3, 3, 8), 3),  # no need for a third
    ],
)
def test_consensus_of_readers(scores, score):
    studies, pcr, readings = tables([study("a")], scores=scores)
    judged = release.judge(studies, pcr, readings, balanced=False).iloc[0]
    assert (judged["reason"], judged["rale"], judged["severity"]) == (
        "released",
        score,
        severity.severity(score),
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", [(3.0, 3.0), (2.0, 3.0), (2.0, 3.0, 8.0)])
@pytest.mark.parametrize("late", [0, 48])
def test_no_mixture_of_readings_makes_pandas_warn(scores, late):
    studies, _, agreed = tables([study("a")])
    other_studies, _, others = tables([study("b")], scores=scores)
    readings = pd.concat([agreed, others], ignore_index=True).astype({"score": float})
    readings["read_at"] += pd.Timedelta(hours=late)
    found = release.consensus(pd.concat([studies, other_studies], ignore_index=True), readings)
    assert len(found) == (0 if late else 2) and str(found["rale"].dtype) == "Int64"


def test_disagreement_that_nobody_decided_is_excluded():
    assert reasons(*tables([study("a")], scores=(2, 3)))["a"] == "readers disagree, nobody decided"


def test_one_reader_twice_is_one_reading():
    studies, pcr, readings = tables([study("a")])
    assert reasons(studies, pcr, readings.assign(reader="same"))["a"].startswith("fewer than 2 readings")


def test_normal_reading_of_a_positive_is_normal_pcr():
    cohort, _ = release.release(*tables([study("a")], scores=(0, 0)), balanced=False)
    assert cohort[["label", "severity"]].values.tolist() == [["P", "Normal-PCR+"]]


def test_a_negative_test_needs_normal_lungs():
    assert reasons(*tables([study("a")], result="negative"))["a"] == "RT-PCR negative, lungs not normal"
    cohort, _ = release.release(*tables([study("a")], result="negative", scores=(0, 0)), balanced=False)
    assert cohort[["label", "severity"]].values.tolist() == [["N", ""]]


def test_copies_and_later_studies_lose_to_the_first():
    found = reasons(
        *tables(
            [
                study("second", "p", taken=hours(0.5), picture="x"),
                study("first", "p", picture="x"),
                study("later", "p", taken=hours(0.7), picture="y"),
                study("mine", "q", picture="z"),
                study("yours", "r", picture="z"),
                study("unhashed 1", "s", picture=None),
                study("unhashed 2", "t", picture=None),
            ]
        )
    )
    assert found == {
        "first": "released",
        "second": "copy of an earlier picture",
        "later": "later study of the same patient",
        "mine": "picture filed under two patients",
        "yours": "picture filed under two patients",
        "unhashed 1": "released",
        "unhashed 2": "released",
    }


def test_an_excluded_copy_does_not_cost_the_good_one():
    found = reasons(*tables([study("a", "p", view=None, picture="x"), study("b", "p", picture="x")]))
    assert found == {"a": "incomplete record", "b": "released"}


def test_classes_are_balanced_by_a_seeded_draw():
    positive = tables([study(f"p{i}") for i in range(4)])
    negative = tables([study(f"n{i}") for i in range(20)], result="negative", scores=(0, 0))
    both = [pd.concat(pair, ignore_index=True) for pair in zip(positive, negative, strict=True)]
    draws = []
    for seed in (0, 0, 1):
        shuffled = [table.sample(frac=1, random_state=len(draws)) for table in both]
        cohort, _ = release.release(*shuffled, seed=seed)
        assert cohort["label"].value_counts().to_dict() == {"N": 4, "P": 4}
        draws.append(set(cohort["image_id"]))
    assert draws[0] == draws[1] != draws[2]  # the seed decides, the order of the rows does not


def test_tables_are_not_changed():
    three = tables([study("a"), study("b", view="AP")])
    before = [table.copy() for table in three]
    release.release(*three)
    for table, copy in zip(three, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


@pytest.mark.parametrize(
    ("table", "column", "value", "named"),
    [
        (0, "sex", "woman", "studies, row 1, column sex.*woman"),
        (0, "study_id", "a", "studies, row 0, column study_id.*'a'"),
        (0, "taken", "yesterday", "studies, row 1, column taken.*yesterday"),
        (1, "result", "maybe", "pcr, row 1, column result.*maybe"),
        (2, "score", 9, "readings, row 1, column score.*9"),
        (2, "score", 2.5, "readings, row 1, column score.*2.5"),
    ],
)
def test_bad_values_name_table_row_and_column(table, column, value, named):
    three = [each.astype(object) for each in tables([study("a"), study("b")])]
    three[table].loc[1, column] = value
    with pytest.raises(InputError, match=named) as caught:
        release.release(*three)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named():
    studies, pcr, readings = tables([study("a")])
    with pytest.raises(InputError, match="table pcr: column 'sampled' is missing"):
        release.release(studies, pcr.drop(columns="sampled"), readings)


def test_tables_read_back_from_csv_give_the_same_release(tmp_path):
    three = tables([study("1"), study("2", view="AP"), study("3", sex=None)])
    again = []
    for place, table in enumerate(three):
        table.to_csv(tmp_path / f"{place}.csv", index=False)
        again.append(pd.read_csv(tmp_path / f"{place}.csv"))
    assert reasons(*three) == reasons(*again)


def test_table3_counts_and_leaves_unknown_counts_missing():
    cohort = pd.DataFrame(
        {
            "label": ["N", "N", "P", "P", "P"],
            "severity": ["", "", "Mild", "Normal-PCR+", "Mild"],
            "sex": ["F", "M", "M", "M", None],
        }
    )
    counted = release.table3(cohort)
    assert counted.columns.equals(release.paper_table3().columns)
    assert counted.loc["Negative", ["images", "women", "men"]].tolist() == [2, 1, 1]
    assert counted.loc["Positive"].tolist() == [3, 0, 2, 1, 2, 0, 0]
    assert counted.loc["Negative", "Mild"] is pd.NA
    bare = release.table3(cohort[["label"]].assign(severity=""))
    assert bare["images"].tolist() == [2, 3]
    assert bare.drop(columns="images").isna().all(axis=None)


def test_the_papers_table_adds_up():
    paper = release.paper_table3()
    assert (paper["women"] + paper["men"] == paper["images"]).all()
    assert paper.loc["Positive", list(severity.POSITIVE_LEVELS)].sum() == 426


def test_giveaway_is_half_for_nothing_and_one_for_everything():
    cohort = pd.DataFrame({"label": ["N", "P"] * 30, "patient_id": [str(i) for i in range(60)]})
    cohort["same"], cohort["tells"] = "PA", cohort["label"]
    cohort["noise"] = np.random.default_rng(0).choice(["a", "b"], 60)
    assert release.giveaway(cohort, ["same"]) == 0.5
    assert release.giveaway(cohort, ["same", "tells"]) == 1.0
    assert 0.25 < release.giveaway(cohort, ["noise"]) < 0.75


def test_the_flow_diagram_shows_every_count():
    cohort, flow = release.release(
        *tables([study("a"), study("b", view="AP"), study("c", sex=None)]), balanced=False
    )
    figure = plots.flow_diagram(flow, {"positive": len(cohort)})
    texts = {text.get_text().strip() for text in figure.axes[0].texts}
    assert {
        "3 studies in the archive",
        "1  view is not PA",
        "1  incomplete record",
        "released: 1 positive",
    } <= texts
    assert {f"{left} left" for left in flow["left"][1:]} <= texts
