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
    return lambda: lambda picture: list(answers)


def test_boxes_get_a_margin_stay_inside_and_doubtful_ones_are_left(monkeypatch):
    corners = [[2, 4], [52, 4], [52, 14], [2, 14]]
    monkeypatch.setattr(burnt_in, "reader", fake((corners, "ABC", "0.9"), (corners, "?", 0.2)))
    assert burnt_in.find(np.zeros((16, 100))) == [Text(1, 16, 0, 55, "ABC")]


def searched(monkeypatch, *answers):
    """Let the reader give one answer after the other, then nothing; return the sizes of what it was shown."""
    shown, left = [], list(answers)

    def read(picture):
        shown.append(picture.shape[:2])
        return left.pop(0) if left else []

    monkeypatch.setattr(burnt_in, "reader", lambda: read)
    return shown


def box(top, bottom, left, right, words):
    return [[left, top], [right, top], [right, bottom], [left, bottom]], words, 0.9


def test_what_is_left_beside_masked_text_is_found_and_masked_too(monkeypatch, tmp_path, film):
    write_gray(tmp_path / "a.png", film)
    shown = searched(monkeypatch, [box(10, 22, 8, 40, "ZYLIN")], [box(10, 22, 40, 60, "SKI")])
    folder, facts = films.render(
        tmp_path / "a.png", "p", b"salt" * 4, films.Choices(True, "keep", False), tmp_path
    )
    assert facts["masked"] == 2 and facts["words"] == "" and len(shown) == 3
    assert read_gray(folder / films.FILM)[10:22, 8:60].max() < 0.4


def test_what_is_read_to_the_last_is_said(monkeypatch, film):
    name = [box(10, 22, 8, 60, "ZYLINSKI")]
    shown = searched(monkeypatch, *[name] * 9)
    assert burnt_in.cleaned(film, "keep").words == "ZYLINSKI" and len(shown) == 1 + burnt_in.AGAIN


class Engine:
    """A reader that finds one line, twice as wide as high, in the middle of what it is shown."""

    def text_det(self, picture):
        self.looked_at = picture.shape[:2]
        middle, size = np.float32(picture.shape[1::-1]) / 2, np.float32([100, 50])
        return np.float32([[middle + size * at for at in ((-1, -1), (1, -1), (1, 1), (-1, 1))]]), 0

    def sorted_boxes(self, boxes):
        return list(boxes)

    def get_crop_img_list(self, picture, boxes):
        (box,) = boxes
        (left, top), (right, bottom) = box.min(axis=0).astype(int), box.max(axis=0).astype(int)
        return [picture[top:bottom, left:right]]

    def text_cls(self, lines):
        return lines, None, 0

    def text_rec(self, lines):
        return [(f"{lines[0].shape[1]} wide", 0.9)], 0


@pytest.mark.parametrize(
    ("shape", "looked_at"),
    [
        ((1500, 1200), (1200, 960)),
        ((900, 700), (900, 700)),
        ((1000, 1100), (909, 1000)),
        ((4000, 3000), (2000, 1500)),
    ],
)
def test_lines_are_looked_for_in_a_smaller_picture_and_read_in_the_whole_one(shape, looked_at):
    engine = Engine()
    ((corners, words, _),) = burnt_in._read(engine, np.zeros((*shape, 3), np.uint8))
    assert engine.looked_at == looked_at
    times = shape[0] / looked_at[0]
    assert np.allclose(corners.mean(axis=0), [shape[1] / 2, shape[0] / 2], atol=1)
    assert abs(int(words.split()[0]) - 200 * times) <= 2


MARKERS = {"keep": ("R", 1), "mask": ("", 0.3), "standard": ("", 1)}


@pytest.mark.parametrize("marker", MARKERS)
def test_a_film_on_which_nothing_was_masked_is_not_searched_again(monkeypatch, film, marker):
    film[:60] = 0.3
    shown = searched(monkeypatch, [box(70, 82, 80, 92, "R")])
    made = burnt_in.cleaned(film, marker)
    words, brightest = MARKERS[marker]
    assert made.laterality == "R" and made.words == words
    assert made.image.max() == pytest.approx(brightest, abs=0.05)
    assert len(shown) == (1 if marker == "keep" else 2) and len(made.masked) == (marker != "keep")


@pytest.mark.parametrize("place", [(0, 20), (2000, 2020), (700, 1500), (1000, 1010)])
def test_the_second_search_is_around_the_first_find_and_finds_it_where_it_is(monkeypatch, place):
    image = np.zeros((2020, 1600))
    shown = searched(monkeypatch, [box(5, 15, 10, 60, "LEFT")])
    (found,) = burnt_in.find_near(image, [Text(*place, 800, 1000, "NAME")])
    ((height, width),) = shown
    assert height >= min(burnt_in.WINDOW, 2020) and width >= burnt_in.WINDOW
    assert height < 2020 or place == (700, 1500)
    top = found.top + 3  # a box has a margin
    assert max(0, place[0] - height) <= top - 5 <= place[0] and top - 5 + height >= place[1]
    assert found.bottom - found.top == 16 and found.words == "LEFT"


@pytest.mark.skipif(find_spec(READER) is None, reason=f"{READER} is not installed")
def test_the_reader_finds_and_masks_a_planted_name():
    image = np.random.default_rng(0).normal(0.4, 0.02, (700, 600)).astype(np.float32)
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).text((40, 40), "ZYLINSKI 14/03/2020", fill=1.0, font=ImageFont.load_default(28))
    texts = burnt_in.find(np.asarray(picture))
    assert "ZYLINSKI" in " ".join(text.words for text in texts)
    assert burnt_in.find(burnt_in.masked(np.asarray(picture), texts, "keep")) == []
