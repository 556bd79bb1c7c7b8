import numpy as np
import torch
from torch import nn

from sdnet_lib.models.fucitnet.approach import Fucitnet


class Shift(nn.Module):
    """A generator that brightens or darkens."""

    def __init__(self, by: float):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x + self.by


def test_the_decision_is_that_of_the_largest_answer_to_any_twin():
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    predictor = Fucitnet(Shift(0.5), Shift(-0.5), classifier)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)
    x = torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1) / 255
    with torch.no_grad():
        logits = torch.cat([classifier(x - 0.5), classifier(x + 0.5)], 1)
    assert torch.allclose(predictor.outputs(pixels), logits, atol=1e-5)
    columns = predictor.predict(pixels)
    decision = logits.argmax(1).numpy() % 2
    assert np.array_equal(columns["prob_P"] > 0.5, decision == 1) and 0 < decision.sum() < 300
    assert np.allclose(columns["prob_N"] + columns["prob_P"], 1)
    scores = predictor.scores(logits)
    assert np.array_equal(scores.argmax(1), decision)
