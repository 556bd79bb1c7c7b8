"""The synthetic cohorts: made once, whole or not at all."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_scripts.registry import load_cohort
from sdnet_lib import config
from sdnet_lib.data.images import write_gray
from sdnet_lib.phantom import cohorts

ROOT = Path(__file__).parents[2]


def fake_phantom(monkeypatch, calls=None):
    """Put a maker of tiny cohorts in the place of the radiograph's physics."""

    def make(kind, n, seed, out, *, size):
        if calls is not None:
            calls.append((kind, n, seed, size))
        rows = []
        for number in range(n):
            file = out / "images" / f"i{number}.png"
            write_gray(file, np.random.default_rng(seed * 1000 + number).random((8, 8)))
            rows.append((f"i{number}", f"images/i{number}.png", "NP"[number % 2]))
        pd.DataFrame(rows, columns=["image_id", "file", "label"]).to_csv(out / "cohort.csv", index=False)

    for name in ("homogeneous", "biased", "pneumonia"):
        monkeypatch.setattr(cohorts, name, functools.partial(make, name))


def test_synthetic_cohorts_are_made_once(monkeypatch):
    calls = []
    fake_phantom(monkeypatch, calls)
    one = load_cohort("phantom", profile="smoke")
    pd.testing.assert_frame_equal(one, load_cohort("phantom", profile="smoke"))
    assert calls == [("homogeneous", 48, 0, 128)]
    load_cohort("phantom-biased", profile="smoke", seed=3)
    load_cohort("phantom-pneumonia", profile="smoke", seed=4)
    assert calls[1:] == [("biased", 48, 3, 128), ("pneumonia", 48, 4, 128)]


def test_an_interrupted_maker_leaves_nothing(monkeypatch):
    def interrupted(n, seed, out, *, size):
        (out / "cohort.csv").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(cohorts, "homogeneous", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_cohort("phantom", profile="smoke")
    assert list((config.cache_dir() / "phantom").glob("[!.]*")) == []


def test_two_processes_may_ask_at_once(tmp_path):
    asking = "from data_scripts.registry import load_cohort; cohort = load_cohort('phantom', profile='smoke')"
    program = [sys.executable, "-c", f"{asking}; print(len(cohort), cohort['file'].iloc[0])"]
    own = {"cwd": ROOT, "env": os.environ | {"SDNET_CACHE": str(tmp_path)}, "text": True}
    running = [subprocess.Popen(program, stdout=subprocess.PIPE, **own) for _ in range(2)]
    answers = [process.communicate()[0] for process in running]
    assert answers[0] == answers[1] and answers[0].startswith("48 ")
