"""The shipped model: killed training goes on as if it had not been; what the card says is measured."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.evaluation import curves, thresholds
from sdnet_lib.explain import layers
from sdnet_lib.models import predictors
from sdnet_lib.studies import card as cards
from sdnet_lib.studies import final, model_file
from sdnet_lib.studies import synthetic_model as made

pytestmark = pytest.mark.long


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A few small patients, two short stages."""
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(made, "SIZE", 64)
    for name, images in (("LEARN", 36), ("CALIBRATE", 40), ("TEST", 40)):
        monkeypatch.setattr(made, name, getattr(made, name)._replace(images=images))
    monkeypatch.setattr(made, "STAGES", (made.Stage(32, 2, 1e-2), made.Stage(40, 1, 1e-2)))
    monkeypatch.setattr(made, "WATCHED", 4)


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(small, tmp_path, monkeypatch):
    whole = made.trained(tmp_path / "whole")[0].state_dict()
    kept = made.Kept.after_epoch

    def killed(callback):
        kept(callback)
        raise KeyboardInterrupt

    monkeypatch.setattr(made.Kept, "after_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        made.trained(tmp_path / "halves")
    monkeypatch.setattr(made.Kept, "after_epoch", kept)
    for _ in range(2):  # the second time nothing is left to do
        again = made.trained(tmp_path / "halves")[0].state_dict()
        assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_card_says_what_the_stored_model_does(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "SHIPPED", tmp_path / "models")
    model, file = made.make()
    read = model_file.read(file)
    part = made.drawn(made.TEST)
    answers = made.image_table(read.predictor, part, _pixels(read, part))
    assert np.allclose(answers["prob_P"], model.predictor.predict(_pixels(read, part))["prob_P"], atol=1e-4)
    for row in read.card["thresholds"]:
        assert row["found"] == thresholds.found(answers, row["threshold"])
    assert read.card["tested"]["auc"][0] == round(curves.areas(answers)["auc"], 3)
    assert read.card["maps"][0]["layer"] == layers.fine(read.predictor, read.image_size)
    assert read.card["limits"][0] == made.REMARK and "tested on 40 others" in final.summary(read, file)
    assert [stage["epochs"] for stage in read.card["training"]["stages"]] == [2, 1]


def _pixels(model, part):
    return read_pixels(part, model.image_size, model.approach.prepare)


def test_no_patient_is_in_two_parts(small):
    patients = [set(made.drawn(part)["patient_id"]) for part in (made.LEARN, made.CALIBRATE, made.TEST)]
    assert all(not one & other for one, other in combinations(patients, 2))


def test_calibrated_probabilities_come_true():
    """A network that is far too sure, and shifted, says what happens once it is calibrated."""
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[0.0] * 3, [20.0] * 3]))
        network[-1].bias.copy_(torch.tensor([0.0, -20.0]))
    pixels = np.repeat(rng.integers(0, 256, (4000, 1, 1), np.uint8), 4, 1).repeat(4, 2)
    chance = 1 / (1 + np.exp(-4 * (pixels[:, 0, 0] / 255 - 0.7)))
    labels = pd.Series(np.where(rng.random(4000) < chance, "P", "N"))
    predictor = predictors.Single(network)
    made.calibrate(predictor, pixels, labels)
    assert np.abs(predictor.predict(pixels)["prob_P"] - chance).max() < 0.05
