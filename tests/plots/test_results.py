import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sdnet_lib import plots
from sdnet_lib.evaluation import curves, decisions, metrics, tables
from tests.evaluation.made_predictions import study

APPROACHES = ["covid-sdnet", "resnet50", "mine"]
TITLES = ["COVID-SDNet", "ResNet-50 without segmentation", "mine"]


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return study()


@pytest.fixture(scope="module")
def images(predictions) -> dict[str, pd.DataFrame]:
    return curves.per_image(predictions)


def draw(figure: Figure, tmp_path) -> Figure:
    """Save the figure, so that errors that appear only in drawing are met here."""
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert not plt.get_fignums()  # a notebook would show it twice
    return figure


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_run_spread_has_a_dot_a_run_and_a_bar_at_the_mean(tmp_path, predictions):
    runs = metrics.per_run(predictions)
    axis = draw(plots.run_spread(runs, baseline=0.5), tmp_path).axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == TITLES
    for number, approach in enumerate(APPROACHES):
        values = runs["accuracy"].xs(approach)
        assert list(axis.lines[number].get_xdata()) == list(values)
        assert np.abs(axis.lines[number].get_ydata() - number).max() < 0.35
        (bar,) = axis.collections[number].get_segments()
        assert bar[:, 0].tolist() == pytest.approx([values.mean()] * 2)
    assert list(axis.lines[3].get_xdata()) == [0.5, 0.5]
    repeats = runs.xs("covid-sdnet").index.get_level_values("repeat")
    assert (pd.Series(axis.lines[0].get_ydata()).groupby(repeats).nunique() == 1).all()


def test_run_spread_leaves_out_undefined_runs(tmp_path, predictions):
    runs = metrics.per_run(predictions)
    runs["specificity"] = runs["specificity"].where(runs.index != ("covid-sdnet", 0, 0))
    axis = draw(plots.run_spread(runs, "specificity", names={"mine": "My own"}), tmp_path).axes[0]
    assert axis.get_yticklabels()[2].get_text() == "My own" and "specificity" in axis.get_xlabel()
    (bar,) = axis.collections[0].get_segments()
    assert bar[0, 0] == pytest.approx(runs["specificity"].xs("covid-sdnet").dropna().mean())


def test_roc_curves_show_curve_and_band(tmp_path, images):
    drawn = {name: curves.roc(table, draws=50) for name, table in images.items()}
    figure = draw(plots.roc_curves(drawn), tmp_path)
    axis = figure.axes[0]
    assert legend(figure) == [*TITLES, "chance"]
    for line, curve in zip(axis.lines, drawn.values(), strict=False):
        assert list(line.get_ydata()) == list(curve["sensitivity"])
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == drawn["covid-sdnet"]["low"].min() and band.max() == 1


def test_precision_recall_is_drawn_in_steps_above_chance(tmp_path, images):
    drawn = {name: curves.precision_recall(table, draws=50) for name, table in images.items()}
    figure = draw(plots.precision_recall_curves(drawn, 0.5), tmp_path)
    axis = figure.axes[0]
    assert legend(figure) == [*TITLES, "chance"]
    assert all(line.get_drawstyle() == "steps-pre" for line in axis.lines[:3])
    assert list(axis.lines[0].get_xdata()) == list(drawn["covid-sdnet"]["recall"])
    assert list(axis.lines[3].get_ydata()) == [0.5, 0.5]


@pytest.mark.parametrize("count, panels", [(1, 1), (3, 3), (4, 6)])
def test_reliability_has_a_panel_an_approach(tmp_path, images, count, panels):
    table = decisions.reliability(images["mine"], draws=50)
    figure = draw(plots.reliability_diagram({f"m{number}": table for number in range(count)}), tmp_path)
    assert len(figure.axes) == panels and sum(axis.axison for axis in figure.axes) == count
    dots = figure.axes[0].collections[1]
    assert np.allclose(dots.get_offsets(), table[["mean_prob", "share_positive"]])
    sizes = dots.get_sizes() - 8
    assert np.allclose(sizes / sizes.sum(), table["images"] / table["images"].sum())


def test_decision_curves_are_beside_acting_always_and_never(tmp_path, images):
    drawn = {name: decisions.net_benefit(table) for name, table in images.items()}
    figure = draw(plots.decision_curves(drawn), tmp_path)
    assert legend(figure) == [*TITLES, "act always", "never"]
    lines = figure.axes[0].lines
    assert list(lines[2].get_ydata()) == list(drawn["mine"]["model"])
    assert list(lines[3].get_ydata()) == list(drawn["mine"]["treat_all"])
    assert figure.axes[0].get_ylim()[1] > drawn["mine"]["model"].max()


def test_severity_accuracy_shows_mean_and_sd_of_each_level(tmp_path, predictions):
    table = tables.table_6(predictions)
    figure = draw(plots.severity_accuracy(table), tmp_path)
    axis = figure.axes[0]
    levels = ["Normal-PCR+", "Mild", "Moderate", "Severe"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == levels and legend(figure) == TITLES
    points, _, (bars,) = axis.containers[1]
    means = [table.at["resnet50", (level, "mean")] for level in levels]
    assert list(points.get_ydata()) == pytest.approx(means)
    assert list(np.round(points.get_xdata())) == [0, 1, 2, 3]
    heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert heights == pytest.approx([2 * table.at["resnet50", (level, "sd")] for level in levels])


def test_severity_of_one_repetition_has_no_bars(tmp_path):
    table = tables.table_6(study(repeats=1))
    _, _, (bars,) = draw(plots.severity_accuracy(table), tmp_path).axes[0].containers[0]
    assert all(segment[0, 1] == segment[1, 1] for segment in bars.get_segments())


def test_style_does_not_leak(predictions):
    before = mpl.rcParams["font.size"], mpl.rcParams["legend.frameon"]
    plots.run_spread(metrics.per_run(predictions))
    assert (mpl.rcParams["font.size"], mpl.rcParams["legend.frameon"]) == before
