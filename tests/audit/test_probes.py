import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from sdnet_lib.audit import probes
from sdnet_lib.files import InputError
from tests.audit import made


@pytest.fixture(scope="module")
def cohort():
    return made.table(100)


@pytest.fixture(scope="module")
def trial(cohort):
    return probes.trial(cohort, seed=0)


def test_names_become_columns_and_measures_ranks():
    table = pd.DataFrame({"word": ["a", "b", ""] * 10, "number": np.arange(30) ** 3})
    features = probes.encode(table)
    assert features.shape == (30, 1 + 2 + 3)
    assert set(np.unique(features[:, 1:3])) == {0, 1}
    rank = features[:, 3]
    assert (np.diff(rank) > 0).all() and np.allclose(np.diff(rank), np.diff(rank)[0])  # whatever the units
    assert np.allclose(features[:, 4], rank**2)


def test_a_measure_that_is_missing_is_a_name_of_its_own_and_a_rare_name_none():
    table = pd.DataFrame({"age": [np.nan, *range(20), np.nan], "tag": ["x"] * 20 + ["only", "once"]})
    features = probes.encode(table)
    assert features[0, 1] == 0 and list(features[:, 3]) == [1, *[0] * 20, 1]
    assert features.shape[1] == 1 + 3 + 1  # x and the others


def test_labels_are_permuted_labels_by_patient():
    patients = pd.Series([f"p{number // 2}" for number in range(40)])
    label = np.repeat([0.0, 1.0], 20)
    dealt = probes.permuted_labels(label, patients, 50, seed=1)
    assert (dealt.sum(axis=0) == 20).all()
    assert (dealt[::2] == dealt[1::2]).all()
    assert len({tuple(column) for column in dealt.T}) > 40


def test_an_area_is_that_of_scikit_learn_fold_by_fold():
    rng = np.random.default_rng(0)
    positive, score = rng.random(60) < 0.4, rng.integers(0, 5, 60).astype(float)
    folds = [np.arange(0, 25), np.arange(25, 60)]
    pairs = [int(positive[rows].sum() * (~positive[rows]).sum()) for rows in folds]
    each = [roc_auc_score(positive[rows], score[rows]) for rows in folds]
    expected = np.average(each, weights=pairs)
    found = probes.area(positive, score, folds, np.ones((1, 60)))
    assert found == pytest.approx([expected])
    assert probes.null_areas(positive[:, None].astype(float), score[:, None], folds) == pytest.approx(
        [expected]
    )


def test_a_weight_counts_an_image_so_often():
    positive, score = np.array([True, False, True, False]), np.array([3.0, 2.0, 1.0, 0.0])
    twice = np.repeat(np.arange(4), [2, 1, 1, 3])
    one = probes.area(positive, score, [np.arange(4)], np.array([[2, 1, 1, 3]]))
    assert one == pytest.approx([roc_auc_score(positive[twice], score[twice])])


def test_what_tells_the_label_is_found_and_noise_is_not(cohort, trial):
    label = (cohort["label"] == "P").to_numpy(float)
    plain = probes.probe(label[:, None], trial)
    assert plain.auc == 1 and plain.low == plain.high == 1 and plain.p < 1e-6
    quick = trial._replace(draws=20)
    noise = [np.random.default_rng(seed).normal(size=(100, 3)) for seed in range(60)]
    answers = [probes.probe(features, quick) for features in noise]
    assert all(abs(answer.chance - 0.5) < 0.05 for answer in answers)
    assert np.mean([answer.p < 0.05 for answer in answers]) < 0.15  # binomial: 9 of 60 have p 0.003
    assert min(answer.p for answer in answers) > 1e-4


def test_a_feature_of_two_values_gets_its_own_area(trial, cohort):
    """Pooled over folds it would get less, for models differ in what they make of it."""
    label = (cohort["label"] == "P").to_numpy()
    feature = np.where(label, np.arange(100) % 10 != 1, np.arange(100) % 10 == 0).astype(float)
    expected = roc_auc_score(label, feature)
    assert probes.probe(feature[:, None], trial).auc == pytest.approx(expected, abs=0.02)


def test_nothing_to_see_is_a_coin(trial):
    assert probes.probe(np.zeros((100, 2)), trial)[:3] == (0.5, 0.5, 0.5)


def test_what_only_goes_with_another_knows_nothing_where_that_is_the_same(trial, cohort):
    label = (cohort["label"] == "P").to_numpy(float)
    rng = np.random.default_rng(0)
    cause = np.where(rng.random(100) < 0.85, label, 1 - label)
    shadow, other = cause + 0.3 * rng.normal(size=100), label + 0.3 * rng.normal(size=100)
    area, p = probes.within(shadow, cause, trial)
    assert p > 0.01
    area, p = probes.within(other, cause, trial)
    assert area > 0.9 and p < 0.01
    assert probes.within(other, label, trial) == (0.5, 1.0)  # no stratum has both labels


def test_too_few_patients_are_refused_in_a_line():
    with pytest.raises(InputError, match="5 folds need 5 patients of each label"):
        probes.trial(made.table(6))
