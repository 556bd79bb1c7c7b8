import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sdnet_lib import plots
from sdnet_lib.models.fusion import CLASSES


def test_twin_rows_show_brighter_in_orange_and_darker_in_purple(drawn):
    images = np.full((2, 8, 8), 0.5)
    twins = np.full((2, 2, 3, 8, 8), 0.5, np.float16)
    twins[0, 0], twins[0, 1] = 0.7, 0.3
    figure = drawn(plots.twin_rows(images, twins, ["N", "P"]))
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 10
    assert panels[1].images[0].get_array().shape == (8, 8, 3)

    def colour(number: int) -> np.ndarray:
        image = panels[number].images[0]
        return image.cmap(image.norm(image.get_array()))[0, 0]

    added, taken, nothing = colour(3), colour(4), colour(8)
    assert added[0] > added[2] and taken[2] > taken[0]
    assert nothing[:3].min() > 0.95


def test_the_scale_of_differences_says_which_side_is_brighter(drawn):
    twins = np.full((1, 2, 3, 8, 8), 0.6)
    figure = drawn(plots.twin_rows(np.full((1, 8, 8), 0.4), twins, ["P"]))
    bar = figure.axes[-1]
    labels = [tick.get_text() for tick in bar.get_xticklabels()]
    assert labels[0].startswith("-") and labels[-1] == "+0.2"
    left, right = (bar.transData.transform((x, 0))[0] for x in (bar.get_xticks()[0], bar.get_xticks()[-1]))
    assert left < right


def test_twins_that_did_not_change_can_be_drawn(drawn):
    images = np.full((1, 8, 8), 0.5)
    drawn(plots.twin_rows(images, np.full((1, 2, 3, 8, 8), 0.5), ["N"]))


@pytest.mark.parametrize("count, rows", [(1, 1), (4, 1), (5, 2)])
def test_twin_answers_frame_the_largest_value(drawn, count, rows):
    theta = np.tile([0.1, 0.2, 0.6, 0.1], (count, 1))
    psi = np.tile([0.7, 0.1, 0.1, 0.1], (count, 1))
    figure = drawn(plots.twin_answers(theta, psi, CLASSES, [str(n) for n in range(count)]))
    axis = figure.axes[0]
    assert axis.get_gridspec().nrows == rows
    heights = [bar.get_height() for bar in axis.patches]
    assert heights == [0.1, 0.2, 0.6, 0.1, 0.7, 0.1, 0.1, 0.1]
    framed = [bar for bar in axis.patches if bar.get_edgecolor()[:3] == to_rgb("black")]
    assert [bar.get_height() for bar in framed] == [0.7]
    colours = [bar.get_facecolor()[:3] for bar in axis.patches[:4]]
    assert colours == [to_rgb(plots.CLASS_COLOURS[name[0]]) for name in CLASSES]
    assert axis.patches[0].get_facecolor()[3] > axis.patches[4].get_facecolor()[3]
    assert [axis.get_title(loc="left") for axis in figure.axes] == [str(number) for number in range(count)]
