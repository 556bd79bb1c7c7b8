"""What a bare machine with torch needs: the pinned packages but torch's own, in parts of a size."""

import re

import pytest

from sdnet_lib.studies.bench import wheels


def test_what_torch_brings_is_left_out():
    for name in (
        "torch==2.11.0",
        "torchvision==0.26.0",
        "triton==3.6.0",
        "nvidia-nccl-cu13==2.28.9",
        "cuda-toolkit==1",
    ):
        assert wheels.THERE.match(name)
    for name in ("fastai==2.8", "numpy==2", "torchmetrics==1"):
        assert not wheels.THERE.match(name)


def test_parts_stay_below_the_size_and_hold_everything_once(tmp_path):
    for number, size in enumerate([50, 60, 30, 40, 10, 99, 1]):
        (tmp_path / f"w{number}.whl").write_bytes(bytes(size))
    parts = wheels.split(tmp_path, 100)
    assert [part.name for part in parts] == [f"part-{n + 1}" for n in range(len(parts))] and len(parts) == 4
    assert all(sum(w.stat().st_size for w in part.iterdir()) < 100 for part in parts)
    names = [wheel.name for part in parts for wheel in part.iterdir()]
    assert sorted(names) == [f"w{n}.whl" for n in range(7)] and not list(tmp_path.glob("*.whl"))


def test_a_wheel_that_no_part_can_hold_is_named(tmp_path):
    (tmp_path / "large.whl").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"large\.whl alone"):
        wheels.split(tmp_path, 100)


def test_the_pins_that_stay_in_requirements_have_the_torch_of_that_machine():
    text = (wheels.ROOT / "requirements.txt").read_text()
    assert re.search(r"^torch==2\.11\.0", text, re.M) and re.search(r"^torchvision==0\.26\.0", text, re.M)
