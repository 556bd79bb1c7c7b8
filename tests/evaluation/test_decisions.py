import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from sdnet_lib.evaluation import decisions
from sdnet_lib.files import InputError
from tests.evaluation.made_predictions import by_chance, images_of


def test_brier_score_by_hand():
    assert decisions.brier_score(images_of("PN", [0.8, 0.4])) == pytest.approx((0.04 + 0.16) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_agrees_on_brier_score_and_bins(seed):
    images = by_chance(seed, steps=97)
    truth = images["label"] == "P"
    assert decisions.brier_score(images) == pytest.approx(brier_score_loss(truth, images["prob_P"]))
    found = decisions.reliability(images, draws=20)
    fraction, mean = calibration_curve(truth, images["prob_P"], n_bins=10)
    assert found["fraction_positive"].tolist() == pytest.approx(list(fraction))
    assert found["mean_prob"].tolist() == pytest.approx(list(mean))
    assert found["images"].sum() == len(images)


def test_calibration_error_by_hand():
    # Bin 0.2-0.3: mean 0.25, half positive. Bin 0.9-1: mean 0.95, all positive. The edges count in one bin.
    images = images_of("NPPP", [0.2, 0.3 - 1e-9, 0.9, 1.0])
    assert decisions.calibration_error(images) == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)


def test_the_calibration_error_is_the_mean_gap_of_the_reliability_table():
    images = by_chance(2)
    table = decisions.reliability(images, draws=20)
    gap = (table["mean_prob"] - table["fraction_positive"]).abs()
    assert decisions.calibration_error(images) == pytest.approx((gap * table["images"]).sum() / len(images))


def test_intervals_of_a_bin_hold_its_fraction():
    table = decisions.reliability(by_chance(2), draws=300)
    assert table["fraction_positive"].between(table["low"], table["high"]).all()
    assert (table["high"] - table["low"]).max() > 0.1


def test_predictive_values_by_hand():
    # Of 10 000 people 100 are ill; 90 of them test positive, and 990 of the healthy.
    ppv, npv = decisions.predictive_values(0.9, 0.9, 0.01)
    assert ppv == pytest.approx(90 / 1080) and npv == pytest.approx(8910 / 8920)


def test_a_test_that_is_never_positive_has_no_positive_predictive_value():
    ppv, npv = decisions.predictive_values(0.0, 1.0, 0.2)
    assert np.isnan(ppv) and npv == 0.8


def test_at_the_cohorts_own_prevalence_they_are_the_precisions():
    images = by_chance(3)
    truth, called = images["label"] == "P", images["called_P"] == 1
    row = decisions.predictive_table(images, [truth.mean()], draws=300).iloc[0]
    assert row["ppv"] == pytest.approx(truth[called].mean())
    assert row["npv"] == pytest.approx((~truth[~called]).mean())
    assert row["ppv_low"] < row["ppv"] < row["ppv_high"] and row["npv_low"] < row["npv"] < row["npv_high"]


def test_predictive_values_are_of_networks_not_of_averaged_probabilities():
    images = images_of("NNPP", [0.4, 0.4, 0.6, 0.6]).assign(called_P=[0.25, 0.25, 0.75, 0.75])
    row = decisions.predictive_table(images, [0.5], draws=20).iloc[0]
    assert row["ppv"] == 0.75 and row["npv"] == 0.75


def test_the_rarer_the_disease_the_less_a_positive_result_means():
    table = decisions.predictive_table(by_chance(3), draws=50)
    assert table["prevalence"].tolist() == [0.01, 0.05, 0.2, 0.5]
    assert table["ppv"].is_monotonic_increasing and table["npv"].is_monotonic_decreasing


@pytest.mark.parametrize("prevalence", [0, 1, 5])
def test_an_impossible_prevalence_is_refused(prevalence):
    with pytest.raises(InputError, match=f"prevalence {prevalence}: not between 0 and 1"):
        decisions.predictive_table(by_chance(3), [prevalence])


def test_net_benefit_by_hand():
    # From 0.25 on three act, two rightly; a needless act costs a third.
    table = decisions.net_benefit(images_of("PPNN", [0.9, 0.4, 0.25, 0.1]), steps=3).set_index("threshold")
    assert table.at[0.25, "model"] == pytest.approx(2 / 4 - 1 / 4 / 3)
    assert table.at[0.25, "treat_all"] == pytest.approx(2 / 4 - 2 / 4 / 3)
    assert table.at[0.5, "model"] == pytest.approx(1 / 4) and table.at[0.5, "treat_all"] == 0
    assert (table["treat_none"] == 0).all() and list(table.index) == [0.25, 0.5, 0.75]


def test_net_benefit_where_the_disease_is_rarer():
    table = decisions.net_benefit(images_of("PPNN", [0.9, 0.4, 0.25, 0.1]), prevalence=0.1, steps=3)
    assert table["model"][0] == pytest.approx(0.1 * 1 - 0.9 * 0.5 / 3)
    assert table["treat_all"][0] == pytest.approx(0.1 - 0.9 / 3)


def test_net_benefit_needs_both_classes():
    with pytest.raises(InputError, match="both classes"):
        decisions.net_benefit(images_of("NN", [0.1, 0.2]))
