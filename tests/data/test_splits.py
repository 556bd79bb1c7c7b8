"""Splits: a patient in one part, every level in each, the same whenever the seed is."""

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.data.cohort import SEVERITIES
from sdnet_lib.data.splits import matched_rows, matched_splits, splits
from sdnet_lib.files import InputError


def random_cohort(seed, images=None, levels=SEVERITIES):
    """Draw a cohort in memory: some patients have many images, a few with both labels."""
    generator = np.random.default_rng(seed)
    images = images or int(generator.integers(80, 250))
    label = generator.choice(["N", "P"], images, p=[0.4, 0.6])
    severity = np.where(label == "P", generator.choice(levels, images), "")
    patient = generator.integers(0, images * generator.uniform(0.5, 1), images)
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in generator.permutation(images)],
            "file": "",
            "label": label,
            "severity": severity,
            "patient_id": [f"p{number}" for number in patient],
            "source": "drawn",
            "view": "PA",
        }
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_patient_is_in_one_part_and_each_image_is_tested_once(seed):
    cohort = random_cohort(seed)
    patients = cohort["patient_id"].to_numpy()
    made = splits(cohort, repeats=2, folds=5, seed=seed)
    assert [(split.repeat, split.fold) for split in made] == [(r, f) for r in range(2) for f in range(5)]
    for split in made:
        parts = [set(patients[rows]) for rows in (split.train, split.valid, split.test)]
        assert all(parts) and sum(map(len, parts)) == len(set(patients))
        together = np.concatenate([split.train, split.valid, split.test])
        assert sorted(together) == list(range(len(cohort)))
    for repeat in range(2):
        tested = np.concatenate([split.test for split in made if split.repeat == repeat])
        assert sorted(tested) == list(range(len(cohort)))


@pytest.mark.parametrize("seed", range(3))
def test_each_part_has_its_fraction_of_every_level(seed):
    cohort = random_cohort(seed, images=400).assign(patient_id=lambda table: table["image_id"])
    strata = cohort["label"] + cohort["severity"]
    for split in splits(cohort, 1, 5, seed):
        for rows, fraction in ((split.test, 0.2), (split.valid, 0.08), (split.train, 0.72)):
            counts = strata.iloc[rows].value_counts()
            assert (abs(counts - strata.value_counts() * fraction) < 2.5).all()


def test_covidgrs_own_numbers():
    levels = np.repeat(SEVERITIES, (76, 100, 171, 79))
    cohort = random_cohort(0, images=852).assign(
        label=["N"] * 426 + ["P"] * 426,
        severity=[""] * 426 + list(levels),
        patient_id=lambda table: table["image_id"],
    )
    for split in splits(cohort, 1, 5):
        assert 168 <= len(split.test) <= 172 and 66 <= len(split.valid) <= 70
        assert abs((cohort["label"].iloc[split.test] == "P").mean() - 0.5) < 0.02


def test_same_seed_same_splits_and_another_for_another_repeat():
    cohort = random_cohort(0)
    one, two, other = (splits(cohort, 2, 5, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))
    np.testing.assert_array_equal(one[5].test, other[0].test)  # repeat r is drawn with seed + r
    assert not np.array_equal(one[0].test, one[5].test)


def test_the_order_of_the_rows_does_not_matter():
    cohort = random_cohort(1)
    mixed = cohort.sample(frac=1, random_state=0)
    for one, two in zip(splits(cohort, 1, 5), splits(mixed, 1, 5), strict=True):
        for a, b in zip(one[2:], two[2:], strict=True):
            assert set(cohort["image_id"].iloc[a]) == set(mixed["image_id"].iloc[b])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rare", [1, 2, 4])
def test_levels_with_few_patients_are_joined(rare):
    cohort = random_cohort(2, images=100, levels=["Mild"])
    positive = cohort.index[cohort["label"] == "P"]
    cohort.loc[positive[:rare], "severity"] = "Severe"
    cohort.loc[positive[rare : 2 * rare], "severity"] = "Moderate"
    assert len(splits(cohort, 1, 5)) == 5


@pytest.mark.filterwarnings("error")
def test_one_label_leaves_nothing_to_tell_apart():
    cohort = random_cohort(0).query("label == 'P'").reset_index(drop=True)
    with pytest.raises(InputError, match="there are 0 with label N"):
        splits(cohort, 1, 3)


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_what_is_not_refused_can_be_split(folds):
    for patients in range(1, 9):
        labels = ["N", "P"] * patients
        cohort = random_cohort(0, images=len(labels)).assign(
            label=labels, severity="", patient_id=lambda table: table["image_id"]
        )
        try:
            found = splits(cohort, 1, folds)
        except InputError as error:
            assert f"there are {patients} with label N" in str(error)  # the cohort's own counts
            assert patients < max(folds, 4)
            continue
        for split in found:
            for part in (split.train, split.valid, split.test):
                assert set(cohort["label"].iloc[part]) == {"N", "P"}


@pytest.mark.filterwarnings("error")
def test_a_very_small_cohort_can_be_split_in_two():
    cohort = random_cohort(0, images=8).assign(
        label=list("NNNNPPPP"), severity="", patient_id=lambda table: table["image_id"]
    )
    for split in splits(cohort, 1, 2):
        for rows in split[2:]:
            assert set(cohort["label"].iloc[rows]) == {"N", "P"}


@pytest.mark.parametrize(
    ("repeats", "folds", "message"),
    [
        (1, 30, "30 folds need 30 patients of each label"),
        (1, 1, "at least 1 repeat and 2 folds"),
        (0, 5, "at least 1 repeat and 2 folds"),
    ],
)
def test_splits_that_cannot_be(repeats, folds, message):
    with pytest.raises(InputError, match=message):
        splits(random_cohort(0, images=40), repeats, folds)


def test_matched_each_repetition_trains_and_tests_as_many_negatives_as_positives(make_cohort, tmp_path):
    cohort = make_cohort(tmp_path, 60)
    cohort = cohort[(cohort["label"] == "N") | (np.arange(60) % 3 == 0)].reset_index(drop=True)
    label = cohort["label"].to_numpy()
    positives = int((label == "P").sum())
    assert positives < (label == "N").sum()
    left_out = []
    for repeat in range(2):
        parts = [part for part in matched_splits(cohort, 2, 3, 5) if part.repeat == repeat]
        tested = np.concatenate([part.test for part in parts])
        assert (label[tested] == "N").sum() == (label[tested] == "P").sum() == positives
        for part in parts:
            rows = np.concatenate([part.train, part.valid, part.test])
            assert set(rows) == set(tested) and len(rows) == 2 * positives
        left_out.append(set(range(len(cohort))) - set(tested))
    assert left_out[0] != left_out[1]


def test_matching_does_not_depend_on_the_order_of_the_rows(make_cohort, tmp_path):
    cohort = make_cohort(tmp_path, 40).query("label == 'N' or index < 10").reset_index(drop=True)
    turned = cohort.iloc[::-1].reset_index(drop=True)
    kept, again = (set(c["image_id"].iloc[matched_rows(c, 1)]) for c in (cohort, turned))
    assert kept == again
