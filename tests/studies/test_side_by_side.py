"""How many runs share a GPU: on a CPU, with a memory of so many bytes and a card of straw."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdnet_lib.config import LITE0, get_profile
from sdnet_lib.models import batches, classifier, registry
from sdnet_lib.models.micro_batches import at_once
from sdnet_lib.studies import budget, crossval, side_by_side
from sdnet_lib.studies.operations import step
from sdnet_lib.studies.study import Study
from tests.models.memory import Limit

GB = 1e9


def looks(network, images):
    """As `PartsLearner` asks: a copy of the network, which leaves nothing changed."""
    return lambda count: copy.deepcopy(network)(images[:count])


@pytest.mark.long
@pytest.mark.parametrize("times, runs", [(2, 1), (3.5, 2), (6.1, 5)])
def test_runs_side_by_side_find_memory_for_whole_batches(times, runs, monkeypatch):
    """All networks, what their steps keep and their optimisers are there at once; nobody's parts shrink."""
    one = step("cnn", LITE0, 64, 16, False).memory
    assert side_by_side.fitting(times * one, one) == runs
    with Limit(times * one) as memory:
        monkeypatch.setattr(batches, "free_memory", memory.free)
        held = []
        for _ in range(runs):
            network = classifier.network(LITE0, "none", 2)[0].train()
            images = torch.rand(16, 3, 64, 64)
            assert at_once(looks(network, images), images) == 16
            held.append((torch.optim.Adam(network.parameters()), network(images)))
        for optimiser, answers in held:
            answers.square().mean().backward()
            optimiser.step()


@given(st.floats(1, 1e12), st.floats(1, 1e12), st.floats(1, 4))
def test_more_memory_or_a_faster_card_is_never_for_fewer(run, free, more):
    for rule, fewer, others in (
        (side_by_side.fitting, (free, run), (free * more, run)),
        (side_by_side.filling, (run, free), (run, free * more)),
    ):
        assert 1 <= rule(*fewer) <= rule(*others)
    assert side_by_side.fitting(free, run) == 1 or (side_by_side.fitting(free, run) + 1) * run <= free * 1.001


@pytest.fixture
def card(monkeypatch):
    """A function that pretends a GPU with so much free memory, of so many FLOP/s, beside so many cores."""

    def pretend(free: float, rate: float, cores: int = 64) -> None:
        monkeypatch.setattr(side_by_side, "pick_device", lambda: torch.device("cuda"))
        monkeypatch.setattr(batches, "free_memory", lambda _: free)
        monkeypatch.setattr(budget, "device", lambda: SimpleNamespace(rate=rate))
        monkeypatch.setattr(side_by_side, "cpu_count", lambda: cores)

    return pretend


@pytest.mark.long
def test_a_card_is_shared_where_one_run_cannot_fill_it(card, toy_cohort, tmp_path):
    study = Study(tmp_path, toy_cohort, get_profile("paper"))
    small = replace(study, profile=replace(get_profile("smoke"), backbone="resnet18"))
    t4, h100 = (budget.DEVICES[name].rate for name in ("T4", "H100"))
    card(80 * GB, h100)
    assert side_by_side.at_a_time(study, ["resnet50"]) > 1
    assert side_by_side.at_a_time(small, ["resnet50"]) > side_by_side.at_a_time(study, ["resnet50"])
    assert side_by_side.at_a_time(study, ["resnet50", "fucitnet"]) == 1  # whose step fills it
    card(15 * GB, t4)
    assert side_by_side.at_a_time(study, ["resnet50"]) == 1
    card(80 * GB, h100, cores=2)
    assert side_by_side.at_a_time(small, ["resnet50"]) == 2
    card(4 * GB, h100)
    assert side_by_side.at_a_time(small, ["resnet50"]) <= 2
    card(80 * GB, h100)
    for name in ("xrv-densenet121-probe", *side_by_side.UNCOUNTED):
        assert side_by_side.at_a_time(study, [name]) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, one in registry.APPROACHES.items()
        if not one.frozen and name not in side_by_side.UNCOUNTED
    ],
)
def test_the_size_of_each_approach_s_run_is_known(name):
    profile = replace(get_profile("smoke"), backbone="resnet18")
    own = replace(profile, image_size=registry.find(name).image_size)
    assert side_by_side.needed(name, own, 48) > budget.OVERHEAD
    assert budget.longest_step(name, own).operations > 1e9


def test_on_a_cpu_each_core_has_a_run(toy_cohort, tmp_path):
    study = Study(tmp_path, toy_cohort, get_profile("smoke"))
    assert side_by_side.at_a_time(study, ["resnet50"]) == crossval.default_jobs()
