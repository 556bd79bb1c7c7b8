"""The budget of each chapter against what its cells take, in the smallest profile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdnet_lib.config import get_profile
from sdnet_lib.studies import budget

ROOT = Path(__file__).parents[2]
FACTOR = 1.5  # by which counted operations may differ from those of the budget
BESIDE = 0.8e9  # bytes of libraries, films and figures, which come on top of networks


def said() -> dict[str, budget.Cost]:
    profile = get_profile("smoke")
    return dict(budget.book(profile, budget.Setting.of(profile, mixed=False)))


@pytest.mark.long
@pytest.mark.parametrize("number", [f"{number:02}" for number in range(1, 11)])
def test_a_chapter_takes_what_the_budget_says(number, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.studies.chapter_cost", number],
        cwd=tmp_path / "run",
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "SDNET_CACHE": str(tmp_path / "cache"), "LOKY_MAX_CPU_COUNT": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found, cost = json.loads(done.stdout.splitlines()[-1]), said()[number]
    assert found["operations"] <= cost.operations * FACTOR
    assert found["memory"] <= budget.memory(cost, mixed=False) + BESIDE
    monkeypatch.setattr(budget, "MASKED", {})  # drawn films bring their masks where those of others are made
    assert found["operations"] >= said()[number].operations / FACTOR
