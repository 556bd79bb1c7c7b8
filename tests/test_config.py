"""Sizes, seeds and device."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdnet_lib import config
from sdnet_lib.files import InputError


def test_profiles_grow_in_order():
    sizes = [config.get_profile(name) for name in ("smoke", "quick", "full", "paper")]
    for field in ("images", "radiograph_size", "image_size", "epochs"):
        values = [getattr(size, field) for size in sizes]
        assert values == sorted(values), field


def test_the_paper_profile_is_the_paper_s_protocol():
    paper = config.get_profile("paper")
    assert (paper.images, paper.batch, paper.repeats, paper.folds, paper.backbone) == (
        852,
        16,
        5,
        5,
        "resnet50",
    )


def test_an_unknown_profile_names_the_choices():
    with pytest.raises(InputError, match="smoke, quick, full, paper"):
        config.get_profile("large")


def test_the_seed_repeats_all_three_generators():
    import random

    import numpy as np
    import torch

    draws = []
    for seed in (1, 1, 2):
        config.set_seed(seed)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[1], draws[2], strict=True))


def test_the_device_is_one_that_exists():
    import torch

    assert torch.zeros(1, device=config.pick_device()).item() == 0


def test_the_cache_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    assert config.cache_dir() == tmp_path
    monkeypatch.delenv("SDNET_CACHE")
    assert config.cache_dir() == Path.home() / ".cache" / "sdnet"


def test_no_home_is_one_line(monkeypatch):
    monkeypatch.delenv("SDNET_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("~no-such-user-at-all").expanduser())
    with pytest.raises(config.InputError, match="SDNET_CACHE"):
        config.cache_dir()


PAGES = """
import resource, torch
from sdnet_lib.config import one_thread

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.zeros(2**20) for _ in range(25)]  # 100 MiB
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with one_thread():
    pages()
    print([pages() for _ in range(6)][3:])
print(pages())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux hands out memory")
def test_a_step_of_a_training_finds_its_memory_again():
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    within, after = done.stdout.splitlines()
    assert max(json.loads(within)) < 1000 < int(after)  # of 25,600 of 4 KiB; at the end they went back
