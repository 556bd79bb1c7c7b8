import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sdnet_lib.data.splits import splits
from sdnet_lib.evaluation import metrics, statistics
from sdnet_lib.files import InputError
from tests.evaluation.made_predictions import one_run, study


def test_the_corrected_test_worked_by_hand():
    # Ten differences of 2 x 5 folds: five times 0 and five times 0.02, mean 0.01.
    found = statistics.corrected_t_test([0, 0.02] * 5, folds=5)
    variance = 10 * 0.01**2 / 9
    error = np.sqrt((1 / 10 + 1 / 4) * variance)
    assert found["mean"] == pytest.approx(0.01) and found["df"] == 9
    assert found["t"] == pytest.approx(0.01 / error) == pytest.approx(1.6036, abs=1e-4)
    assert found["p"] == pytest.approx(2 * stats.t.sf(0.01 / error, 9))
    reach = stats.t.ppf(0.975, 9) * error
    assert (found["low"], found["high"]) == pytest.approx((0.01 - reach, 0.01 + reach))


def test_without_shared_training_images_it_is_the_plain_test():
    values = np.random.default_rng(0).normal(0.1, 1, 25)
    found = statistics.corrected_t_test(values, folds=10**12)  # test images are next to none
    plain = stats.ttest_1samp(values, 0)
    assert (found["t"], found["p"]) == pytest.approx((plain.statistic, plain.pvalue))
    assert statistics.corrected_t_test(values, folds=5)["p"] > plain.pvalue


def test_more_repetitions_cannot_make_the_error_vanish():
    rng = np.random.default_rng(0)
    errors = [statistics.standard_error(rng.normal(size=5 * r), 5) for r in (2, 2000)]
    assert errors[1] == pytest.approx(np.sqrt(1 / 4), rel=0.05)


def test_the_corrected_test_keeps_its_level_where_the_plain_one_does_not():
    """Two models that are equally good: differences of runs share a part, as training sets do."""
    rng, folds, runs, common = np.random.default_rng(0), 5, 25, 1 / 5
    plain = corrected = 0
    for _ in range(400):
        values = np.sqrt(common) * rng.normal() + np.sqrt(1 - common) * rng.normal(size=runs)
        corrected += statistics.corrected_t_test(values, folds)["p"] < 0.05
        plain += stats.ttest_1samp(values, 0).pvalue < 0.05
    assert plain / 400 > 0.3 and corrected / 400 < 0.08


def test_differences_without_any_spread():
    same = statistics.corrected_t_test([0.0] * 10, 5)
    assert (same["t"], same["p"], same["low"], same["high"]) == (0, 1, 0, 0)
    always = statistics.corrected_t_test([-0.5] * 10, 5)
    assert always["t"] == -np.inf and always["p"] == 0


@pytest.mark.parametrize("values, folds", [([0.1], 5), ([0.1, 0.2], 1)])
def test_too_little_to_test(values, folds):
    with pytest.raises(InputError, match="a test needs at least two of both"):
        statistics.corrected_t_test(values, folds)


def test_holm_worked_by_hand():
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before), 0.5 * 1.
    assert statistics.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert statistics.holm([0.6, 0.7]) == pytest.approx([1, 1])


@pytest.mark.parametrize("seed", range(10))
def test_holm_rejects_exactly_what_its_stepwise_rule_rejects(seed):
    p = np.random.default_rng(seed).uniform(size=6) ** 3
    rejected = []
    for step, place in enumerate(np.argsort(p)):
        if p[place] > 0.05 / (len(p) - step):
            break
        rejected.append(place)
    assert set(np.flatnonzero(statistics.holm(p) <= 0.05)) == set(rejected)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return study(n=200, repeats=3)


def test_pairs_compare_run_by_run(predictions):
    found = statistics.pairwise(predictions)
    assert list(zip(found["first"], found["second"], strict=True)) == [
        ("covid-sdnet", "resnet50"),
        ("covid-sdnet", "mine"),
        ("resnet50", "mine"),
    ]
    accuracy = metrics.per_run(predictions)["accuracy"]
    by_hand = statistics.corrected_t_test((accuracy["covid-sdnet"] - accuracy["mine"]).to_numpy(), 5)
    assert found.iloc[1][list(by_hand)].to_dict() == pytest.approx(by_hand)
    assert by_hand["mean"] < -0.1  # the study's last approach is the best
    assert found["p_holm"].tolist() == pytest.approx(statistics.holm(found["p"]).tolist())


def test_pairs_by_another_measure_and_another_number_of_folds(predictions):
    found = statistics.pairwise(predictions, "sensitivity", folds=2)
    values = metrics.per_run(predictions)["sensitivity"]
    by_hand = statistics.corrected_t_test((values["resnet50"] - values["mine"]).to_numpy(), 2)
    assert found.iloc[2]["t"] == pytest.approx(by_hand["t"])


