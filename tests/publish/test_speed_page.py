"""The page about speed says what stored bench files hold, and what no file holds."""

import json

import pytest

from sdnet_lib.files import InputError
from sdnet_lib.publish import speed_page
from sdnet_lib.studies import bench
from sdnet_lib.studies.bench import measure


@pytest.fixture(scope="module")
def tiny() -> dict:
    """Two stages of a bench that is stored; `make long` makes one anew, page and all."""
    found = bench.read()[0]
    return found | {"stages": {name: found["stages"][name] for name in ("read", "predict")}}


def page(folder, **files: dict) -> str:
    for name, found in files.items():
        measure.store(found, folder / f"{name}.json")
    return speed_page.write(folder)


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_stored_file_is_a_section_with_its_numbers(tmp_path, tiny):
    text = page(tmp_path, here=tiny)
    assert f"## {tiny['machine']}" in text and tiny["date"] in text
    for name, row in tiny["stages"].items():
        found = cells(text, f"`{name}`")
        assert found[0] == f"`{name}`: {row['title']}" and found[-1] == row["plain_title"]
        assert found[1] == f"{row['images_per_second']:,.1f}" and found[5] == f"{row['plain']:,.1f}"
        assert found[6] == f"{row['ratio']:.1f}"


def test_what_a_file_lacks_is_named(tmp_path, tiny):
    missing = [name for name in bench.NAMES if name not in ("read", "predict")]
    assert f"Not measured here: {', '.join(f'`{name}`' for name in missing)}." in page(tmp_path, here=tiny)


def test_without_any_file_the_page_says_so(tmp_path):
    text = page(tmp_path)
    assert "No bench file is stored" in text and "Nothing here was run on a GPU" in text
    assert "No file is stored of T4, A100, H100." in text


def test_a_gpu_s_file_is_a_section_more_and_takes_the_warning_away(tmp_path, tiny):
    goal = {"what": "ResNet-50", "reached": 2500.0, "wanted": 2000, "unit": "images/s", "note": "made up"}
    parts = {"read": {"seconds": 1.0, "ended": "done"}, "book": {"seconds": 9.0, "ended": "its time was up"}}
    card = tiny | {"machine": "NVIDIA H100 80GB", "device": "cuda", "goals": [goal], "parts": parts}
    text = page(tmp_path, a=tiny, b=card)
    assert text.index(f"## {tiny['machine']}") < text.index("## NVIDIA H100 80GB")
    assert "Nothing here was run on a GPU" not in text and "No file is stored of T4, A100." in text
    assert cells(text, "ResNet-50") == ["ResNet-50", "2,500.0", "at least 2,000", "images/s", "made up"]
    assert "- `book` did not come to its end: its time was up" in text and "`read` did not" not in text


@pytest.mark.parametrize("content", ["no JSON", "[1]", json.dumps({"machine": "one", "device": "cpu"})])
def test_a_file_that_is_something_else_is_named(tmp_path, content):
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(InputError, match=r"odd\.json: not a file of sdnet bench"):
        speed_page.write(tmp_path)


def test_the_page_of_this_copy_can_be_written():
    assert speed_page.write().startswith("# How fast\n")
