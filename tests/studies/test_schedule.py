from collections import deque
from dataclasses import replace

import pytest

from sdnet_lib.cli import book
from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError
from sdnet_lib.publish import cluster_page, plan
from sdnet_lib.studies import budget, chapters, cluster, schedule
from sdnet_lib.studies.cluster import queues
from sdnet_lib.studies.operations import Cost
from sdnet_lib.studies.study import Run

RUNS = [Run(name, 0, fold) for name in ("resnet50", "fucitnet", "covid-sdnet") for fold in range(5)]
SECONDS = {"resnet50": 2.0, "fucitnet": 7.0, "covid-sdnet": 3.0}


def took(run: Run) -> float:
    return SECONDS[run.approach]


@pytest.mark.parametrize("slots, expected", [(1, 60), (2, 31), (5, 12), (10, 10), (99, 10)])
def test_a_schedule_that_can_be_drawn_by_hand(slots, expected):
    waiting = queues(RUNS)
    assert schedule.makespan(waiting, took, slots) == expected
    assert sum(map(len, waiting)) == len(RUNS)  # and the queues are as they were


def test_runs_of_a_queue_never_overlap():
    waiting = [deque(RUNS)]
    assert schedule.makespan(waiting, took, 8) == sum(map(took, RUNS))


def test_hours_are_those_of_the_budget_and_no_gpu_does_more_than_it_can(monkeypatch):
    for name in ("step", "look", "generator_step"):  # whatever a network costs
        monkeypatch.setattr(budget, name, lambda *of: Cost(1e9 * len(str(of))))
    profile = replace(get_profile("full"), repeats=2)
    device = budget.device("T4")
    alone, works = schedule.hours("T4", 1, profile)
    counted = (
        budget.studies(profile, budget.Setting.of(profile, device.mixed)).operations / device.rate / 3600
    )
    assert alone == pytest.approx(works) == pytest.approx(counted)
    ends, same = schedule.hours("T4", 8, profile)
    assert same == works and works / 8 <= ends < alone


def test_the_page_has_the_hours_of_each_device(monkeypatch):
    monkeypatch.setattr(schedule, "hours", lambda device, gpus, profile: (80 / gpus, 72.0))
    page = " ".join(cluster_page.write().split())
    for device in budget.DEVICES:
        assert f"| {device} |" in page and f"- {device}: " in page
    assert page.count("| 80.0 | 90 | 10.0 | 90 |") == len(budget.DEVICES)
    assert f"{2 * 25 * len(chapters.approaches('paper'))} runs of ResNet-50 without segmentation, " in page


def test_the_long_studies_of_a_book_go_to_the_cluster(toy_cohort, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    monkeypatch.setattr(plan.course, "cohort_of", lambda *_: toy_cohort)
    asked = []
    monkeypatch.setattr(cluster, "run_study", lambda *given: asked.append(given))
    parameters = {"profile": "paper", "dataset": "phantom", "data": None, "seed": 0}
    plan.run_studies(parameters, None, ("auto", 0.5))
    assert [given[2:] for given in asked] == [("auto", 0.5)] * len(asked) and 1 <= len(asked) <= 2
    assert all(given[1] == chapters.approaches("paper") for given in asked)
    assert "study phantom-paper-0" in capsys.readouterr().out


def test_a_book_without_long_studies_needs_no_cluster():
    with pytest.raises(InputError, match="--ray: it goes with the profiles full and paper"):
        book.book(profile="quick", ray="auto")
