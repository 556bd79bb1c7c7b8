"""The measurement for a GPU, on a CPU at the smallest size: all of its parts, their limits, and going on."""

import json
from dataclasses import replace

import pytest

from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError
from sdnet_lib.publish import speed_page
from sdnet_lib.studies import bench
from sdnet_lib.studies.bench import gpu, measure, parts

TINY = parts.Sizes(
    replace(get_profile("smoke"), image_size=32, batch=16, generator_backbone="resnet18", repeats=2),
    images=40,
    film=64,
    bench=(4, 2),
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
def test_a_chapter_is_built_and_its_minutes_are_noted(tmp_path):
    (goal,) = made("chapter", tmp_path / "place")["goals"]
    assert goal["what"] == "Chapter 02 in smoke" and 0 < goal["reached"] < 20 == goal["wanted"]
    assert (tmp_path / "place" / "book" / "html" / "index.html").exists()
