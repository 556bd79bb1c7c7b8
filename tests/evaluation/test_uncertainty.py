import numpy as np
import pytest

from sdnet_lib.evaluation import curves, metrics, uncertainty
from tests.evaluation.made_predictions import study


def cells(table, name: str) -> list[str]:
    (row,) = [row for row in table.rows if row[0] == name]
    return row


def test_pairs_without_a_run_in_common_have_dashes_and_a_note_says_so():
    predictions = study(repeats=1)
    table = uncertainty.pairs(predictions[(predictions["approach"] != "mine") | (predictions["fold"] == 0)])
    assert [row[-1] == "–" for row in table.rows] == [False, True, True]
    assert table.notes == ["Each pair is compared on the runs that both have, 1 to 5."]


def test_holm_is_over_all_pairs():
    table = uncertainty.pairs(study(repeats=2))
    raw, adjusted = (np.array([float(row[k].strip("< ")) for row in table.rows]) for k in (-2, -1))
    assert len(table.rows) == 3 and (adjusted >= raw).all() and adjusted.max() <= 1 and not table.notes


def test_scores_leave_out_who_was_tested_on_one_class():
    predictions = study()
    positive = predictions["label"] == "P"
    found = uncertainty.scores(predictions[positive | (predictions["approach"] == "mine")])
    assert list(found) == ["mine"]
    assert found["mine"]["auc"] == curves.areas(curves.per_image(predictions)["mine"])["auc"]
    assert found["mine"]["single_low"] <= found["mine"]["single"] <= found["mine"]["single_high"]


def test_accuracies_and_areas_stand_side_by_side():
    predictions = study()
    row = cells(uncertainty.accuracies_and_areas(predictions), "COVID-SDNet")
    accuracy = metrics.per_run(predictions)["accuracy"]["covid-sdnet"].mean()
    area = uncertainty.scores(predictions)["covid-sdnet"]["auc"]
    assert row[1].startswith(f"{100 * accuracy:.2f} [") and row[2].startswith(f"{area:.3f} [")


def test_carried_networks_stand_beside_themselves_at_home():
    home, away = study(), study(n=40, everybody=True, seed=1)
    row = cells(uncertainty.carried(home, away), "COVID-SDNet")
    accuracy = [metrics.per_run(table)["accuracy"]["covid-sdnet"].mean() for table in (home, away)]
    assert row[5:7] == [f"{100 * value:.2f}" for value in accuracy]
    assert row[7].startswith(f"{uncertainty.scores(home)['covid-sdnet']['auc']:.3f} [")
    assert row[8].startswith(f"{uncertainty.scores(away)['covid-sdnet']['auc']:.3f} [")


def test_numbers_for_programs_are_those_of_the_cells():
    table = uncertainty.probabilities(study())
    numbers = table.numbers.set_index(["approach", "quantity"])
    assert len(numbers) == 3 * 4 and set(numbers["table"]) == {"probabilities"}
    auc = numbers.loc[("mine", "auc")]
    assert cells(table, "mine")[1] == f"{auc['mean']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    assert cells(table, "mine")[-1] == f"{numbers.at[('mine', 'brier_score'), 'mean']:.3f}"
    assert numbers.loc[("mine", "brier_score"), "low"] == pytest.approx(np.nan, nan_ok=True)
