import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from sdnet_lib import plots
from sdnet_lib.models.fusion import CLASSES

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        "mse_N": [0.02, 0.01],
        "mse_P": [0.04, 0.03],
        "perceptual_N": [1.0, 0.5],
        "perceptual_P": [2.0, 1.5],
        "cross_entropy_N": [0.7, 0.6],
        "cross_entropy_P": [0.8, 0.5],
        "valid_mse": [0.03, 0.02],
        "valid_loss": [0.7, 0.65],
    }
)


def draw(figure: Figure, tmp_path) -> Figure:
    figure.savefig(tmp_path / "figure.png", dpi=40)
    return figure


def test_loss_terms_are_drawn_as_they_count(tmp_path):
    figure = draw(plots.loss_terms(HISTORY, perceptual=0.006, cross_entropy=0.1), tmp_path)
    drawn = {
        (axis.get_title(loc="left"), line.get_label()): list(line.get_ydata())
        for axis in figure.axes
        for line in axis.lines
    }
    assert drawn["mean square", "generator of P"] == [0.04, 0.03]
    assert drawn["0.006 × perceptual", "generator of N"] == pytest.approx([0.006, 0.003])
    assert drawn["0.1 × cross-entropy", "generator of P"] == pytest.approx([0.08, 0.05])
    assert len(figure.legends[0].get_texts()) == 2


def test_training_runs_have_a_panel_a_column_and_a_line_a_run(tmp_path):
    runs = {"small": HISTORY, "large": HISTORY.assign(valid_mse=[0.3, 0.4])}
    columns = {"valid_mse": "change", "valid_loss": "loss"}
    figure = draw(plots.training_runs(runs, columns), tmp_path)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["change", "loss"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[0.03, 0.02], [0.3, 0.4]]
    assert len({line.get_marker() for line in figure.axes[0].lines}) == 2
    assert all(axis.get_ylim()[0] == 0 for axis in figure.axes)


def test_twin_rows_show_brighter_in_orange_and_darker_in_purple(tmp_path):
    images = np.full((2, 8, 8), 0.5)
    twins = np.full((2, 2, 3, 8, 8), 0.5, np.float16)
    twins[0, 0], twins[0, 1] = 0.7, 0.3
    figure = draw(plots.twin_rows(images, twins, ["N", "P"]), tmp_path)
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 10
    assert panels[1].images[0].get_array().shape == (8, 8, 3)

    def colour(number: int) -> np.ndarray:
        image = panels[number].images[0]
        return image.cmap(image.norm(image.get_array()))[0, 0]

    added, taken, nothing = colour(3), colour(4), colour(8)
    assert added[0] > added[2] and taken[2] > taken[0]
    assert nothing[:3].min() > 0.95


def test_the_scale_of_differences_says_which_side_is_brighter(tmp_path):
    twins = np.full((1, 2, 3, 8, 8), 0.6)
    figure = draw(plots.twin_rows(np.full((1, 8, 8), 0.4), twins, ["P"]), tmp_path)
    bar = figure.axes[-1]
    labels = [tick.get_text() for tick in bar.get_xticklabels()]
    assert labels[0].startswith("-") and labels[-1] == "+0.2"
    left, right = (bar.transData.transform((x, 0))[0] for x in (bar.get_xticks()[0], bar.get_xticks()[-1]))
    assert left < right


def test_twins_that_did_not_change_can_be_drawn(tmp_path):
    images = np.full((1, 8, 8), 0.5)
    draw(plots.twin_rows(images, np.full((1, 2, 3, 8, 8), 0.5), ["N"]), tmp_path)


@pytest.mark.parametrize("count, rows", [(1, 1), (4, 1), (5, 2)])
def test_twin_answers_frame_the_largest_value(tmp_path, count, rows):
    theta = np.tile([0.1, 0.2, 0.6, 0.1], (count, 1))
    psi = np.tile([0.7, 0.1, 0.1, 0.1], (count, 1))
    figure = draw(plots.twin_answers(theta, psi, CLASSES, [str(n) for n in range(count)]), tmp_path)
    axis = figure.axes[0]
    assert axis.get_gridspec().nrows == rows
    heights = [bar.get_height() for bar in axis.patches]
    assert heights == [0.1, 0.2, 0.6, 0.1, 0.7, 0.1, 0.1, 0.1]
    framed = [bar for bar in axis.patches if bar.get_edgecolor() == to_rgba("black")]
    assert [bar.get_height() for bar in framed] == [0.7]
    assert axis.patches[0].get_facecolor() == to_rgba(plots.CLASS_COLOURS["P"])
    assert axis.patches[2].get_facecolor() == to_rgba(plots.CLASS_COLOURS["N"])
