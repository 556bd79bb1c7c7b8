import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sdnet_lib import plots

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


def titles(figure):
    return [axis.get_title(loc="left") for axis in figure.axes]


def names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_loss_terms_are_drawn_as_they_count(drawn):
    figure = drawn(plots.loss_terms(HISTORY, perceptual=0.006, cross_entropy=0.1))
    assert titles(figure) == ["mean square", "0.006 × perceptual", "0.1 × cross-entropy"]
    assert names(figure) == ["generator of N", "generator of P"]
    square, perceptual, entropy = ([list(line.get_ydata()) for line in axis.lines] for axis in figure.axes)
    assert square[1] == [0.04, 0.03]
    assert perceptual[0] == pytest.approx([0.006, 0.003])
    assert entropy[1] == pytest.approx([0.08, 0.05])
    colours = [to_hex(line.get_color()).upper() for line in figure.axes[0].lines]
    assert colours == list(plots.CLASS_COLOURS.values())


@pytest.mark.parametrize("count", [2, 10])
def test_training_runs_have_a_panel_a_column_and_a_line_a_run(drawn, count):
    runs = {f"run {number}": HISTORY.assign(valid_mse=[number + 1, 0.5]) for number in range(count)}
    columns = {"valid_mse": "change", "valid_loss": "loss"}
    figure = drawn(plots.training_runs(runs, columns))
    assert titles(figure) == ["change", "loss"] and names(figure) == list(runs)
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[n + 1, 0.5] for n in range(count)]
    assert len({(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}) == count
    assert all(axis.get_ylim()[0] == 0 for axis in figure.axes)


def test_margins_are_percentages_beside_the_margin_of_the_paper(drawn):
    table = pd.DataFrame({"margin": [0, 0.025, 0.05], "whole": [0.5, 0.9, 1], "image_kept": [0.4, 0.45, 0.5]})
    figure = drawn(plots.margins(table))
    whole, kept, paper = figure.axes[0].lines
    assert list(whole.get_xdata()) == [0, 2.5, 5] and list(whole.get_ydata()) == [50, 90, 100]
    assert list(kept.get_ydata()) == [40, 45, 50] and list(paper.get_xdata()) == [2.5, 2.5]
    assert names(figure) == ["images whose lungs stay whole", "image kept, mean", "the paper's margin"]


@pytest.mark.parametrize("count", [2, 10])
def test_change_curves_are_means_over_images(drawn, count):
    methods = {f"m{number}": np.array([[1, 0.5, 0], [1, 0.7, 0]]) for number in range(count)}
    figure = drawn(plots.change_curves({"deletion": methods, "insertion": methods}))
    for axis, verb in zip(figure.axes, ("blurred", "restored"), strict=True):
        assert len(axis.lines) == count and axis.get_ylim() == (0, 1)
        assert axis.lines[0].get_xdata() == pytest.approx([0, 50, 100])
        assert axis.lines[-1].get_ydata() == pytest.approx([1, 0.6, 0])
        assert verb in axis.get_xlabel() and axis.get_xlabel().endswith("(%)")


def test_a_single_epoch_has_one_tick(drawn):
    axis = drawn(plots.training_runs({"run": HISTORY[:1]}, {"valid_loss": "loss"})).axes[0]
    low, high = axis.get_xlim()
    assert [tick for tick in axis.get_xticks() if low <= tick <= high] == [1]
