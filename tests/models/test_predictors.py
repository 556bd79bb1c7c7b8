import numpy as np
import pytest
import torch

from sdnet_lib.models import predictors


class Constant(torch.nn.Module):
    """A network that always gives the same probabilities."""

    def __init__(self, values: list[float]):
        super().__init__()
        self.register_buffer("outputs", torch.tensor(values).log())

    def forward(self, x):
        return self.outputs.expand(len(x), -1)


def test_an_ensemble_is_the_mean_of_its_members():
    members = [predictors.Single(Constant([1 - value, value])) for value in (0.2, 0.6)]
    ensemble = predictors.Single(predictors.Mean(members))
    columns = ensemble.predict(np.zeros((1, 32, 32), np.uint8))
    assert columns["prob_P"] == pytest.approx(0.4) and columns["prob_N"] == pytest.approx(0.6)


def test_scores_are_the_outputs_of_n_and_p_wherever_they_are():
    three = predictors.Single(Constant([0.2, 0.5, 0.3]), places=(0, 2))
    scores = three.scores(three.outputs(np.zeros((2, 32, 32), np.uint8)))
    assert torch.allclose(scores.exp(), torch.tensor([[0.2, 0.3]] * 2))
