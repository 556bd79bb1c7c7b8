import numpy as np
import pandas as pd
import pytest

from sdnet_lib import plots


@pytest.mark.parametrize("count, rows", [(3, 1), (8, 1), (9, 2)])
def test_contact_sheet_shows_every_image_once(drawn, count, rows):
    images = [np.full((8, 8), i / count) for i in range(count)]
    figure = drawn(plots.contact_sheet(images, [str(i) for i in range(count)]))
    shown = [axis.images[0].get_array()[0, 0] for axis in figure.axes if axis.images]
    assert np.allclose(shown, [i / count for i in range(count)])
    assert figure.axes[0].get_gridspec().nrows == rows


def test_contact_sheet_takes_columns_of_a_table_whatever_their_index(drawn):
    table = pd.DataFrame({"title": ["a", "b"], "colour": ["red", "blue"]}, index=[7, 3])
    figure = plots.contact_sheet([np.zeros((4, 4))] * 2, table["title"], colours=table["colour"])
    assert [axis.get_title(loc="left") for axis in drawn(figure).axes] == ["a", "b"]


def test_contact_sheet_keeps_the_grey_scale(drawn):
    figure = drawn(plots.contact_sheet([np.full((4, 4), 0.5), np.full((4, 4), 0.6)], "ab"))
    assert all(axis.images[0].get_clim() == (0, 1) for axis in figure.axes)


def test_lung_outlines_draw_what_was_found(drawn):
    mask = np.zeros((20, 20), bool)
    mask[4:16, 5:15] = True
    images, masks, boxes = [mask / 2] * 2, [mask, np.zeros_like(mask)], [(5, 4, 15, 16), None]
    found, nothing = drawn(plots.lung_outlines(images, masks, boxes, ["a", "b"], truths=[mask, mask])).axes
    assert (len(found.collections), len(nothing.collections)) == (2, 1)
    (box,) = found.patches
    assert box.get_xy() == (5, 4) and (box.get_width(), box.get_height()) == (9, 11) and not nothing.patches
