import numpy as np
import pytest

from sdnet_lib.audit import metadata, probes
from sdnet_lib.audit.findings import AMBER, GREEN, RED, UNKNOWN
from tests.audit import made


def ask(**columns):
    cohort = made.table(**columns)
    guesses, unknown = metadata.guesses(cohort, probes.trial(cohort))
    return {guess.name: guess for guess in guesses}, {one.name: one for one in unknown}


def test_a_view_that_is_the_label_is_said_with_test_and_effect():
    guesses, unknown = ask(view=["PA", "AP"] * 30)
    view = guesses["view"]
    assert view.answer.auc == 1 and "N: PA 100%, AP 0%; P: PA 0%, AP 100%" in view.says
    assert view.numbers["p_test"] < 1e-9 and view.numbers["cramers_v"] > 0.9
    assert view.numbers["counts"]["AP"] == {"N": 0, "P": 30}
    assert unknown["source"].level == GREEN and unknown["sex"].level == UNKNOWN


def test_columns_go_by_many_names():
    guesses, _ = ask(
        Manufacturer=["x", "y"] * 30, Gender=["F", "M", "M"] * 20, study_date=list(range(2000, 2060))
    )
    assert set(guesses) == {"equipment", "sex", "date"}
    assert guesses["equipment"].answer.auc == 1


def test_ages_are_compared_by_rank():
    guesses, _ = ask(age=[str(30 + 20 * (number % 2) + number / 10) for number in range(60)])
    assert guesses["age"].numbers["cliffs_delta"] == 1
    assert float(guesses["age"].numbers["medians"]["P"]) == pytest.approx(53, abs=0.2)


def test_an_age_that_only_one_label_has_gives_it_away():
    guesses, _ = ask(age=[np.nan, 50.0] * 30)
    assert guesses["age"].answer.auc == 1 and guesses["age"].numbers["medians"]["N"] == "unknown"


@pytest.mark.parametrize("date", ["2020-03-01", "20200301", "1 March 2020"])
def test_dates_in_many_forms_are_days(date):
    assert metadata._day(date) == 18322
    assert metadata._day("2020") == 2020 and np.isnan(metadata._day("")) and np.isnan(metadata._day("soon"))


def test_dates_are_said_as_dates_and_years_as_years():
    guesses, _ = ask(date=["2020-03-01", "20210704"] * 30)
    assert guesses["date"].says == "median N 2020-03-01, median P 2021-07-04"
    assert ask(year=["2019", "2020"] * 30)[0]["date"].says == "median N 2019, median P 2020"
    mixed = ask(date=["2020", "2020-03-01", "", "2021"] * 15)[0]["date"]
    assert mixed.says == "median N 2020-07-01, median P 2020-10-30"
    _, same = ask(date="2020-03-01 10:00")
    assert same["date"].evidence == "the same for all images: 2020-03-01"


def test_patients_on_two_sides_are_counted():
    cohort = made.table(20, split=["train", "train", "test", "test"] * 5)
    both, torn = metadata.patients_on_two_sides(cohort)
    assert (both.level, torn.level) == (GREEN, GREEN)
    cohort.loc[1, "patient_id"] = "p0"  # the other label
    cohort.loc[2, "patient_id"] = "p4"  # the other part
    both, torn = metadata.patients_on_two_sides(cohort)
    assert (both.level, both.numbers["examples"]) == (AMBER, ["p0"])
    assert (torn.level, torn.numbers["examples"]) == (RED, ["p4"])
    assert metadata.patients_on_two_sides(made.table(4))[1].level == UNKNOWN


def test_a_triage_needs_mild_disease():
    levels = ["", "Severe"] * 10
    assert metadata.severity(made.table(20)).level == UNKNOWN
    assert metadata.severity(made.table(20, severity=levels)).level == AMBER
    levels[1] = levels[3] = "Mild"
    assert metadata.severity(made.table(20, severity=levels)).level == GREEN
    assert metadata.severity(made.table(20, severity=levels[:4] + [""] * 16)).level == AMBER  # most ungraded
