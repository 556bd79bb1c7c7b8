import numpy as np
import pandas as pd
import pytest

from sdnet_lib import plots
from sdnet_lib.phantom.radiograph import radiograph
from sdnet_lib.plots.refreshers import NARROW


def titles(figure):
    return [axis.get_title(loc="left").replace("\n", " ") for axis in figure.axes]


def test_the_frame_is_around_the_numbers_that_are_shown(drawn):
    image, patch = np.full((20, 20), 0.5), np.arange(100, 125).reshape(5, 5)
    figure = drawn(plots.rib_edge(image, np.zeros((18, 18)), patch, (7, 4)))
    film, numbers, answers = figure.axes
    assert [text.get_text() for text in numbers.texts] == [str(level) for level in range(100, 125)]
    (place,), (frame,) = film.patches, numbers.patches
    # answers begin one pixel inside of the film, the patch two pixels before its middle
    assert (place.get_x(), place.get_y(), place.get_width()) == (2.5, 5.5, 5)
    assert (frame.get_x(), frame.get_y(), frame.get_width()) == (0.5, 0.5, 3)
    assert answers.images[0].get_array().shape == (18, 18)


def test_bars_are_millions_of_parameters(drawn):
    (axis,) = drawn(plots.kept_and_new({"stem": 10_000, "stage 1": 2_500_000}, 1_000_000)).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["stem", "stage 1", "new layers"]
    kept, new = axis.containers
    assert [bar.get_width() for bar in kept] == pytest.approx([0.01, 2.5])
    assert [bar.get_width() for bar in new] == [1.0]


def test_in_a_gan_one_curve_rises_as_the_other_falls(drawn):
    game, together = drawn(plots.two_games(0.3, 0.6)).axes
    generator, points, judge, _ = (line.get_ydata() for line in game.lines)
    assert (np.diff(generator) < 0).all() and (np.diff(judge) > 0).all()
    assert points == pytest.approx(-np.log([0.3, 0.6]))
    assert len(together.lines) == 2 and (np.diff(together.lines[0].get_ydata()) < 0).all()


def test_a_film_stands_before_its_versions(drawn):
    figure = drawn(plots.augmented(np.zeros((8, 8)), [np.full((8, 8), 0.1 * n) for n in range(1, 6)]))
    assert titles(figure) == ["the film", *(f"version {n}" for n in range(1, 6))]
    assert [axis.images[0].get_array()[0, 0] for axis in figure.axes] == pytest.approx(np.arange(6) / 10)


def test_films_bear_their_labels(drawn):
    well, ill = radiograph(1, size=64), radiograph(2, size=64, label="P", severity="Mild")
    figure = drawn(plots.nearest_films(well, well, ill))
    assert [title[-1] for title in titles(figure)] == ["N", "N", "P"]


def test_a_cell_holds_the_fold_of_a_patient(drawn):
    fold = np.array([[1, 2], [3, 1]])
    (axis,) = drawn(plots.dealt_patients(fold, ["P", "N"])).axes
    assert [text.get_text() for text in axis.texts] == ["1", "2", "3", "1"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["A\nP", "B\nN"]


def test_patients_are_points_and_their_curve_goes_from_corner_to_corner(drawn):
    table = pd.DataFrame({"prob_P": [0.9, 0.6, 0.2], "label": ["P", "P", "N"]})
    curve = pd.DataFrame({"false_positive_rate": [0, 0, 1], "sensitivity": [0, 1, 1]})
    dots, square = drawn(plots.ten_patients(table, curve)).axes
    heights = [collection.get_offsets()[:, 1] for collection in dots.collections]
    assert sorted(np.concatenate(heights)) == pytest.approx([0.2, 0.6, 0.9])
    assert list(square.lines[0].get_ydata()) == [0, 1, 1]


def test_every_deal_is_in_a_bar_of_the_right_colour(drawn):
    differences = np.array([-2, -1, -1, 0, 0, 0, 1, 1, 2]) / 4
    (axis,) = drawn(plots.shuffled_differences(differences, 0.5)).axes
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert sorted(sum(heights, [])) == [0] * 5 + [1, 1, 2, 2, 3]
    ends = next(bars for bars in heights if sum(bars) == 2)
    assert ends == [1, 0, 0, 0, 1]


def test_all_fit_a_phone(drawn):
    made = radiograph(1, size=64)
    assert drawn(plots.nearest_films(made, made, made)).get_figwidth() == NARROW
