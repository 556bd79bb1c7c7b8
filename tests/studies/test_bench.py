import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from sdnet_lib.files import InputError
from sdnet_lib.publish import speed_page
from sdnet_lib.studies import bench as benches
from sdnet_lib.studies.bench import fucitnet as bench
from sdnet_lib.studies.bench import measure, stages

pytestmark = pytest.mark.long


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
        # no upper bound: on a machine that others use, the product may have been slowed more than the step
        assert row["of_peak"] == pytest.approx(row["flop"] / row["seconds"] / found["peak"])
        assert row["memory"] > 2**20


def test_operations_are_those_of_the_cost_sheet(found):
    """Ours: both generators forward and backward, VGG three times forward and twice back, ResNet-18 at 64."""
    pixels = 4 * 32 * 32
    twins, vgg = 2 * 385_920 * pixels, 15.3e9 / 224**2 * pixels
    assert found["ours"]["flop"] / 2 == pytest.approx(3 * twins + 5 * vgg, rel=0.15)
    assert 2 < found["plain"]["flop"] / found["ours"]["flop"] < 4


def test_a_failure_of_a_process_is_shown(monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="out of memory", stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: failed)
    with pytest.raises(RuntimeError, match=r"(?s)'ours' ended with 1:.*out of memory"):
        bench._in_a_process({"variant": "ours"})


def test_each_stage_is_there_once():
    assert {*stages.STAGES, measure.FUCITNET} == set(benches.NAMES)
    with pytest.raises(InputError, match="unknown stage 'fly': choose from phantom, read"):
        measure.bench(["fly"])


def test_stages_are_measured_beside_their_plain_way(tmp_path):
    found = measure.bench(["read", "explain"], images=4, rounds=2)
    for name, row in found["stages"].items():
        assert row["ratio"] == pytest.approx(row["images_per_second"] / row["plain"])
        # memory that the process kept from before serves four images, too
        assert row["images_per_second"] > 0 and row["memory"] >= 0
        computes = name != "read"  # there torch computes little
        assert (row["of_flops"] > 0 and row["of_bytes"] > 0) == computes
    lines = measure.as_text(found).splitlines()[3:]
    for name, line in zip(found["stages"], lines, strict=False):
        assert line.startswith(f"{name} ") and line.endswith(stages.STAGES[name].plain_title)
    measure.store(found, tmp_path / "bench.json")
    assert f"## {found['machine']}" in speed_page.write(tmp_path)


@pytest.mark.parametrize("name", ["phantom", "crop", "classifier", "transform", "predict", "cv"])
def test_both_ways_of_a_stage_do_all_images(name, tmp_path, toy_cohort):
    for plain in (False, True):
        (tmp_path / str(plain)).mkdir()
        assert stages.prepare(name, plain, [toy_cohort], tmp_path / str(plain))(0) == len(toy_cohort)
