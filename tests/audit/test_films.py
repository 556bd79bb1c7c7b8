import dataclasses

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sdnet_lib.audit import films
from sdnet_lib.data.images import ImageError, write_gray
from sdnet_lib.phantom.acquisition import SITES, stamp
from tests.audit import made


def facts(image, lungs, tmp_path):
    file = tmp_path / "film.png"
    write_gray(file, image)
    return films.facts(str(file), image, lungs)


def ink(image, **what):
    site = dataclasses.replace(SITES["A"], **{"marker": "", "text": ""} | what)
    return stamp(image, site, np.random.default_rng(0))


def ink_by_zone(found):
    return {
        name.removeprefix("marker "): value for name, value in found.items() if name.startswith("marker ")
    }


def test_every_group_has_its_facts(tmp_path):
    found = facts(*made.film(), tmp_path)
    for group in set(films.GROUPS) - {"header"}:  # a plain PNG has no tags
        assert any(name.startswith(f"{group} ") for name in found), group
    assert all(any(name.startswith(f"{group} ") for group in films.GROUPS) for name in found)


@pytest.mark.parametrize("at, zone", [((0.07, 0.08), "top left"), ((0.84, 0.05), "top right")])
def test_a_marker_is_found_where_it_stands(at, zone, tmp_path):
    image, lungs = made.film()
    before = ink_by_zone(facts(image, lungs, tmp_path))
    after = ink_by_zone(facts(ink(image, marker="R", marker_at=at), lungs, tmp_path))
    assert after[zone] > before[zone] + 0.2
    assert {name: value for name, value in after.items() if name != zone} == {
        name: value for name, value in before.items() if name != zone
    }


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_border_is_measured_and_moves_nothing_else_much(grey, tmp_path):
    image, lungs = made.film()
    before = facts(image, lungs, tmp_path)
    framed = image.copy()
    framed[:, :5] = framed[:8] = grey
    found = facts(framed, lungs, tmp_path)
    assert before["border left"] == 0 and found["border right"] == found["border bottom"] == 0
    assert found["border left"] == pytest.approx(5 / 96, abs=0.012)
    assert found["border top"] == pytest.approx(8 / 96, abs=0.012)
    assert found["border grey"] == pytest.approx(grey, abs=0.02)
    assert ink_by_zone(found) == ink_by_zone(before)
    assert found["grey levels 50%"] == pytest.approx(before["grey levels 50%"], abs=0.02)


def test_a_display_curve_moves_grey_levels_and_not_sharpness(tmp_path):
    image, lungs = made.film()
    before, after = (facts(picture, lungs, tmp_path) for picture in (image, image**0.7))
    assert after["grey levels 50%"] > before["grey levels 50%"] + 0.05
    assert after["sharpness fine"] == pytest.approx(before["sharpness fine"], abs=0.05)


def test_blur_moves_sharpness_and_not_grey_levels(tmp_path):
    image, lungs = made.film()
    before, after = (facts(p, lungs, tmp_path) for p in (image, ndimage.gaussian_filter(image, 1.0)))
    assert after["sharpness finest"] < before["sharpness finest"] - 0.2
    assert after["grey levels 50%"] == pytest.approx(before["grey levels 50%"], abs=0.02)


def test_how_a_file_is_stored_and_what_its_header_says(tmp_path):
    image, lungs = made.film()
    file = tmp_path / "film.JPG"
    exif = Image.Exif()
    exif[271] = "A maker"
    Image.fromarray((255 * image).astype(np.uint8)).save(file, "JPEG", quality=60, exif=exif)
    found = films.facts(str(file), image, lungs)
    assert (found["format kind"], found["format suffix"], found["format mode"]) == ("JPEG", ".jpg", "L")
    assert float(found["format quality"]) > 20 and found["header Make"] == "A maker"
    assert found["file bytes per pixel"] == file.stat().st_size / image.size


def test_a_cohort_is_looked_at_in_its_own_order(tmp_path):
    rows = []
    for number in range(3):
        image, lungs = made.film(number)
        for name, pixels in (("film", image), ("lung", lungs)):
            write_gray(tmp_path / f"{name}{number}.png", pixels)
        rows.append(str(tmp_path / f"film{number}.png"))
    masks = [file.replace("film", "lung") for file in rows]
    cohort = made.table(3, file=rows, lung_mask=masks, lesion_mask="")
    found = films.look(cohort)
    assert found.squares.shape == found.lungs.shape == (3, films.SQUARE, films.SQUARE)
    again = films.look(cohort.iloc[::-1].reset_index(drop=True))
    assert (again.squares[::-1] == found.squares).all()
    assert found.rows(np.array([2])).facts.iloc[0].equals(found.facts.iloc[2])
    (tmp_path / "film1.png").write_bytes(b"no film")
    with pytest.raises(ImageError, match="film1.png: not an image"):
        films.look(cohort)
