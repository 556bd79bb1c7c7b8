"""Figures of results: values with intervals, spread over runs, curves with bands, calibration, severity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from seaborn import objects as so

from sdnet_lib.models.registry import title
from sdnet_lib.plots.colours import COLOURS
from sdnet_lib.plots.theme import WIDTH, canvas, draw, legend, looks, sheet, style

CHANCE = {"color": COLOURS["grey"], "linestyle": "--", "zorder": 0}
UNIT = (-0.01, 1.01)
HALVES = (0, 0.5, 1)


@style()
def comparison(
    table: pd.DataFrame,
    *,
    label: str,
    value: str,
    low: str | None = None,
    high: str | None = None,
    group: str | None = None,
    xlabel: str = "",
    limits: tuple[float, float] = (0.0, 1.0),
    baseline: float | None = None,
    baseline_name: str = "chance",
) -> Figure:
    """Compare values, one line a `label` and one colour and marker a `group`, with intervals if given.

    Parameters
    ----------
    table : DataFrame
        Long form: one row a (label, group). Order of first appearance is kept, from the top down.
    label, value, low, high, group : str
        Column names; `low` and `high` bound the interval.
    limits : (float, float)
        Range of the horizontal axis.
    baseline : float, optional
        Where to draw a dashed line: what a model that knows nothing reaches.

    Raises
    ------
    ValueError
        If a (label, group) has several rows, whose intervals would be drawn as one.
    """
    if table.duplicated([label, group] if group else label).any():
        raise ValueError(f"several rows of one {label}" + (f" and {group}" if group else ""))
    groups = table[group].nunique() if group else 1
    figure, axes = canvas(height=0.6 + table[label].nunique() * (0.22 + 0.13 * groups))
    bounds = {"xmin": low, "xmax": high} if low and high else {}
    draw(_points(table, label, value, group, bounds, orient="y"), axes[0, 0])
    if baseline is not None:
        axes[0, 0].axvline(baseline, label=baseline_name, **CHANCE)
    axes[0, 0].set(xlim=limits, xlabel=xlabel, ylabel="")
    legend(figure)
    return figure


def _points(
    table: pd.DataFrame, place: str, value: str, group: str | None, bounds: dict[str, str], orient: str
) -> so.Plot:
    """Return points at `place` along the axis `orient`, groups side by side, and their intervals."""
    names = {place: str} | ({group: str} if group else {})  # categories and numbers too are names here
    table = table.astype(names).reset_index(drop=True)
    along = {"x": place, "y": value} if orient == "x" else {"x": value, "y": place}
    plot = so.Plot(table, **along, color=group, marker=group)
    side_by_side = so.Dodge(by=["color"])
    if bounds:
        plot = plot.add(so.Range(linewidth=2), side_by_side, orient=orient, legend=False, **bounds)
    whole = {"clip_on": False}  # no half dots on the edge of the axes
    plot = plot.add(so.Dot(artist_kws=whole), side_by_side, orient=orient)
    scales = {orient: so.Nominal(order=table[place].unique().tolist())}  # keeps rows without a value
    return plot.scale(**scales, **(looks(table[group].unique(), "color", "marker") if group else {}))


@style()
def run_spread(
    runs: pd.DataFrame, *, baseline: float | None = None, intervals: pd.DataFrame | None = None
) -> Figure:
    """Show the accuracy of every run: one line per approach, one dot per run, a bar at the mean.

    Dots of one repetition share a height, so that a repetition that went badly shows as a line.

    Parameters
    ----------
    runs : DataFrame
        From `evaluation.metrics.per_run`: fractions, indexed by approach, repeat and fold. Runs in which the
        accuracy is undefined have no dot.
    baseline : float, optional
        Where to draw a dashed line, such as the accuracy of always naming the larger class.
    intervals : DataFrame, optional
        From `evaluation.statistics.intervals`: drawn as a line through each mean, no further than 0 and 1.
    """
    values = runs["accuracy"].reset_index()
    values["approach"] = values["approach"].map(title)
    rows = values["approach"].unique().tolist()
    figure, axes = canvas(height=0.8 + 0.45 * len(rows))
    plot = (
        so.Plot(values, x="accuracy", y="approach")
        .add(so.Dot(pointsize=4, alpha=0.6), so.Dodge(by=["group"]), color="approach", group="repeat")
        .add(so.Dash(color=COLOURS["black"], linewidth=2, width=0.7), so.Agg("mean"))
        .scale(y=so.Nominal(order=rows), **looks(rows, "color"))
    )
    draw(plot, axes[0, 0])
    figure.legends.clear()  # the rows have names
    if baseline is not None:
        axes[0, 0].axvline(baseline, **CHANCE)
    said = "accuracy, one dot per run, bar: mean"
    if intervals is not None:
        ends = intervals.loc[runs.index.unique("approach"), ["low", "high"]].clip(0, 1).to_numpy().T
        axes[0, 0].hlines(range(len(rows)), *ends, color=COLOURS["grey"], linewidth=1.5, zorder=1)
        said += ", line: 95 % interval"
    axes[0, 0].set(xlabel=said, ylabel="", ylim=(len(rows) - 0.5, -0.5))  # with rows without a dot
    return figure


@style()
def gains(table: pd.DataFrame) -> Figure:
    """Show COVID-SDNet's accuracy less each control's with its interval: right of the line it is better.

    Parameters
    ----------
    table : DataFrame
        From `evaluation.gains`.
    """
    columns = {"value": "accuracy", "low": "accuracy_low", "high": "accuracy_high"}
    shown = pd.DataFrame({name: 100 * table[column] for name, column in columns.items()})
    shown["control"] = table["control"].map(title)
    figure, axes = canvas(height=0.8 + 0.35 * len(shown))
    bounds = {"xmin": "low", "xmax": "high"}
    draw(_points(shown, "control", "value", None, bounds, orient="y"), axes[0, 0])
    axes[0, 0].axvline(0, **CHANCE)
    axes[0, 0].set(xlabel="COVID-SDNet less the control, points of accuracy", ylabel="")
    return figure


@style()
def roc_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw ROC curves with their 95 % bands.

    Parameters
    ----------
    curves : dict of str to DataFrame
        From `evaluation.curves.roc`, by approach.
    """
    figure = _curves(curves, "false_positive_rate", "sensitivity")
    figure.axes[0].plot([0, 1], [0, 1], label="chance", **CHANCE)
    figure.axes[0].set(xlabel="1 − specificity", ylabel="sensitivity")
    legend(figure, beside=True)
    return figure


