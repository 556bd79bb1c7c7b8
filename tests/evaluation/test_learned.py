import numpy as np
import pandas as pd
import pytest

from sdnet_lib.evaluation import curves, learned, report, statistics, tables
from tests.evaluation.made_predictions import one_run, study, write


def test_a_network_has_learned_if_it_beats_the_larger_class_on_what_it_learned_from():
    for labels, called, wanted in (
        ("NNNP", "NNNP", True),
        ("NNNP", "NNPP", False),  # as right as always N
        ("NNPP", "NNNN", False),
        ("PPPP", "PPPP", False),
        ("NNPP", "NNNP", True),
    ):
        assert learned.judge(one_run(labels, called))["learned"] is wanted, called
    assert learned.judge(one_run("NNNP", "NNNN")) == {
        "learned": False,
        "training_accuracy": 0.75,
        "majority": 0.75,
        "one_answer": True,
    }


@pytest.fixture
def mixed() -> pd.DataFrame:
    """Approach a: two runs have learned, one has not; b: none has."""
    runs = [
        one_run("NNPP", "NNPP", "a", fold=0).assign(learned=True),
        one_run("NNPP", "NNNN", "a", fold=1).assign(learned=True),  # one answer, but not in training
        one_run("NNPP", "PPPN", "a", fold=2).assign(learned=False),
        *(one_run("NNPP", "PPPP", "b", fold=fold).assign(learned=False) for fold in range(3)),
    ]
    return pd.concat(runs, ignore_index=True)


def test_runs_that_have_not_learned_are_counted_and_in_no_mean_curve_or_test(mixed):
    assert learned.count(mixed).loc["a"].tolist() == [3, 2] and learned.count(mixed).loc["b"].tolist() == [
        3,
        0,
    ]
    table = tables.table_5(mixed)
    assert table.at["a", ("accuracy", "mean")] == 0.75 and table.at["a", ("accuracy", "unlearned")] == 1
    assert np.isnan(table.at["b", ("accuracy", "mean")]) and table.at["b", ("accuracy", "unlearned")] == 3
    assert statistics.intervals(mixed).loc["a", "mean"] == 0.75
    assert np.isnan(statistics.intervals(mixed).loc["b", "mean"])
    assert list(curves.per_image(mixed)) == ["a"] and curves.per_image(mixed)["a"]["tests"].eq(2).all()
    assert len(curves.areas_of_runs(mixed)) == 2
    with pytest.raises(ValueError, match="with runs that have learned, cannot be compared"):
        statistics.pairwise(mixed)


def test_a_study_without_answers_to_training_images_counts_one_answer_to_all_tested_images(mixed):
    old = mixed.drop(columns="learned")
    assert learned.has_learned(old).groupby(old["fold"]).first().tolist() == [True, False, True]
    assert not learned.says_so(old) and learned.says_so(mixed)
    part = pd.concat([mixed[mixed["approach"] == "a"], old[old["approach"] == "b"]], ignore_index=True)
    assert learned.count(part)["learned"].tolist() == [2, 0] and not learned.says_so(part)


def test_a_report_prints_how_many_have_not_learned(mixed, tmp_path):
    text = report.report(write(mixed, tmp_path / "new"))
    assert "2, 1 not learned" in text and "0, 3 not learned" in text and learned.NOTE in text
    assert learned.STORED_NOTE not in text
    old = report.report(write(mixed.drop(columns="learned"), tmp_path / "old"))
    assert learned.STORED_NOTE in old
    assert learned.NOTE not in report.report(write(study(), tmp_path / "all"))


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "latex"])
@pytest.mark.parametrize("approaches", [["a"], ["resnet50"], ["covid-sdnet", "resnet50-crop", "fucitnet"]])
def test_a_report_of_runs_of_which_none_has_learned(tmp_path, form, approaches):
    runs = [one_run("NNPP", "PPPP", name, fold=fold) for name in approaches for fold in range(2)]
    made = write(pd.concat(runs, ignore_index=True).assign(learned=False), tmp_path / "runs")
    assert "2 not learned" in report.report(made, form="text")
    assert report.report(made, form=form, paper=True)


def test_a_study_with_hardly_a_run_that_has_learned_says_so(mixed):
    assert learned.too_few(mixed) == ""
    one = mixed.assign(learned=(mixed["approach"] == "a") & (mixed["fold"] == 0))
    assert learned.too_few(one) == "only 1 of 6 runs have learned"
