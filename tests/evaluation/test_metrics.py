import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from sdnet_lib.evaluation import metrics
from sdnet_lib.files import InputError
from tests.evaluation.made_predictions import one_run, study


def measures_of(TN: int, FP: int, FN: int, TP: int) -> pd.Series:
    return metrics.measures(pd.DataFrame({"TN": [TN], "FP": [FP], "FN": [FN], "TP": [TP]})).iloc[0]


def test_the_papers_formulas_on_a_matrix_worked_by_hand():
    found = measures_of(TN=40, FP=10, FN=20, TP=30)
    expected = {
        "specificity": 40 / 50,
        "precision_N": 40 / 60,
        "f1_N": 2 * (2 / 3) * 0.8 / (2 / 3 + 0.8),
        "sensitivity": 30 / 50,
        "precision_P": 30 / 40,
        "f1_P": 2 * 0.75 * 0.6 / 1.35,
        "accuracy": 0.7,
    }
    assert list(found.index) == list(metrics.METRICS) == list(expected)
    assert found.to_dict() == pytest.approx(expected)


def test_what_was_never_predicted_has_no_precision():
    found = measures_of(TN=5, FP=0, FN=5, TP=0)
    assert np.isnan(found["precision_P"]) and np.isnan(found["f1_P"])
    assert found["sensitivity"] == 0 and found["accuracy"] == 0.5 and found["precision_N"] == 0.5


def test_what_was_never_tested_has_no_recall():
    found = measures_of(TN=0, FP=0, FN=1, TP=3)
    assert np.isnan(found["specificity"]) and np.isnan(found["f1_N"]) and found["precision_N"] == 0


def test_always_wrong_is_zero_not_undefined():
    found = measures_of(TN=0, FP=3, FN=4, TP=0)
    assert (found == 0).all()


def test_counts_and_ties():
    table = one_run("NNPPP", "NPPPN")
    table.loc[4, ["prob_N", "prob_P"]] = 0.5  # a tie goes to P
    counted = {"TN": 1, "FP": 1, "FN": 0, "TP": 3, "N_other": 0, "P_other": 0}
    assert metrics.confusion(table).loc[("a", 0, 0)].to_dict() == counted


def test_a_vote_for_a_third_class_is_an_error_for_either_and_no_vote_for_n_or_p():
    """The paper's way: recalls over all images of a class, precisions over those that were called so."""
    table = one_run("NNNPPPP", "NNPPPNN").assign(vote=["N", "Pneumonia", "P", "P", "P", "N", "Pneumonia"])
    found = metrics.per_run(table).iloc[0]
    assert found["specificity"] == pytest.approx(1 / 3) and found["sensitivity"] == pytest.approx(2 / 4)
    assert found["precision_N"] == pytest.approx(1 / 2) and found["precision_P"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(3 / 7)
    assert list(metrics.is_right(table)) == [True, False, False, True, True, False, False]
    both = pd.concat([table, one_run("NP", "NP", "without votes")], ignore_index=True)
    assert metrics.per_run(both).loc[("without votes", 0, 0), "accuracy"] == 1


def test_runs_come_in_the_order_of_the_table():
    runs = [one_run("NP", "NP", name, fold=fold) for name in ("z", "a") for fold in (1, 0)]
    assert list(metrics.per_run(pd.concat(runs)).index) == [
        ("z", 0, 1),
        ("z", 0, 0),
        ("a", 0, 1),
        ("a", 0, 0),
    ]


def test_scikit_learn_agrees_on_every_run():
    predictions = study(repeats=1)
    found = metrics.per_run(predictions)
    assert len(found) == 3 * 5
    for run, rows in predictions.groupby(["approach", "repeat", "fold"]):
        truth, called = rows["label"] == "P", rows["prob_P"] >= rows["prob_N"]
        for name, positive in (("P", True), ("N", False)):
            recall = "sensitivity" if positive else "specificity"
            assert found.at[run, f"precision_{name}"] == pytest.approx(
                precision_score(truth, called, pos_label=positive)
            )
            assert found.at[run, recall] == pytest.approx(recall_score(truth, called, pos_label=positive))
            assert found.at[run, f"f1_{name}"] == pytest.approx(f1_score(truth, called, pos_label=positive))
        assert found.at[run, "accuracy"] == pytest.approx(accuracy_score(truth, called))


@pytest.mark.parametrize("seed", range(20))
def test_scikit_learn_agrees_on_what_is_undefined(seed):
    rng = np.random.default_rng(seed)
    truth, called = ("".join(rng.choice(["N", "P"], 3, p=[0.8, 0.2])) for _ in range(2))
    found = metrics.per_run(one_run(truth, called)).iloc[0]
    for name, recall in (("N", "specificity"), ("P", "sensitivity")):
        options = {"pos_label": name, "zero_division": np.nan}
        referee = precision_score(list(truth), list(called), **options)
        assert found[f"precision_{name}"] == pytest.approx(referee, nan_ok=True)
        assert found[recall] == pytest.approx(recall_score(list(truth), list(called), **options), nan_ok=True)


LEVELS = ["Normal-PCR+", "Mild", "Mild", "Severe", ""]


def severity_runs() -> pd.DataFrame:
    """Two folds of one repetition; images of fold 1 are others than those of fold 0."""
    first = one_run("PPPPN", "NPNPP", severity=LEVELS)
    second = one_run("PPPPN", "PPPPN", fold=1, severity=["Normal-PCR+", "Mild", "Severe", "Severe", ""])
    return pd.concat([first, second.assign(image_id="j" + second["image_id"])], ignore_index=True)


def test_accuracy_by_level_pools_the_folds_of_a_repetition():
    found = metrics.by_severity(severity_runs())
    assert list(found) == ["Normal-PCR+", "Mild", "Severe"]
    assert found.loc[("a", 0)].tolist() == pytest.approx([1 / 2, 2 / 3, 1])


def test_accuracy_by_level_in_each_fold():
    found = metrics.by_severity(severity_runs(), "fold")
    assert found.loc[("a", 0, 0)].tolist() == [0, 0.5, 1] and found.loc[("a", 0, 1)].tolist() == [1, 1, 1]


def test_a_fold_without_a_level_has_no_accuracy_there():
    runs = severity_runs()
    found = metrics.by_severity(runs[~((runs["fold"] == 1) & (runs["severity"] == "Mild"))], "fold")
    assert np.isnan(found.at[("a", 0, 1), "Mild"]) and found.at[("a", 0, 0), "Mild"] == 0.5


@pytest.mark.parametrize("per, keys", [("repeat", ["repeat"]), ("fold", ["repeat", "fold"])])
def test_levels_of_many_approaches_are_not_mixed_up(per, keys):
    predictions = study(repeats=3, seed=1)
    found = metrics.by_severity(predictions, per)
    assert list(found.index.unique("approach")) == ["covid-sdnet", "resnet50", "mine"]
    for (run, level), rows in predictions.groupby(
        [pd.MultiIndex.from_frame(predictions[["approach", *keys]]), "severity"]
    ):
        if level:
            called = np.where(rows["prob_P"] >= rows["prob_N"], "P", "N")
            assert found.at[run, level] == pytest.approx((called == rows["label"]).mean())


def test_another_word_than_repeat_or_fold_is_an_error():
    with pytest.raises(InputError, match=r"per 'image': not one of repeat, fold"):
        metrics.by_severity(severity_runs(), "image")
