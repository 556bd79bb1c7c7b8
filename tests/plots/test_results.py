import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sdnet_lib import plots
from sdnet_lib.evaluation import curves, decisions, metrics, statistics, tables
from sdnet_lib.models.registry import title
from tests.evaluation.made_predictions import study

APPROACHES = ["covid-sdnet", "resnet50", "mine"]
TEN = ("covid-sdnet", "resnet50", "fucitnet", *(f"my approach {number}" for number in range(7)))
TITLES = ["COVID-SDNet", "ResNet-50 without segmentation", "mine"]


TABLE = pd.DataFrame(
    {
        "condition": ["full", "full", "border", "border"],
        "cohort": ["a", "b", "a", "b"],
        "mean": [0.9, 0.6, 0.8, 0.5],
        "low": [0.8, 0.5, 0.7, 0.4],
        "high": [1.0, 0.7, 0.9, 0.6],
    },
    index=[0, 1, 0, 1],  # as of tables put together
)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return study()


@pytest.fixture(scope="module")
def images(predictions) -> dict[str, pd.DataFrame]:
    return curves.per_image(predictions)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ticks(labels: list) -> list[str]:
    return [label.get_text() for label in labels]


def test_comparison_draws_each_value_and_its_interval_at_its_label(drawn):
    columns = {"label": "condition", "value": "mean", "low": "low", "high": "high", "group": "cohort"}
    figure = drawn(plots.comparison(TABLE, **columns, baseline=0.5))
    axis = figure.axes[0]
    intervals, dots = axis.collections
    x, y = np.transpose(dots.get_offsets())
    assert ticks(axis.get_yticklabels()) == ["full", "border"] and axis.yaxis_inverted()
    assert x.tolist() == TABLE["mean"].tolist()
    assert np.round(y).tolist() == [0, 0, 1, 1] and y[0] < y[1]
    ends = np.array(sorted(intervals.get_segments(), key=lambda ends: ends[0, 1]))
    assert np.array_equal(ends[:, :, 0], TABLE[["low", "high"]]) and np.array_equal(ends[:, 0, 1], y)
    assert legend(figure) == ["a", "b", "chance"] and axis.get_xlim() == (0, 1)


def test_comparison_without_groups_or_intervals(drawn):
    figure = drawn(plots.comparison(TABLE.iloc[[0, 2]], label="condition", value="mean"))
    (dots,) = figure.axes[0].collections
    assert dots.get_offsets().tolist() == [[0.9, 0], [0.8, 1]] and not figure.legends


def test_comparison_joins_no_intervals():
    with pytest.raises(ValueError, match="several rows of one condition"):
        plots.comparison(TABLE, label="condition", value="mean", low="low", high="high")


def test_comparison_keeps_the_order_and_rows_without_a_value(drawn):
    table = pd.DataFrame(
        {"size": pd.Categorical([16, 4, 8]), "auc": [0.9, None, 0.7], "low": 0.5, "high": np.nan}
    )
    axis = drawn(plots.comparison(table, label="size", value="auc", low="low", high="high")).axes[0]
    assert ticks(axis.get_yticklabels()) == ["16", "4", "8"]
    offsets = axis.collections[-1].get_offsets()
    assert offsets[np.isfinite(offsets).all(1)].tolist() == [[0.9, 0], [0.7, 2]]


def test_comparison_tells_ten_groups_apart(drawn):
    table = pd.DataFrame({"row": "a", "group": [f"group {n}" for n in range(10)], "auc": 0.5})
    figure = drawn(plots.comparison(table, label="row", value="auc", group="group"))
    dots = figure.axes[0].collections[0]
    shapes = [path.vertices.tobytes() for path in dots.get_paths()]
    assert len(set(zip(map(tuple, dots.get_facecolor()), shapes, strict=True))) == 10
    assert len(set(dots.get_offsets()[:, 1])) == 10


