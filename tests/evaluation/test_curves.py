import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from sdnet_lib.evaluation import bootstrap, curves
from sdnet_lib.files import InputError
from tests.evaluation.made_predictions import by_chance, images_of, study


def test_images_are_averaged_over_the_runs_that_tested_them():
    predictions = study(repeats=3)
    tables = curves.per_image(predictions)
    assert list(tables) == ["covid-sdnet", "resnet50", "mine"]
    found = tables["mine"].set_index("image_id")
    assert len(found) == 120 and (found["tests"] == 3).all()
    rows = predictions[(predictions["approach"] == "mine") & (predictions["image_id"] == "i0017")]
    assert found.at["i0017", "prob_P"] == pytest.approx(rows["prob_P"].mean())
    assert found.at["i0017", "called_P"] == pytest.approx((rows["prob_P"] >= rows["prob_N"]).mean())
    assert found.at["i0017", "patient_id"] == "p8"
    assert found.at["i0017", "label"] == rows["label"].iloc[0]


def test_an_image_of_two_labels_is_refused():
    predictions = study(repeats=2)
    place = predictions.index[predictions["image_id"] == "i0003"][0]
    predictions.loc[place, "label"] = "P" if predictions.loc[place, "label"] == "N" else "N"
    with pytest.raises(InputError, match="image i0003: two patients, labels or severities"):
        curves.per_image(predictions)


def test_areas_of_a_case_worked_by_hand():
    found = curves.areas(images_of("PNPN", [0.9, 0.8, 0.7, 0.1]), draws=50)
    assert found["auc"] == 3 / 4
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@pytest.mark.parametrize("seed", range(10))
def test_scikit_learn_agrees_on_the_areas_also_with_ties(seed):
    images = by_chance(seed)
    truth, found = images["label"] == "P", curves.areas(images, draws=200, seed=seed)
    assert found["auc"] == pytest.approx(roc_auc_score(truth, images["prob_P"]))
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, images["prob_P"]))
    for name in curves.AREAS:
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_scikit_learn_agrees_on_the_areas_of_every_bootstrap_sample():
    images = by_chance(0, n=80)
    truth, score = (images["label"] == "P").to_numpy(), images["prob_P"].to_numpy()
    patients = images.index.to_series() // 4
    drawn = bootstrap.samples(patients, lambda weights: weights, 20)
    areas = curves._areas(*curves._cumulate(truth, score, drawn))
    for weights, found in zip(drawn, areas, strict=True):
        repeated = np.repeat(np.arange(80), weights)
        both = (roc_auc_score, average_precision_score)
        assert list(found) == pytest.approx([area(truth[repeated], score[repeated]) for area in both])


def test_the_interval_depends_on_the_seed_alone():
    images = by_chance(3)
    assert curves.areas(images, 100, 1) == curves.areas(images, 100, 1) != curves.areas(images, 100, 2)


def test_copies_of_an_image_are_no_further_witnesses():
    images = by_chance(1)
    copies = pd.concat([images] * 9, ignore_index=True)
    once, copied = curves.areas(images), curves.areas(copies)
    strangers = curves.areas(copies.assign(patient_id=range(len(copies))))
    widths = [found["auc_high"] - found["auc_low"] for found in (once, copied, strangers)]
    assert widths[0] == pytest.approx(widths[1]) and widths[2] < 0.5 * widths[1]


def test_samples_that_lack_a_class_are_left_out():
    found = curves.areas(images_of("NNNNNP", [0.1, 0.2, 0.3, 0.4, 0.5, 0.45]), draws=200)
    assert found["auc"] == 0.8 and 0 <= found["auc_low"] <= found["auc_high"] == 1


@pytest.mark.parametrize("function", [curves.areas, curves.roc, curves.precision_recall])
def test_one_class_has_no_curve(function):
    with pytest.raises(InputError, match="both classes"):
        function(images_of("PP", [0.2, 0.3]))


def test_areas_of_single_runs():
    predictions = study(repeats=2)
    found = curves.areas_of_runs(predictions)
    assert list(found.index.unique("approach")) == ["covid-sdnet", "resnet50", "mine"] and len(found) == 30
    for run, rows in predictions.groupby(["approach", "repeat", "fold"]):
        assert found[run] == pytest.approx(roc_auc_score(rows["label"] == "P", rows["prob_P"]))
    assert curves.areas_of_runs(predictions[predictions["label"] == "P"]).isna().all()


def test_the_roc_curve_goes_through_scikit_learns_points():
    images = by_chance(4)
    found = curves.roc(images, draws=200)
    x, y, _ = roc_curve(images["label"] == "P", images["prob_P"], drop_intermediate=False)
    assert found["false_positive_rate"].tolist() == pytest.approx(list(x))
    assert found["sensitivity"].tolist() == pytest.approx(list(y))
    inside = found["sensitivity"].between(found["low"], found["high"])
    assert inside.mean() > 0.8 and (found["high"] - found["low"]).max() > 0.05


def test_precision_and_recall_are_scikit_learns():
    images = by_chance(5)
    found = curves.precision_recall(images, draws=200)
    precision, recall, _ = precision_recall_curve(images["label"] == "P", images["prob_P"])
    best = pd.Series(precision).groupby(recall).max().drop(0)  # where a recall is first reached
    assert found["recall"].tolist() == pytest.approx(list(best.index))
    assert found["precision"].tolist() == pytest.approx(best.tolist())
    assert found["recall"].iloc[-1] == 1
    assert found["precision"].between(found["low"], found["high"]).mean() > 0.8


def test_bands_survive_samples_without_positives():
    images = images_of("NNNNNP", [0.1, 0.2, 0.3, 0.4, 0.5, 0.45])
    for band in (curves.precision_recall(images, 100), curves.roc(images, 100)):
        assert band.notna().all(axis=None) and (band["low"] <= band["high"]).all()


def test_runs_that_have_not_learned_have_no_area_and_break_nothing():
    """Not one has learned in a smoke study of COVID-Net, say."""
    table = study().assign(learned=False)
    assert list(curves.areas_of_runs(table.assign(learned=True)).index.names) == [
        "approach",
        "repeat",
        "fold",
    ]
    found = curves.areas_of_runs(table)
    assert found.empty and found.dtype == float and list(found.index.names) == ["approach", "repeat", "fold"]