@style()
def precision_recall_curves(curves: Mapping[str, pd.DataFrame], prevalence: float) -> Figure:
    """Draw precision against recall, in steps, with 95 % bands.

    Parameters
    ----------
    curves : dict of str to DataFrame
        From `evaluation.curves.precision_recall`, by approach.
    prevalence : float
        Fraction of positives: the precision of a guess.
    """
    stepped = {approach: _steps(curve, "recall") for approach, curve in curves.items()}
    figure = _curves(stepped, "recall", "precision")
    figure.axes[0].axhline(prevalence, label="chance", **CHANCE)
    figure.axes[0].set(xlabel="recall (sensitivity)", ylabel="precision")
    legend(figure, beside=True)
    return figure


def _steps(curve: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return the corners of a curve whose values hold from the `x` before to their own."""
    corners = curve.loc[curve.index.repeat(2)]
    return corners.assign(**{x: corners[x].shift(fill_value=corners[x].iloc[0])})


def _curves(curves: Mapping[str, pd.DataFrame], x: str, y: str) -> Figure:
    """Draw lines with their bands, on axes that both run from 0 to 1."""
    table = _stacked(curves)
    figure, axes = canvas(height=0.58 * WIDTH)
    plot = (
        so.Plot(table, x=x, y=y, color="approach")
        .add(so.Band(alpha=0.15), ymin="low", ymax="high", legend=False)
        .add(so.Line(), linestyle="approach")
        .scale(**looks(table["approach"].unique(), "color", "linestyle"))
    )
    draw(plot, axes[0, 0])
    axes[0, 0].set(xlim=UNIT, ylim=UNIT, aspect="equal", anchor="W")
    return figure


def _stacked(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of all approaches as one, with the title of each row's approach."""
    rows = [table.assign(approach=title(approach)) for approach, table in tables.items()]
    return pd.concat(rows, ignore_index=True)


@style()
def reliability_diagram(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Show what happens against what is predicted, one panel per approach, with how many images say so.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `evaluation.decisions.reliability`, by approach. The area of a dot is the number of its images.
    """
    sized = {
        approach: table.assign(size=np.sqrt(8 + 200 * table["images"] / table["images"].sum()))
        for approach, table in tables.items()
    }
    table = _stacked(sized)
    cols = min(len(tables), 3)
    rows = -(-len(tables) // cols)
    panel = WIDTH / max(cols, 2)
    figure = sheet(width=panel * cols, height=panel * rows)
    plot = (
        so.Plot(table, x="mean_prob", y="fraction_positive", color="approach")
        .facet("approach", wrap=cols)
        .add(so.Range(), ymin="low", ymax="high")
        .add(so.Dot(artist_kws={"clip_on": False}), pointsize="size")
        .scale(pointsize=None, **looks(table["approach"].unique(), "color"))
        .label(x="", y="")
    )
    draw(plot, figure)
    figure.legends.clear()  # the panels have titles
    for axis in figure.axes:
        axis.plot([0, 1], [0, 1], **CHANCE)
        axis.set(xlim=UNIT, ylim=UNIT, xticks=HALVES, yticks=HALVES, aspect="equal")
    figure.supxlabel("predicted probability of P", fontsize=10)
    figure.supylabel("fraction that is P", fontsize=10)
    return figure


@style()
def decision_curves(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw net benefit against the probability from which one acts, beside acting always and never.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `evaluation.decisions.net_benefit`, by approach, all at one prevalence.
    """
    table, any_table = _stacked(tables), next(iter(tables.values()))
    figure, axes = canvas(height=3.3)
    axis = axes[0, 0]
    plot = so.Plot(table, x="threshold", y="model", color="approach", linestyle="approach").add(so.Line())
    draw(plot.scale(**looks(table["approach"].unique(), "color", "linestyle")), axis)
    axis.plot(any_table["threshold"], any_table["treat_all"], label="act always", **CHANCE)
    axis.plot(any_table["threshold"], any_table["treat_none"], color=COLOURS["black"], lw=1, label="never")
    top = table["model"].max()
    # Acting always falls without end; what is far below nothing is of no interest.
    axis.set(xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top))
    axis.set(xlabel="probability from which one acts", ylabel="net benefit a patient")
    legend(figure)
    return figure


@style()
def severity_accuracy(table: pd.DataFrame) -> Figure:
    """Show the accuracy on each level of severity, mean and sd, side by side for all approaches.

    Parameters
    ----------
    table : DataFrame
        From `evaluation.tables.table_6`.
    """
    levels = {level: table[level] for level in table.columns.get_level_values(0).unique()}
    rows = pd.concat(levels, names=["level", "approach"]).reset_index()
    rows["approach"] = rows["approach"].map(title)
    sd = rows["sd"].fillna(0)  # one run has no sd, and no bar
    rows = rows.assign(low=rows["mean"] - sd, high=rows["mean"] + sd)
    figure, axes = canvas(height=3.0)
    draw(_points(rows, "level", "mean", "approach", {"ymin": "low", "ymax": "high"}, "x"), axes[0, 0])
    axes[0, 0].set(ylim=(-0.03, 1.05), xlabel="", ylabel="accuracy, mean ± sd")
    legend(figure)
    return figure
