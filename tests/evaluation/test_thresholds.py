import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sdnet_lib.evaluation import thresholds
from tests.evaluation.made_predictions import by_chance, images_of


def test_a_threshold_by_hand():
    images = images_of("NNNNP", [0.1, 0.2, 0.3, 0.5, 0.05])
    assert thresholds.keeping(images, 0.75) == pytest.approx(0.4)
    assert thresholds.keeping(images, 0.5) == pytest.approx(0.25)
    assert thresholds.keeping(images, 0.9) is None, "four negatives cannot show one in ten"


@given(
    some.lists(some.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]), min_size=1, max_size=60),
    some.sampled_from([0.5, 0.9, 0.95]),
)
def test_the_specificity_is_kept_and_no_lower_negative_could_be_called(scores, specificity):
    images = images_of("N" * len(scores), scores)
    threshold = thresholds.keeping(images, specificity)
    allowed = (1 - specificity) * len(scores) + 1e-9
    if threshold is None:
        assert allowed < 1
        return
    assert (images["prob_P"] >= threshold).sum() <= allowed
    lower = images.loc[images["prob_P"] < threshold, "prob_P"].max()
    assert (images["prob_P"] >= lower).sum() > allowed or lower != lower


def test_whom_a_threshold_finds_by_severity():
    images = by_chance(0, n=200)
    level = np.where(images["label"] == "P", np.array(["Mild", "Severe"])[np.arange(200) % 2], "")
    images = images.assign(severity=level)
    found = thresholds.found(images, 0.6)
    for name, column in (("N", "label"), ("P", "label"), ("Mild", "severity"), ("Severe", "severity")):
        group = images.loc[images[column] == name, "prob_P"]
        fraction, low, high = found[name]["percent"]
        assert found[name]["images"] == len(group) and found[name]["called"] == (group >= 0.6).sum()
        assert fraction == pytest.approx(100 * (group >= 0.6).mean(), abs=0.05)
        assert low <= fraction <= high and low < high
    assert set(found) == {"N", "P", "Mild", "Severe"}


def test_the_table_chooses_on_one_part_and_counts_on_the_other():
    one, other = by_chance(1, n=400), by_chance(2, n=400)
    one, other = (pd.DataFrame(part).assign(severity="") for part in (one, other))
    for row in thresholds.table(one, other):
        assert row["threshold"] == thresholds.keeping(one, row["specificity"])
        assert row["found"] == thresholds.found(other, row["threshold"])
