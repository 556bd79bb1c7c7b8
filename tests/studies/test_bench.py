import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from sdnet_lib.studies import bench


@pytest.fixture(scope="module")
def found() -> dict:
    _large = np.ones(2**30, np.uint8)  # that this process is large must not hide what its children need
    return bench.compare(batch=4, image_size=32, steps=2, threads=1)


def test_ours_is_faster_with_the_same_losses(found):
    assert found["ratio"] > 1.2
    assert found["difference"] < 1e-3


def test_every_figure_is_there_and_plausible(found):
    assert (found["batch"], found["image_size"], found["peak_type"]) == (4, 32, "float32")
    assert found["peak"] > 1e8
    for name in ("ours", "plain"):
        row = found[name]
        assert row["images_per_second"] == pytest.approx(4 / row["seconds"])
        assert 0 < row["of_peak"] < 1.5 and row["memory"] > 2**20


def test_operations_are_those_of_the_cost_sheet(found):
    """Ours: both generators forward and backward, VGG three times forward and twice back, ResNet-18 at 64."""
    pixels = 4 * 32 * 32
    twins, vgg = 2 * 385_920 * pixels, 15.3e9 / 224**2 * pixels
    assert found["ours"]["flop"] / 2 == pytest.approx(3 * twins + 5 * vgg, rel=0.15)
    assert 2 < found["plain"]["flop"] / found["ours"]["flop"] < 4


def test_the_text_has_a_line_for_each_and_their_ratio(found, monkeypatch):
    monkeypatch.setattr(bench, "compare", lambda *_: found)
    lines = bench.fucitnet().splitlines()
    assert "4 images of 32 x 32" in lines[0]
    assert lines[2].startswith("ours ") and lines[3].startswith("image by image ")
    assert f"{found['ratio']:.1f} times as fast" in lines[4] and max(map(len, lines)) < 110


def test_a_failure_of_a_process_is_shown(monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="out of memory", stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: failed)
    with pytest.raises(RuntimeError, match=r"(?s)'ours' ended with 1:.*out of memory"):
        bench._in_a_process({"variant": "ours"})