def test_run_spread_has_a_dot_a_run_and_a_bar_at_the_mean(drawn, predictions):
    runs = metrics.per_run(predictions)
    axis = drawn(plots.run_spread(runs, baseline=0.5)).axes[0]
    assert ticks(axis.get_yticklabels()) == TITLES
    *repeats, bars = axis.collections
    for number, dots in enumerate(repeats):
        values = runs["accuracy"].xs(number, level="repeat")
        x, y = np.transpose(dots.get_offsets())
        assert x.tolist() == values.tolist()
        assert np.round(y).tolist() == [APPROACHES.index(name) for name, _ in values.index]
        assert len(set(y)) == len(APPROACHES)  # a repetition is a line
    means = runs["accuracy"].groupby("approach").mean()[APPROACHES]
    assert [bar[0, 0] for bar in bars.get_segments()] == pytest.approx(means.tolist())
    assert list(axis.lines[0].get_xdata()) == [0.5, 0.5]


def test_run_spread_leaves_out_undefined_runs(drawn, predictions):
    runs = metrics.per_run(predictions)
    undefined = (runs.index == ("covid-sdnet", 0, 0)) | (
        runs.index.get_level_values("approach") == "resnet50"
    )
    runs["accuracy"] = runs["accuracy"].mask(undefined)
    axis = drawn(plots.run_spread(runs)).axes[0]
    assert ticks(axis.get_yticklabels()) == TITLES and "accuracy" in axis.get_xlabel()
    *repeats, bars = axis.collections
    assert sum(np.isfinite(dots.get_offsets()).all(1).sum() for dots in repeats) == 19
    assert bars.get_segments()[0][0, 0] == pytest.approx(runs["accuracy"].xs("covid-sdnet").mean())
    assert sorted(axis.get_ylim()) == [-0.5, len(TITLES) - 0.5]  # a row without a dot has its place


def test_run_spread_draws_intervals_through_the_means_and_no_further_than_0_and_1(drawn, predictions):
    ends = statistics.intervals(predictions)
    ends.loc["resnet50", ["low", "high"]] = -0.2, 1.3
    axis = drawn(plots.run_spread(metrics.per_run(predictions), intervals=ends)).axes[0]
    expected = ends.loc[APPROACHES, ["low", "high"]].clip(0, 1).to_numpy()
    lines = np.array(axis.collections[-1].get_segments())
    assert np.array_equal(lines[:, :, 0], expected) and lines[:, 0, 1].tolist() == [0, 1, 2]
    assert "95 % interval" in axis.get_xlabel()


def test_roc_curves_show_curve_and_band(drawn, images):
    curve = {name: curves.roc(table, draws=50) for name, table in images.items()}
    figure = drawn(plots.roc_curves(curve))
    axis = figure.axes[0]
    assert legend(figure) == [*TITLES, "chance"]
    for line, band, expected in zip(axis.lines, axis.patches, curve.values(), strict=False):
        assert list(line.get_xdata()) == list(expected["false_positive_rate"])
        assert list(line.get_ydata()) == list(expected["sensitivity"])
        height = band.get_path().vertices[:, 1]
        assert height.min() == expected["low"].min() and height.max() == expected["high"].max()
    assert len(axis.patches) == 3


def test_precision_recall_is_drawn_in_steps_above_chance(drawn, images):
    curve = {name: curves.precision_recall(table, draws=50) for name, table in images.items()}
    figure = drawn(plots.precision_recall_curves(curve, 0.5))
    axis = figure.axes[0]
    assert legend(figure) == [*TITLES, "chance"]
    x, y = axis.lines[0].get_data()
    expected = curve["covid-sdnet"]
    assert list(x[1::2]) == list(expected["recall"]) and list(x[2::2]) == list(expected["recall"][:-1])
    assert list(y[::2]) == list(y[1::2]) == list(expected["precision"])
    assert list(axis.lines[3].get_ydata()) == [0.5, 0.5]


