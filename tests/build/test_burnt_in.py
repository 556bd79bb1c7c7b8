"""Burnt-in text: what is found is filled, markers as chosen; with the reader installed, films themselves."""

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sdnet_lib.build import burnt_in, films
from sdnet_lib.build.burnt_in import Text
from sdnet_lib.build.protocol import READER
from sdnet_lib.data.images import read_gray, write_gray

NAME, MARKER = Text(10, 22, 8, 60, "ZYLINSKI"), Text(70, 82, 80, 92, "R")


@pytest.fixture
def film():
    image = np.full((120, 100), 0.3, np.float32)
    for text in (NAME, MARKER):
        image[text.top + 2 : text.bottom - 2, text.left + 2 : text.right - 2] = 1
    return image


@pytest.mark.parametrize("words", ["R", "l", "L.", "RT", "Izq", "D"])
def test_markers_of_the_side_are_known(words):
    assert Text(0, 1, 0, 1, words).laterality in ("L", "R")


@pytest.mark.parametrize("words", ["", "Lee", "RL", "R. Diaz", "12", "D1"])
def test_a_name_is_no_marker(words):
    assert Text(0, 1, 0, 1, words).laterality == ""


def test_text_is_filled_with_the_grey_around_it_and_a_marker_kept(film):
    made = burnt_in.masked(film, [NAME, MARKER], "keep")
    assert np.allclose(made[:60], 0.3) and np.array_equal(made[60:], film[60:])
    assert film.max() == 1  # the source stays as it was


def test_a_marker_is_masked_or_drawn_anew_at_one_place(film):
    assert np.allclose(burnt_in.masked(film, [NAME, MARKER], "mask"), 0.3)
    one = burnt_in.masked(film, [NAME, MARKER], "standard")
    two = burnt_in.masked(np.full_like(film, 0.3), [Text(40, 50, 40, 50, "RT")], "standard")
    assert np.array_equal(one, two) and one.max() > 0.9 and (one[:, 50:] == one[0, -1]).all()


def fake(*answers):
    return lambda: lambda picture: (list(answers), 0)


def test_boxes_get_a_margin_stay_inside_and_doubtful_ones_are_left(monkeypatch):
    corners = [[2, 4], [52, 4], [52, 14], [2, 14]]
    monkeypatch.setattr(burnt_in, "reader", fake((corners, "ABC", "0.9"), (corners, "?", 0.2)))
    assert burnt_in.find(np.zeros((16, 100))) == [Text(1, 16, 0, 55, "ABC")]


def test_a_film_is_searched_again_after_it_was_masked(monkeypatch, tmp_path, film):
    write_gray(tmp_path / "a.png", film)
    corners = [[8, 10], [60, 10], [60, 22], [8, 22]]
    monkeypatch.setattr(burnt_in, "reader", fake((corners, "ZYLINSKI", 0.9)))
    folder, facts = films.render(
        tmp_path / "a.png", "p", b"salt" * 4, films.Choices(True, "keep", False), tmp_path
    )
    assert facts == {"masked": 1, "laterality": "", "words": "ZYLINSKI"}
    assert read_gray(folder / films.FILM)[10:22, 8:60].max() < 0.4


def test_a_film_on_which_nothing_was_masked_is_not_searched_again(monkeypatch, tmp_path, film):
    write_gray(tmp_path / "a.png", film)
    asked = []
    corners = [[80, 70], [92, 70], [92, 82], [80, 82]]
    monkeypatch.setattr(
        burnt_in, "reader", lambda: lambda picture: (asked.append(1) or [(corners, "R", 0.9)], 0)
    )
    _, facts = films.render(
        tmp_path / "a.png", "p", b"salt" * 4, films.Choices(True, "keep", False), tmp_path
    )
    assert facts == {"masked": 0, "laterality": "R", "words": "R"} and len(asked) == 1


@pytest.mark.skipif(find_spec(READER) is None, reason=f"{READER} is not installed")
def test_the_reader_finds_and_masks_a_planted_name():
    image = np.random.default_rng(0).normal(0.4, 0.02, (700, 600)).astype(np.float32)
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).text((40, 40), "ZYLINSKI 14/03/2020", fill=1.0, font=ImageFont.load_default(28))
    texts = burnt_in.find(np.asarray(picture))
    assert "ZYLINSKI" in " ".join(text.words for text in texts)
    assert burnt_in.find(burnt_in.masked(np.asarray(picture), texts, "keep")) == []