def test_a_pair_is_compared_on_the_runs_that_both_have(predictions):
    mine, run = predictions["approach"] == "mine", predictions[["repeat", "fold"]].apply(tuple, axis=1)
    found = statistics.pairwise(predictions[~mine | (run != (1, 3))])
    assert found["runs"].tolist() == [15, 14, 14]
    accuracy = metrics.per_run(predictions)["accuracy"].unstack("approach").drop(index=(1, 3))
    by_hand = statistics.corrected_t_test((accuracy["resnet50"] - accuracy["mine"]).to_numpy(), 5)
    assert found.iloc[2][list(by_hand)].to_dict() == pytest.approx(by_hand)


def test_a_pair_with_one_run_in_common_has_no_test_and_does_not_count(predictions):
    mine, run = predictions["approach"] == "mine", predictions[["repeat", "fold"]].apply(tuple, axis=1)
    found = statistics.pairwise(predictions[~mine | (run == (0, 0))])
    assert found["runs"].tolist() == [15, 1, 1]
    assert found["p"].isna().tolist() == found["p_holm"].isna().tolist() == [False, True, True]
    assert found["p_holm"][0] == found["p"][0]  # of one test


def test_other_images_in_a_run_are_refused_and_named(predictions):
    gone = (predictions["approach"] == "mine") & (predictions["repeat"] == 1) & (predictions["fold"] == 3)
    gone &= predictions["image_id"] == predictions.loc[gone, "image_id"].iloc[0]
    with pytest.raises(InputError, match=r"covid-sdnet and mine .* repeat 1, fold 3, image i0"):
        statistics.pairwise(predictions[~gone])


def test_other_folds_are_refused(predictions):
    other = study(approaches=["other"], n=200, repeats=3, seed=9)
    with pytest.raises(InputError, match="covid-sdnet and other were not tested on the same images"):
        statistics.pairwise(pd.concat([predictions, other]))


def test_the_order_of_rows_does_not_matter(predictions):
    shuffled = predictions.sample(frac=1, random_state=0)
    shuffled["approach"] = pd.Categorical(shuffled["approach"], predictions["approach"].unique())
    shuffled = shuffled.sort_values("approach").astype({"approach": str})
    pd.testing.assert_frame_equal(statistics.pairwise(shuffled), statistics.pairwise(predictions))


def test_an_undefined_measure_is_refused_and_named():
    runs = [one_run("NNPP", called, name, fold=fold) for name, called in (("a", "NNPP"), ("b", "NNNN"))
            for fold in (0, 1)]  # fmt: skip
    with pytest.raises(InputError, match="precision_P of b is undefined in repeat 0, fold 0"):
        statistics.pairwise(pd.concat(runs).assign(learned=True), "precision_P")


def test_one_approach_cannot_be_compared(predictions):
    with pytest.raises(InputError, match="one approach alone"):
        statistics.pairwise(predictions[predictions["approach"] == "mine"])


def test_intervals(predictions):
    found = statistics.intervals(predictions)
    values = metrics.per_run(predictions)["accuracy"]["resnet50"].to_numpy()
    by_hand = statistics.corrected_t_test(values, 5)
    assert list(found.index) == ["covid-sdnet", "resnet50", "mine"]
    assert found.loc["resnet50"].tolist() == pytest.approx([by_hand[key] for key in ("mean", "low", "high")])


def test_one_run_has_a_mean_but_no_interval():
    found = statistics.intervals(one_run("NNPP", "NPPP", fold=3)).loc["a"]
    assert found["mean"] == 0.75 and np.isnan(found[["low", "high"]].to_numpy(float)).all()
    never = statistics.intervals(one_run("NNPP", "NNNN"), "precision_P").loc["a"]
    assert np.isnan(never.to_numpy(float)).all()


def test_folds_are_counted_by_their_highest_number():
    assert statistics.folds_of(one_run("NP", "NP", fold=4)) == 5


def test_how_much_wider_intervals_are_if_the_validation_part_is_no_training():
    """By hand: 25 runs of 5 folds, 1/25 + .2/.8 against 1/25 + .2/.72."""
    by_hand = np.sqrt((0.04 + 0.2 / 0.72) / (0.04 + 0.25))
    assert statistics.validation_effect(25, 5) == pytest.approx(by_hand) == pytest.approx(1.047, abs=1e-3)


def test_the_splits_keep_the_fraction_that_the_ratio_assumes(make_cohort, tmp_path):
    part = splits(make_cohort(tmp_path, 100), 1, 5)[0]
    assert len(part.valid) / (len(part.train) + len(part.valid)) == pytest.approx(
        statistics.VALIDATION, abs=0.02
    )
