import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sdnet_lib.explain import saliency
from sdnet_lib.files import InputError
from sdnet_lib.models import probe, registry
from sdnet_lib.studies import model_file
from tests.models.squares import squares_of_patients


@pytest.fixture
def task(tmp_path):
    return squares_of_patients(32, 24, tmp_path)


def made(patients: int, copies: int, features: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Return features that know patients and no label: all images of a patient have the same."""
    rng, number = np.random.default_rng(0), np.repeat(np.arange(patients), copies)
    label = np.array(["NP"[k % 2] for k in range(patients)])
    cohort = pd.DataFrame(
        {"label": label[number], "patient_id": [f"p{k:02d}" for k in number], "severity": ""}
    )
    cohort["image_id"] = [f"i{k:03d}" for k in range(len(number))]
    return rng.normal(5, 3, (patients, features))[number], cohort


def test_it_is_scikit_learn_s_logistic_regression_on_standardised_features():
    features, cohort = made(40, 1, 12)
    found = probe.learn(features, cohort, 0)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=found.strength, max_iter=5000))
    expected = theirs.fit(features, cohort["label"]).decision_function(features)
    np.testing.assert_allclose(features @ found.weight + found.bias, expected, atol=1e-3)
    np.testing.assert_allclose(found.predict(features), theirs.predict_proba(features)[:, 1], atol=1e-4)


def test_c_is_chosen_on_patients_that_the_choice_has_not_seen():
    features, cohort = made(30, 4, 200)
    kept_together = probe.learn(features, cohort, 0).strength
    told_apart = probe.learn(features, cohort.assign(patient_id=cohort["image_id"]), 0).strength
    assert kept_together <= 1e-3 and told_apart >= 1  # who knows the patient trusts the features


def test_too_few_patients_have_a_fixed_c_and_the_run_says_so():
    features, cohort = made(4, 1, 5)
    found = probe.learn(features, cohort, 0)
    assert found.strength == probe.USUAL and found.chosen.startswith("fixed: 2 patients")


def test_lite0_learns_squares_and_the_same_numbers_come_again(task):
    predictor, notes = registry.find("lite0-probe").fit(task)
    columns = predictor.predict(task.pixels)
    unseen = columns["prob_P"][task.valid]
    assert unseen[1::2].min() > unseen[::2].max()
    assert (
        notes["weights"] == "imagenet" and notes["input"]["image_size"] == 224 and notes["features"] == 1280
    )
    again = registry.find("lite0-probe").fit(task)[0].predict(task.pixels)
    assert np.array_equal(again["prob_P"], columns["prob_P"])


def test_the_validation_part_decides_nothing(task):
    before = registry.find("lite0-probe").fit(task)[0].predict(task.pixels[:4])["prob_P"]
    task.pixels[task.valid] = 255 - task.pixels[task.valid]
    after = registry.find("lite0-probe").fit(task)[0].predict(task.pixels[:4])["prob_P"]
    assert np.array_equal(before, after)


def test_only_the_last_layer_is_learned(task):
    approach = registry.find("lite0-probe")
    trained, encoder = approach.fit(task)[0], probe.load("lite0")
    own = encoder.body.state_dict()
    kept = {name.removeprefix("1."): tensor for name, tensor in trained.network.state_dict().items()}
    assert all(kept[name].equal(tensor) for name, tensor in own.items())


def test_rounded_for_a_file_and_read_again_it_says_the_same(task):
    approach = registry.find("lite0-probe")
    predictor = approach.fit(task)[0]
    before = predictor.predict(task.pixels)["prob_P"]
    model_file.rounded(predictor)
    other = approach.build(task.profile)
    other.load_state_dict(predictor.state_dict())
    np.testing.assert_allclose(other.predict(task.pixels)["prob_P"], before, atol=0.01)


@pytest.mark.parametrize("method", ["grad-cam", "lrp", "occlusion"])
def test_maps_are_drawn_as_for_any_network(task, method):
    predictor = registry.find("lite0-probe").fit(task)[0]
    columns, maps = saliency.explained(predictor, task.pixels[1:2], method)
    assert maps.shape == (1, 2, 32, 32) and maps[0, 1].max() == pytest.approx(1)
    assert columns["prob_P"] == pytest.approx(predictor.predict(task.pixels[1:2])["prob_P"], abs=1e-3)


def test_random_weights_are_refused(task):
    with pytest.raises(InputError, match="--weights none: lite0 is frozen"):
        registry.check_start(["resnet50", "lite0-probe"], "none")
    blind = task._replace(profile=dataclasses.replace(task.profile, weights="none"))
    with pytest.raises(InputError, match="--weights none: lite0 is frozen"):
        registry.find("lite0-probe").fit(blind)