@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_reliability_has_a_panel_an_approach(drawn, images, count):
    table = decisions.reliability(images["mine"], draws=50)
    figure = drawn(plots.reliability_diagram({f"m{number}": table for number in range(count)}))
    assert [axis.get_title(loc="left") for axis in figure.axes] == [f"m{number}" for number in range(count)]
    intervals, dots = figure.axes[0].collections
    assert np.allclose(dots.get_offsets(), table[["mean_prob", "fraction_positive"]])
    assert np.allclose(np.array(intervals.get_segments())[:, :, 1], table[["low", "high"]])
    sizes = dots.get_sizes() - 8
    assert np.allclose(sizes / sizes.sum(), table["images"] / table["images"].sum())


def test_decision_curves_are_beside_acting_always_and_never(drawn, images):
    benefit = {name: decisions.net_benefit(table) for name, table in images.items()}
    figure = drawn(plots.decision_curves(benefit))
    assert legend(figure) == [*TITLES, "act always", "never"]
    lines = figure.axes[0].lines
    assert list(lines[2].get_ydata()) == list(benefit["mine"]["model"])
    assert list(lines[3].get_ydata()) == list(benefit["mine"]["treat_all"])
    assert figure.axes[0].get_ylim()[1] > benefit["mine"]["model"].max()


def test_severity_accuracy_shows_mean_and_sd_of_each_level(drawn, predictions):
    table = tables.table_6(predictions)
    figure = drawn(plots.severity_accuracy(table))
    axis = figure.axes[0]
    levels = ["Normal-PCR+", "Mild", "Moderate", "Severe"]
    assert ticks(axis.get_xticklabels()) == levels and legend(figure) == TITLES
    bars, dots = axis.collections
    cells = [(level, approach) for level in levels for approach in APPROACHES]
    means, sds = ([table.at[name, (level, what)] for level, name in cells] for what in ("mean", "sd"))
    x, y = np.transpose(dots.get_offsets())
    assert y.tolist() == pytest.approx(means) and np.round(x).tolist() == np.repeat(range(4), 3).tolist()
    from_left = sorted(bars.get_segments(), key=lambda segment: segment[0, 0])
    heights = [segment[1, 1] - segment[0, 1] for segment in from_left]
    assert heights == pytest.approx([2 * sd for sd in sds])


def test_severity_of_one_repetition_has_no_bars(drawn):
    bars, dots = drawn(plots.severity_accuracy(tables.table_6(study(repeats=1)))).axes[0].collections
    assert len(dots.get_offsets()) == 12
    assert all(segment[0, 1] == segment[1, 1] for segment in bars.get_segments())


def test_ten_approaches_fit_into_every_figure(drawn):
    predictions = study(approaches=TEN, n=40, repeats=1)
    images = curves.per_image(predictions)
    names = [title(approach) for approach in TEN]
    assert ticks(drawn(plots.run_spread(metrics.per_run(predictions))).axes[0].get_yticklabels()) == names
    for figure in (
        plots.roc_curves({name: curves.roc(table, draws=10) for name, table in images.items()}),
        plots.decision_curves({name: decisions.net_benefit(table) for name, table in images.items()}),
    ):
        assert legend(drawn(figure))[:10] == names
    assert legend(drawn(plots.severity_accuracy(tables.table_6(predictions)))) == names


def test_gains_have_a_point_and_an_interval_each_and_a_line_at_nothing():
    table = pd.DataFrame(
        {
            "control": ["resnet50-crop", "twins-tinted"],
            "accuracy": [0.05, -0.01],
            "accuracy_low": [0.01, -0.04],
            "accuracy_high": [0.09, 0.02],
        }
    )
    figure = plots.gains(table)
    axis = figure.axes[0]
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels == ["ResNet-50 with segmentation", "Twins by fixed tints"]
    assert any(np.allclose(line.get_xdata(), 0) for line in axis.lines)
    assert "points of accuracy" in axis.get_xlabel()
