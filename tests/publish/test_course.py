"""What a notebook calls first and last."""

import re
import subprocess
import sys

import pytest

from sdnet_lib import config
from sdnet_lib.files import InputError
from sdnet_lib.publish import course


def test_start_seeds_and_returns_the_profile(capsys):
    import numpy as np
    import torch

    draws = []
    for _ in range(2):
        settings = course.start("smoke", 3)
        draws.append((np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    assert settings is config.PROFILES["smoke"]
    assert "profile smoke, seed 3, device" in capsys.readouterr().out


def test_an_unknown_profile_is_refused():
    with pytest.raises(InputError, match="unknown profile 'big': choose one of smoke, quick, full, paper"):
        course.start("big")


def test_finish_says_when_on_what_and_with_which_versions(capsys):
    course.start("quick", 5)
    course.finish()
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"\d{4}-\d\d-\d\d, \d+\.\d min on (cpu|cuda), Python 3\.", line)
    for part in ("sdnet-lib", "torch", "fastai", "profile quick, seed 5"):
        assert part in line


def test_glue_stores_a_value_for_the_prose(monkeypatch):
    import myst_nb

    stored = []
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: stored.append((name, value, display)))
    course.glue("c1_accuracy", "97 %")
    assert stored == [("c1_accuracy", "97 %", False)]


def test_glue_does_nothing_where_there_is_no_book():
    check = (
        "import sys; sys.modules['myst_nb'] = None\nfrom sdnet_lib.publish import course\ncourse.glue('a', 1)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
