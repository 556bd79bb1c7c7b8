import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from sdnet_lib.config import PROFILES, Profile
from sdnet_lib.evaluation import tables
from sdnet_lib.files import InputError
from sdnet_lib.models import fitting, predictors, registry

TABLE_5 = ("resnet50", "resnet50-crop", "fucitnet", "covid-sdnet", "covidnet", "covid-caps")
TINY = Profile("tiny", 24, 32, 32, 8, 1, 1, 1, 2, "tf_efficientnet_lite0")
SMALL = [name for name in registry.APPROACHES if name not in ("covidnet-small", "covidnet-large")]


@pytest.fixture
def task(tmp_path) -> fitting.Task:
    """Sixteen noisy squares, the positives brighter above."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(50, 100, (16, 32, 32), np.uint8)
    pixels[1::2, :16] += 120
    cohort = pd.DataFrame({"label": ["NP"[number % 2] for number in range(16)]})
    return fitting.Task(cohort, pixels, np.arange(12), np.arange(12, 16), TINY, 0, tmp_path / "r0f0", None)


def test_every_system_of_the_paper_s_tables_is_there():
    rows = set(TABLE_5) | {"darkcovidnet", "deepcovidexplainer", "bayesian-resnet50v2", "mobilenet"}
    assert rows <= set(registry.APPROACHES)
    assert {name for name in tables.NAMES if name != "covidnet-published"} == set(registry.APPROACHES)


def test_the_list_says_how_large_each_is_and_what_was_reported():
    lines = registry.describe(PROFILES["paper"]).splitlines()[1:]
    found = {line.split()[0]: line for line in lines}
    assert list(found) == list(registry.APPROACHES)
    assert found["covid-caps"].split()[1:3] == ["295,360", "224"]  # 295,488 with running means and variances
    assert found["darkcovidnet"].split()[1:3] == ["1,164,434", "256"] and "98.08" in found["darkcovidnet"]
    assert round(int(found["resnet50"].split()[1].replace(",", "")) / 1e6, 2) == 24.56
    assert "budget-matched" in found["covidnet"] and found["covidnet"].split()[2] == "480"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="unknown approach 'vgg': choose from resnet50, .*mobilenet"):
        registry.find("vgg")


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("covid-caps-")])
def test_each_learns_from_a_task_and_predicts_two_probabilities(task, name):
    predictor, said = registry.find(name).fit(task)
    told = predictor.predict(task.pixels[:5])
    assert np.allclose(told["prob_N"] + told["prob_P"], 1, atol=1e-5)
    assert all(len(column) == 5 for column in told.values()) and said
    alone = predictor.predict(task.pixels[3:4])
    if name != "bayesian-resnet50v2":  # whose dropout is drawn for a batch as a whole
        assert np.allclose(alone["prob_P"], told["prob_P"][3], atol=1e-3)


def test_the_twins_answers_stand_in_the_table(task):
    predictor, said = registry.find("covid-sdnet").fit(task)
    told = predictor.predict(task.pixels[:3])
    assert {"plus_P+", "minus_N-"} <= set(told) and said["generators"]["lambda"] in TINY.lambdas


def test_fucitnet_and_sdnet_share_generators_that_were_trained_once(task, monkeypatch):
    registry.find("fucitnet").fit(task)
    monkeypatch.setattr(fitting.fucitnet, "fit", None)
    registry.find("covid-sdnet").fit(task)
    other = task._replace(shared=task.shared.with_name("r0f1"))
    with pytest.raises(TypeError):
        registry.find("covid-sdnet").fit(other)


def test_published_weights_are_asked_for_by_name(task):
    for name in ("covid-caps-published", "covid-caps-retrained"):
        with pytest.raises(InputError, match=r"covidcaps/weights-improvement-binary-86\.h5 in --data"):
            registry.find(name).fit(task)


class Constant(torch.nn.Module):
    """A network that always gives the same probabilities."""

    def __init__(self, values: list[float]):
        super().__init__()
        self.register_buffer("outputs", torch.tensor(values).log())

    def forward(self, x):
        return self.outputs.expand(len(x), -1)


def test_an_ensemble_is_the_mean_of_its_members(task, monkeypatch):
    told = iter([0.2, 0.6])

    def fit(build, recipe, task):
        value = next(told)
        return predictors.Single(Constant([1 - value, value])), {}

    monkeypatch.setattr(fitting, "fit_rival", fit)
    predictor, said = fitting.fit_ensemble(task)
    assert predictor.predict(task.pixels[:1])["prob_P"] == pytest.approx(0.4) and len(said) == 2


def test_a_rival_trains_by_its_own_recipe(task):
    """DarkCovidNet has no early stopping: it trains as many epochs as the profile allows."""
    longer = task._replace(profile=dataclasses.replace(TINY, epochs=4, patience=1))
    assert registry.find("darkcovidnet").fit(longer)[1]["epochs"] == 4
