from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import classifier
from sdnet_lib.models.baselines import bayesian
from tests.models.baselines.eight_images import learn, size

TINY = Profile("tiny", 12, 32, 32, 16, 1, 1, 1, 2, "resnet18")
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 32, 32), np.uint8)


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    cohort = pd.DataFrame({"label": list("NP") * 6})
    network = bayesian.network(32, 2, "none")
    return bayesian.Predictor.of(
        classifier.learner(
            cohort, range(8), range(8, 12), profile=TINY, model=network, config=bayesian.CONFIG, pixels=PIXELS
        )
    )


def test_its_size_and_what_it_starts_from():
    network = bayesian.network(512, 4, "none")
    assert size(network) == 24_551_492 and size(network.body) == 23_500_352
    assert network.weights == "none"


def test_without_imagenet_s_weights_it_starts_from_random_ones(monkeypatch):
    monkeypatch.setattr(bayesian, "available_weights", lambda name, wanted: "none")
    assert bayesian.network(32).weights == "none"


def test_smaller_images_are_refused():
    with pytest.raises(InputError, match="31 pixels are too few"):
        bayesian.network(31, 2, "none")


def test_it_learns_eight_images():
    """At ten times the configuration's learning rate, which saves ten of fifteen steps."""
    torch.manual_seed(0)
    learn(bayesian.network(32, 2, "none"), replace(bayesian.CONFIG, lr=1e-3))


def test_passes_differ_but_their_mean_is_repeatable(predictor):
    state = torch.get_rng_state()
    first, again, other = (bayesian.predict(predictor, PIXELS, passes=20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert not np.allclose(first.probabilities, other.probabilities, atol=1e-4)
    assert first.probabilities.shape == (12, 2) and np.allclose(first.probabilities.sum(1), 1)
    assert (first.information > 0).all() and (first.information < first.entropy).all()


def test_one_pass_carries_no_information(predictor):
    assert bayesian.predict(predictor, PIXELS, passes=1).information == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match="at least one pass, not 0"):
        bayesian.predict(predictor, PIXELS, passes=0)


def test_an_image_s_prediction_does_not_depend_on_the_others(predictor):
    whole, part = (bayesian.predict(predictor, pixels, passes=5) for pixels in (PIXELS, PIXELS[3:4]))
    assert np.allclose(whole.probabilities[3], part.probabilities[0], atol=1e-4)
