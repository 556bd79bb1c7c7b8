"""The measurement for a GPU, on a CPU at the smallest size: all of its parts, their limits, and going on."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import psutil
import pytest

from sdnet_lib import children
from sdnet_lib.cli import main as cli
from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError
from sdnet_lib.publish import speed_page
from sdnet_lib.studies import bench, budget
from sdnet_lib.studies.bench import gpu, measure, parts

TINY = parts.Sizes(
    replace(get_profile("smoke"), image_size=32, batch=16, generator_backbone="resnet18", repeats=2),
    images=40,
    film=64,
    bench=(8, 2),
    epochs=1,
    book=("smoke", "02"),
)


def made(name, folder, limit=60.0):
    """Do a part in this process; return its last report."""
    folder.mkdir(exist_ok=True)
    parts.run(name, TINY, folder, limit)
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def test_every_part_has_its_time_and_all_have_what_is_promised():
    assert sum(gpu.SECONDS.values()) == 60 * gpu.MINUTES
    assert set(bench.NAMES) | set(parts.ROWS) < set(gpu.SECONDS)


def test_without_a_gpu_the_command_is_refused():
    with pytest.raises(InputError, match="no GPU here"):
        gpu.need()


def test_sizes_survive_the_way_to_a_process():
    for sizes in (TINY, parts.FULL):
        sent = json.loads(json.dumps(sizes._asdict() | {"profile": vars(sizes.profile)}))
        assert parts.Sizes.of(sent).profile == sizes.profile and list(parts.Sizes.of(sent).bench) == [
            *sizes.bench
        ]


@pytest.mark.long
def test_parts_that_end_that_fail_and_that_are_late_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "SECONDS", {"films": 600, "fit-many": 600, "row-crop": 0.5, "read": 600})
    monkeypatch.setattr(gpu, "LEAST", 0.1)
    file = tmp_path / "gpu.json"
    found = gpu.measure_all(file, tmp_path / "place", 50, TINY)
    assert {name: part["ended"] for name, part in found["parts"].items()} == {
        "films": gpu.DONE,
        "fit-many": "invalid literal for int() with base 10: 'many'",
        "row-crop": gpu.LATE,
        "read": gpu.DONE,
    }
    assert json.loads(file.read_text()) == found
    assert found["machine"] and set(found["stages"]) == {"read"}
    # another call does what is missing, and nothing else
    monkeypatch.setattr(gpu, "SECONDS", {"films": 600, "read": 600})
    monkeypatch.setattr(gpu, "_in_time", lambda *_: pytest.fail("done twice"))
    assert gpu.measure_all(file, tmp_path / "place", 50, TINY) == found
    assert "- `row-crop` did not come to its end: its time was up" in speed_page.write(tmp_path)


def test_when_the_time_is_over_the_rest_is_named(tmp_path):
    found = gpu.measure_all(tmp_path / "gpu.json", tmp_path / "place", 0, TINY)
    assert {part["ended"] for part in found["parts"].values()} == {gpu.SKIPPED}


def test_what_a_late_part_has_reported_is_kept_and_replaced_by_the_next_try(tmp_path):
    goal = parts._goal("a", 1.0, 2, "times", "first")
    found = {"stages": {}, "goals": [], "parts": {}}
    gpu._merge(found, "row-crop", {"goals": [goal]}, 9.0, gpu.LATE)
    gpu._merge(found, "row-crop", {"goals": [goal | {"reached": 3.0}]}, 9.0, gpu.DONE)
    assert [one["reached"] for one in found["goals"]] == [3.0] and found["parts"]["row-crop"][
        "ended"
    ] == gpu.DONE


@pytest.mark.long
@pytest.mark.parametrize("name", ["row-crop", "row-sdnet"])
def test_a_row_is_extrapolated_from_the_runs_that_were_done(name, tmp_path):
    (goal,) = made(name, tmp_path / "place", 1000)["goals"]
    assert goal["what"] == f"5 x 5 of {parts.ROWS[name][0]}" and goal["unit"] == "minutes"
    assert goal["note"].startswith("4 of 4 runs on 40 images, from random weights, ")
    (short,) = made(name, tmp_path / "place", 0)["goals"]  # no time: the first run, which is done, is counted
    assert short["note"].startswith("1 of 4 runs") and short["reached"] > 0


@pytest.mark.long
def test_fit_is_measured_beside_files_and_fp32(tmp_path):
    first, second = made("fit-16", tmp_path / "place")["goals"]
    assert first["what"] == "ResNet-50 in fit, 32 px, batches of 16" and first["unit"] == "images/s"
    assert second["unit"] == "times" and second["reached"] > 0 and "JPEG files" in second["note"]
    assert len(list((tmp_path / "place" / "jpeg").glob("*.jpg"))) == 40


@pytest.mark.long
def test_runs_side_by_side_are_timed_together(tmp_path):
    (goal,) = made("row-crop-side-by-side", tmp_path / "place")["goals"]
    assert goal["what"] == "5 x 5 of resnet50-crop, 2 at a time" and goal["reached"] > 0


def test_fucitnet_s_stage_is_a_goal_too(tmp_path, monkeypatch):
    row = {"plain_title": "image by image", "ratio": 9.0}
    monkeypatch.setattr(measure, "bench", lambda *_: {"stages": {"fucitnet": row}})
    (goal,) = made("fucitnet", tmp_path / "place")["goals"]
    assert (goal["reached"], goal["wanted"], goal["unit"]) == (9.0, 8, "times")


def test_a_chapter_that_cannot_be_built_says_why(tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    sizes = TINY._replace(book=("smoke", "99"))
    with pytest.raises(InputError, match="sdnet book ended with 2: .*99"):
        parts.chapter(tmp_path / "place", sizes, lambda _: None)


@pytest.mark.long
def test_each_part_fits_its_time_by_the_budget():
    """On a slow card the runs of a whole repeat do not; then the plan says so."""
    for name, late in (("H100", []), ("A100", []), ("T4", ["row-crop-side-by-side"])):
        lines = gpu.plan(budget.DEVICES[name]).splitlines()
        assert [line.split()[0] for line in lines[2:-1]] == list(gpu.SECONDS)
        assert lines[-1].split() == ["together", "at", "most", "1500"]
        assert [line.split()[0] for line in lines if "more than its time" in line] == late


FIRST = dict.fromkeys(["films", "phantom", "read"], 1200)  # all of them take a quarter of an hour
START = """
import sys
from pathlib import Path
from tests.studies import test_gpu
test_gpu.gpu.SECONDS = test_gpu.FIRST
test_gpu.gpu.measure_all(*map(Path, sys.argv[1:]), 300, test_gpu.TINY)
"""


@pytest.mark.long
def test_the_measurement_is_killed_on_its_way_and_goes_on(tmp_path, monkeypatch, capsys):
    """At the smallest size; the second call is that of a user, on a CPU that passes for a GPU."""
    file, place = tmp_path / "gpu.json", tmp_path / "place"
    first = subprocess.Popen(children.python(START, str(file), str(place)))
    while "films" not in (before := parts_of(file)):
        assert first.poll() is None
        time.sleep(0.2)
    while not (below := psutil.Process(first.pid).children(recursive=True)):  # between two parts
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert below and not psutil.wait_procs(below, timeout=20)[1]

    begun = []
    in_time = gpu._in_time
    monkeypatch.setattr(gpu, "_in_time", lambda name, *more: begun.append(name) or in_time(name, *more))
    monkeypatch.setattr(gpu, "SECONDS", FIRST)
    monkeypatch.setattr(gpu, "measure_all", partial(gpu.measure_all, sizes=TINY))
    monkeypatch.setattr(gpu, "need", lambda: None)
    command = ["sdnet", "maintain", "gpu", "-o", file, "--folder", place, "--minutes", 300]
    monkeypatch.setattr(sys, "argv", [*map(str, command)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().out
    assert not stop.value.code and said.startswith("on this machine's CPU, one thread, ")
    assert begun == [name for name in FIRST if name not in before]
    found = bench.read(tmp_path)[0]
    assert {name: part["ended"] for name, part in found["parts"].items()} == dict.fromkeys(FIRST, gpu.DONE)
    assert list(found["stages"]) == ["phantom", "read"]


def parts_of(file) -> dict:
    return json.loads(file.read_text())["parts"] if file.exists() else {}


@pytest.mark.long
def test_a_chapter_is_built_and_its_minutes_are_noted(tmp_path):
    (goal,) = made("chapter", tmp_path / "place")["goals"]
    assert goal["what"] == "Chapter 02 in smoke" and 0 < goal["reached"] < 20 == goal["wanted"]
    assert (tmp_path / "place" / "book" / "html" / "index.html").exists()
