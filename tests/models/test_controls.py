import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from sdnet_lib.config import LITE0, Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import cnn, controls, fusion, registry
from sdnet_lib.models.baselines import covidcaps
from sdnet_lib.models.fucitnet.approach import shared_generators
from sdnet_lib.models.fucitnet.twins import through
from sdnet_lib.models.task import Task
from tests.models.squares import squares

TINY = Profile("tiny", 64, 32, 32, 16, 2, 9, 1, 2, LITE0)
EQUAL = dataclasses.replace(TINY, budget="equal-steps")
DECIDED = ("covid-sdnet", "sdnet-plus", "sdnet-minus", "sdnet-mean")


@pytest.fixture
def task(tmp_path) -> Task:
    return squares(56, 48, TINY, tmp_path)


def test_tints_add_a_tenth_of_red_or_blue_and_copies_nothing():
    pixels = np.full((2, 8, 8), 51, np.uint8)  # a fifth
    plus, minus = through(controls.makers("tints"), pixels).transpose(1, 0, 2, 3, 4)[:, 0, :, 0, 0]
    assert np.allclose(plus, [0.3, 0.2, 0.2], atol=1e-3) and np.allclose(minus, [0.2, 0.2, 0.3], atol=1e-3)
    copies = through(controls.makers("copies"), pixels)
    assert np.array_equal(copies[:, 0], copies[:, 1]) and np.allclose(copies, 0.2, atol=1e-3)
    assert not list(controls.Tint(0).parameters())  # nothing of it is learned


@pytest.mark.long
def test_the_matched_control_makes_the_steps_of_covid_sdnet_and_the_plain_one_half_of_them(task):
    steps = {
        name: registry.find(name).fit(task)[1]["steps"]
        for name in ("resnet50-crop", "crop-matched", "twins-tinted", "twins-copied")
    }
    assert steps == {"resnet50-crop": 6, "crop-matched": 12, "twins-tinted": 12, "twins-copied": 12}


@pytest.mark.parametrize(
    "name", ["resnet50-crop", "crop-matched", "twins-tinted", "darkcovidnet", "covid-caps"]
)
def test_in_equal_steps_all_make_as_many_and_keep_the_best(task, name):
    notes = registry.find(name).fit(task._replace(profile=EQUAL))[1]
    assert notes["steps"] == 12 and notes["stopping"] == "best of all" and notes["steps_kept"] in (6, 12)


@pytest.mark.long
def test_in_equal_steps_generators_make_as_many_too(task):
    assert shared_generators(task._replace(profile=EQUAL)).origin["steps"] == 12


def test_no_batch_shows_batch_normalisation_fewer_than_16_images(task):
    for notes in (cnn.fit(task)[1], controls.fit(task, "tints")[1]):
        assert notes["batch"] * notes["views"] == 16
    with pytest.raises(InputError, match="a batch of 8 images: batch normalisation needs 16 or more"):
        cnn.fit(task._replace(profile=dataclasses.replace(TINY, batch=8)))


@pytest.mark.long
def test_whatever_decides_the_network_is_the_same_one(task):
    theta = None
    for name in DECIDED:
        predictor, notes = registry.find(name).fit(task)
        table = predictor.predict(task.pixels[:6])
        answers = fusion.answers(pd.DataFrame(table))
        theta = answers if theta is None else theta
        assert np.array_equal(answers, theta)
        expected = fusion.decide(*answers, notes["decision"])
        assert np.allclose(np.stack([table["prob_N"], table["prob_P"]], 1), expected)
        outputs = predictor.outputs(task.pixels[:6])
        scores = predictor.scores(outputs)
        assert torch.equal(scores[:, 1] >= scores[:, 0], torch.tensor(table["prob_P"] >= table["prob_N"]))
    assert json.dumps(notes)  # ready for the provenance


@pytest.mark.long
def test_a_damaged_network_of_an_earlier_run_is_trained_again(task, caplog):
    first, _ = registry.find("covid-sdnet").fit(task)
    (file,) = task.shared.parent.glob("*.twins.safetensors")
    file.write_bytes(b"damaged")
    again, _ = registry.find("covid-sdnet").fit(task)
    assert "it is made again" in caplog.text
    answers = (one.predict(task.pixels)["prob_P"] for one in (first, again))
    assert np.allclose(*answers)


def test_decisions_by_hand():
    theta, psi = np.array([[0.5, 0.1, 0.2, 0.2]]), np.array([[0.1, 0.0, 0.3, 0.6]])
    assert np.allclose(fusion.decide(theta, psi), [[0.6 / 1.1, 0.5 / 1.1]])
    assert np.allclose(fusion.decide(theta, psi, "plus"), [[0.2 / 0.7, 0.5 / 0.7]])
    assert np.allclose(fusion.decide(theta, psi, "minus"), [[0.6 / 0.7, 0.1 / 0.7]])
    assert np.allclose(fusion.decide(theta, psi, "mean"), [[0.65, 0.35]])
    with pytest.raises(InputError, match="psi, row 0: .*NaN"):
        fusion.decide(theta, psi * np.nan, "mean")


def test_every_control_says_what_it_lacks_and_is_compared():
    assert {"crop-matched", "twins-tinted", "twins-copied", *DECIDED[1:], "fucitnet"} <= set(
        registry.CONTROLS
    )
    for name in registry.CONTROLS:
        if name not in ("resnet50-crop", "fucitnet"):
            assert registry.find(name).lacks and registry.find(name).crops


def test_covid_caps_trains_to_its_recipe_s_end_in_any_profile(task, monkeypatch):
    config = covidcaps.CONFIG
    assert (config.epochs, config.whole, config.keep) == (100, True, "best of all")
    monkeypatch.setattr(covidcaps, "CONFIG", dataclasses.replace(config, epochs=4))
    small = dataclasses.replace(TINY, image_size=16, epochs=1, patience=1)
    notes = registry.find("covid-caps").fit(task._replace(pixels=task.pixels[:, ::2, ::2], profile=small))[1]
    assert (notes["epochs"], notes["steps"]) == (4, 12)
