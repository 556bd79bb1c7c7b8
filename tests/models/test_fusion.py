import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import classifier, fusion

P_PLUS, P_MINUS, N_PLUS, N_MINUS = range(4)


def peaked(position: int, height: float) -> np.ndarray:
    """A softmax answer with its peak at one class."""
    answer = np.full(4, (1 - height) / 3)
    answer[position] = height
    return answer


def by_hand(theta: np.ndarray, psi: np.ndarray) -> str:
    """The paper's rule for one image, word for word."""
    names = ("P+", "P-", "N+", "N-")
    if names[theta.argmax()] == "N+" and names[psi.argmax()] == "N-":
        return "N"
    if names[theta.argmax()] == "P+" and names[psi.argmax()] == "P-":
        return "P"
    negative = max(theta[2], theta[3], psi[2], psi[3])
    return "N" if negative > max(theta[0], theta[1], psi[0], psi[1]) else "P"


def decision(theta: np.ndarray, psi: np.ndarray) -> list[str]:
    return ["P" if p >= n else "N" for n, p in fusion.fuse(theta, psi)]


@pytest.mark.parametrize("first, second", list(itertools.product(range(4), range(4))))
@pytest.mark.parametrize("heights", [(0.7, 0.6), (0.6, 0.7)])
def test_all_sixteen_pairs_of_peaks(first, second, heights):
    theta, psi = peaked(first, heights[0])[None], peaked(second, heights[1])[None]
    label, case = fusion.rule(theta, psi)
    expected_case = {(N_PLUS, N_MINUS): "a", (P_PLUS, P_MINUS): "b"}.get((first, second), "c")
    winner = first if heights[0] > heights[1] else second
    expected = {"a": "N", "b": "P", "c": "P" if winner in (P_PLUS, P_MINUS) else "N"}[expected_case]
    assert (label[0], case[0]) == (expected, expected_case)
    assert decision(theta, psi) == [expected] == [by_hand(theta[0], psi[0])]


def test_one_comparison_is_the_rule_in_three_cases():
    theta, psi = np.random.default_rng(0).dirichlet(np.ones(4) / 2, (2, 100_000))
    label, case = fusion.rule(theta, psi)
    assert np.array_equal(label, decision(theta, psi))
    assert set(case) == {"a", "b", "c"}
    assert [by_hand(*pair) for pair in zip(theta[:500], psi[:500], strict=True)] == list(label[:500])


def test_ties_go_to_the_positive():
    equal = np.full((1, 4), 0.25)
    tie = np.array([[0.4, 0.1, 0.4, 0.1]])
    for theta, psi in ((equal, equal), (tie, tie), (tie, tie[:, ::-1])):
        assert list(fusion.rule(theta, psi)[0]) == ["P"] == decision(theta, psi)
        assert np.allclose(fusion.fuse(theta, psi), 0.5)


def test_probabilities_are_the_largest_values_divided_by_their_sum():
    theta, psi = np.array([[0.5, 0.2, 0.2, 0.1]]), np.array([[0.1, 0.1, 0.2, 0.6]])
    assert np.allclose(fusion.fuse(theta, psi), [[0.6 / 1.1, 0.5 / 1.1]])


def test_what_is_no_probability_is_refused():
    good, bad = np.full((2, 4), 0.25), np.full((2, 4), 0.25)
    bad[1, 2] = np.nan
    with pytest.raises(InputError, match="psi, row 1: .*NaN"):
        fusion.fuse(good, bad)
    with pytest.raises(InputError, match="theta, row 0"):
        fusion.rule(-good, good)
    with pytest.raises(InputError, match=r"psi: shape \(1, 4\)"):
        fusion.fuse(good, good[:1])
    with pytest.raises(InputError, match=r"theta: shape \(2, 3\)"):
        fusion.fuse(good[:, :3], good[:, :3])


def test_answers_come_back_from_a_prediction_table():
    theta, psi = np.random.default_rng(1).dirichlet(np.ones(4), (2, 5))
    table = pd.DataFrame(fusion.columns(theta, psi))
    assert list(table.columns[2:4]) == ["plus_P+", "plus_P-"]
    for given, found in zip((theta, psi), fusion.answers(table), strict=True):
        assert np.array_equal(given, found)
    assert np.array_equal(table[["prob_N", "prob_P"]], fusion.fuse(theta, psi))


def test_targets_are_the_paper_s_relabelling():
    classes = np.array(fusion.CLASSES)[fusion.targets(["P", "N"])]
    assert classes.tolist() == [["P+", "P-"], ["N+", "N-"]]


def test_both_twins_pass_through_the_same_network_in_order():
    single = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # says the mean of each channel
    pair = torch.arange(12.0).reshape(2, 6, 1, 1).expand(2, 6, 5, 4)
    assert fusion.TwinNetwork(single)(pair).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


TINY = Profile("tiny", 32, 32, 32, 16, 16, 16, 1, 2, "resnet10t")


@pytest.fixture(scope="module")
def study():
    """24 images whose class is the brighter half, and twins that say more: x+ brighter, x- darker."""
    rng = np.random.default_rng(0)
    labels = ["NP"[number % 2] for number in range(24)]
    plain = rng.uniform(0.3, 0.5, (24, 32, 32))
    plain[1::2, :16] += 0.3
    twins = np.repeat(np.stack([plain + 0.1, plain - 0.1], 1)[:, :, None], 3, 2).astype(np.float16)
    return pd.DataFrame({"label": labels}), twins


def test_a_twin_network_learns_four_classes_and_the_fusion_decides(study):
    cohort, twins = study
    learner = fusion.learner(cohort, twins, range(16), range(16, 20), profile=TINY, weights="none")
    assert learner.dls.train.bs == 8 and learner.dls.train.one_batch()[0].shape == (8, 6, 32, 32)
    classifier.fit(learner, TINY, lr=0.02)
    theta, psi = fusion.predict(learner, twins[20:])
    assert theta.shape == psi.shape == (4, 4)
    assert np.allclose(theta.sum(1), 1, atol=1e-5)
    assert decision(theta, psi) == cohort["label"][20:].tolist()


def test_twins_are_changed_alike(study):
    cohort, twins = study
    same = np.repeat(twins[:, :1], 2, 1)
    learner = fusion.learner(cohort, same, range(16), range(16, 20), profile=TINY, weights="none")
    batch = learner.dls.train.one_batch()[0]
    assert torch.allclose(batch[:, :3], batch[:, 3:], atol=1e-5)
