import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sdnet_lib import plots

TABLE = pd.DataFrame(
    {
        "condition": ["full", "full", "border", "border"],
        "cohort": ["a", "b", "a", "b"],
        "mean": [0.9, 0.6, 0.8, 0.5],
        "low": [0.8, 0.5, 0.7, 0.4],
        "high": [1.0, 0.7, 0.9, 0.6],
    }
)


def draw(figure: Figure, tmp_path) -> Figure:
    """Save the figure, so that errors that appear only in drawing are met here."""
    figure.savefig(tmp_path / "figure.png", dpi=40)
    return figure


@pytest.mark.parametrize("count, rows", [(3, 1), (8, 1), (9, 2)])
def test_contact_sheet_shows_every_image_once(tmp_path, count, rows):
    images = [np.full((8, 8), i / count) for i in range(count)]
    figure = draw(plots.contact_sheet(images, [str(i) for i in range(count)]), tmp_path)
    shown = [axis.images[0].get_array()[0, 0] for axis in figure.axes if axis.images]
    assert np.allclose(shown, [i / count for i in range(count)])
    assert figure.axes[0].get_gridspec().nrows == rows


def test_contact_sheet_takes_columns_of_a_table_whatever_their_index(tmp_path):
    table = pd.DataFrame({"title": ["a", "b"], "colour": ["red", "blue"]}, index=[7, 3])
    figure = plots.contact_sheet([np.zeros((4, 4))] * 2, table["title"], colours=table["colour"])
    assert [axis.get_title(loc="left") for axis in draw(figure, tmp_path).axes] == ["a", "b"]


def test_contact_sheet_keeps_the_grey_scale(tmp_path):
    figure = draw(plots.contact_sheet([np.full((4, 4), 0.5), np.full((4, 4), 0.6)]), tmp_path)
    assert all(axis.images[0].get_clim() == (0, 1) for axis in figure.axes)


def test_comparison_draws_each_value_at_its_label(tmp_path):
    figure = draw(
        plots.comparison(
            TABLE, label="condition", value="mean", low="low", high="high", group="cohort", baseline=0.5
        ),
        tmp_path,
    )
    axis = figure.axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["full", "border"]
    assert list(axis.lines[0].get_xdata()) == [0.9, 0.8]
    assert list(axis.lines[1].get_xdata()) == [0.6, 0.5]
    assert np.array_equal(np.round(axis.lines[0].get_ydata()), [0, 1])


def test_comparison_without_groups_or_intervals(tmp_path):
    figure = draw(plots.comparison(TABLE.iloc[[0, 2]], label="condition", value="mean"), tmp_path)
    assert not figure.axes[0].collections and not figure.legends


def test_figures_are_closed_for_pyplot_so_that_a_notebook_shows_them_once():
    plots.contact_sheet([np.zeros((4, 4))])
    assert plt.get_fignums() == []


def test_style_leaves_no_trace():
    before = dict(mpl.rcParams)
    plots.comparison(TABLE, label="condition", value="mean", group="cohort")
    assert dict(mpl.rcParams) == before


def test_class_colours_differ():
    assert len(set(plots.CYCLE)) == len(plots.CYCLE) and plots.CLASS_COLOURS["N"] != plots.CLASS_COLOURS["P"]
