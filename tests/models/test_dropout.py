import numpy as np
import pytest
import torch

from sdnet_lib.models import dropout


def test_all_rows_lose_the_same_units_and_the_mean_of_many_passes_is_what_was_there():
    torch.manual_seed(0)
    features = torch.rand(3, 4) + 1
    passes = torch.stack([dropout.drop_units(features, 0.5) for _ in range(4000)])
    assert torch.equal(passes == 0, (passes[:, :1] == 0).expand(-1, 3, -1))
    assert torch.allclose(passes.mean(0), features, atol=0.1)


def test_uncertainty_of_images_and_of_the_network_are_kept_apart():
    torn = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]])  # all unsure; each sure of another
    found = dropout.summarise(torn)
    assert found.probabilities == pytest.approx(0.5)
    assert found.entropy == pytest.approx(np.log(2))
    assert found.information == pytest.approx([0, np.log(2)])
