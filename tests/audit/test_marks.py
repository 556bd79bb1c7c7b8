"""Plates, discs and holes of any place, size and grey are markers; what a body shows is none."""

import numpy as np
import pytest
from scipy import ndimage

from sdnet_lib.audit import films, marker, marks
from sdnet_lib.data.images import resize
from sdnet_lib.phantom.radiograph import radiograph
from tests.audit.test_films import facts, ink_by_zone

SIZE = 256


@pytest.fixture(scope="module")
def phantoms():
    made = [radiograph(seed=seed, size=SIZE, site=site) for site in "ABE" for seed in range(4)]
    return [(one.image, one.lung_mask) for one in made]


def looked_at(image, lungs):
    small = films._shrunk(image, films.SMALL)
    inside = films._inside(small.shape, films.border(small))
    return marks.marks(small, inside, films._outside_lungs(films._shrunk(lungs, films.SMALL) > 0.5))


def test_a_film_has_no_plates(phantoms):
    for image, lungs in phantoms:
        assert not looked_at(image, lungs)[1].any()


def shape_of(kind: str, edge: int) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge] - (edge - 1) / 2
    return y**2 + x**2 <= (edge / 2) ** 2 if kind == "disc" else np.ones((edge, edge), bool)


def grey_levels(image, lungs, beside):
    """Grey levels beside the plates of another film."""
    small, other = (films._shrunk(one, films.SMALL) for one in (image, beside))
    outside = films._outside_lungs(films._shrunk(lungs, films.SMALL) > 0.5)
    inside = films._inside(small.shape, films.border(small))
    bare = ~ndimage.binary_dilation(marks.marks(other, inside, outside)[1], iterations=3)
    return [*films._grey_levels(image, small, inside & outside, bare).values()]


def test_what_is_laid_on_a_film_is_found_and_not_taken_for_its_grey(phantoms):
    rng, tried = np.random.default_rng(0), 0
    for number in range(900):
        image, lungs = phantoms[number % len(phantoms)]
        kind, edge = ("plate", "disc")[rng.integers(2)], round(rng.uniform(0.08, 0.2) * SIZE)
        row, column = rng.integers(4, [image.shape[0] - edge - 4, image.shape[1] - edge - 4])
        around = np.s_[row - 4 : row + edge + 4, column - 4 : column + edge + 4]
        white, black = image[around].max() < 0.65, image[around].min() > 0.35
        zone = marks._zone((slice(row, row + edge), slice(column, column + edge)), image.shape)
        if not (white or black) or zone is None or lungs[around].any():
            continue
        shape, planted = shape_of(kind, edge), image.copy()
        planted[row : row + edge, column : column + edge][shape] = float(white)
        if films._outside_lungs(lungs)[around].mean() < 1:
            continue
        tried += 1
        before, after = looked_at(image, lungs)[0], looked_at(planted, lungs)[0]
        expected = shape.sum() * (films.SMALL / SIZE) ** 2 / marks.LETTER
        assert after[zone] - before[zone] > 0.6 * expected, (number, zone)
        was, now = (grey_levels(one, lungs, beside=planted) for one in (image, planted))
        assert now == pytest.approx(was, abs=0.03), number
    assert tried > 20


@pytest.mark.parametrize("size", [128, 224, 512, 1024])
def test_the_plate_of_chapter_9_is_a_marker_at_any_size(size, phantoms, tmp_path):
    image, lungs = (resize(one, (size, size)) for one in phantoms[0])
    pixels = np.rint(255 * image).astype(np.uint8)
    planted = marker.plant(pixels[None], np.array([True]))[0] / np.float32(255)
    before, after = (facts(one, lungs > 0.5, tmp_path) for one in (pixels / np.float32(255), planted))
    assert ink_by_zone(after)["top left"] > ink_by_zone(before)["top left"] + 4
    for name in before:
        if name.startswith("grey levels "):
            assert after[name] == pytest.approx(before[name], abs=0.1), name
