"""Figures of results: spread over runs, curves with their bands, calibration, accuracy by severity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdnet_lib.evaluation.tables import title
from sdnet_lib.plots.style import COLOURS, CYCLE, MARKERS, WIDTH, canvas, style

SQUARE = WIDTH / 2  # side of a figure whose axes both run from 0 to 1
UNIT = (-0.01, 1.01)


def _look(number: int) -> dict[str, str]:
    return {"color": CYCLE[number % len(CYCLE)], "marker": MARKERS[number % len(MARKERS)]}


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside upper left", ncols=3, fontsize=9)


@style()
def run_spread(
    runs: pd.DataFrame,
    measure: str = "accuracy",
    *,
    names: Mapping[str, str] | None = None,
    baseline: float | None = None,
) -> Figure:
    """Show a measure of every run: one line an approach, one dot a run, a bar at the mean.

    Parameters
    ----------
    runs : DataFrame
        From `evaluation.metrics.per_run`: fractions, indexed by approach, repeat and fold. Runs in which the
        measure is undefined have no dot.
    measure : str
        The column to show.
    names : dict of str to str, optional
        Titles of approaches.
    baseline : float, optional
        Where to draw a dashed line, such as the accuracy of always naming the larger class.
    """
    groups = list(runs[measure].groupby("approach", sort=False))
    figure, axes = canvas(height=0.8 + 0.45 * len(groups))
    axis = axes[0, 0]
    for number, (_, values) in enumerate(groups):
        # Dots of one repetition share a height, so that a repetition that went badly shows as a line.
        repeat = pd.factorize(values.index.get_level_values("repeat"))[0]
        height = number + 0.5 * ((repeat + 0.5) / (repeat.max() + 1) - 0.5)
        axis.plot(values, height, "o", color=CYCLE[number % len(CYCLE)], alpha=0.6, markersize=4)
        axis.vlines(values.mean(), number - 0.35, number + 0.35, color=COLOURS["black"], linewidth=2)
    if baseline is not None:
        axis.axvline(baseline, color=COLOURS["grey"], linestyle="--", zorder=0)
    ticks = [title(approach, names) for approach, _ in groups]
    axis.set(yticks=range(len(groups)), yticklabels=ticks, xlabel=f"{measure}, one dot a run, bar: mean")
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.grid(axis="x")
    return figure


@style()
def roc_curves(curves: Mapping[str, pd.DataFrame], *, names: Mapping[str, str] | None = None) -> Figure:
    """Draw ROC curves with their 95 % bands.

    Parameters
    ----------
    curves : dict of str to DataFrame
        From `evaluation.curves.roc`, by approach.
    """
    figure, axes = canvas(width=SQUARE * 1.3, height=SQUARE * 1.25)
    axis = axes[0, 0]
    for number, (approach, curve) in enumerate(curves.items()):
        _curve(axis, curve, "false_positive_rate", "sensitivity", title(approach, names), number)
    axis.plot([0, 1], [0, 1], "--", color=COLOURS["grey"], zorder=0, label="chance")
    axis.set(xlim=UNIT, ylim=UNIT, xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
    _legend(figure)
    return figure


@style()
def precision_recall_curves(
    curves: Mapping[str, pd.DataFrame], prevalence: float, *, names: Mapping[str, str] | None = None
) -> Figure:
    """Draw precision against recall, in steps, with 95 % bands.

    Parameters
    ----------
    curves : dict of str to DataFrame
        From `evaluation.curves.precision_recall`, by approach.
    prevalence : float
        Share of positives: the precision of a guess.
    """
    figure, axes = canvas(width=SQUARE * 1.3, height=SQUARE * 1.25)
    axis = axes[0, 0]
    for number, (approach, curve) in enumerate(curves.items()):
        _curve(axis, curve, "recall", "precision", title(approach, names), number, step="pre")
    axis.axhline(prevalence, linestyle="--", color=COLOURS["grey"], zorder=0, label="chance")
    axis.set(xlim=UNIT, ylim=UNIT, xlabel="recall (sensitivity)", ylabel="precision", aspect="equal")
    _legend(figure)
    return figure


def _curve(
    axis: Axes, curve: pd.DataFrame, x: str, y: str, label: str, number: int, step: str | None = None
) -> None:
    colour = CYCLE[number % len(CYCLE)]
    axis.fill_between(curve[x], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0, step=step)
    drawn = f"steps-{step}" if step else "default"
    axis.plot(curve[x], curve[y], color=colour, label=label, drawstyle=drawn)


@style()
def reliability_diagram(
    tables: Mapping[str, pd.DataFrame], *, names: Mapping[str, str] | None = None
) -> Figure:
    """Show what happens against what is predicted, one panel an approach, with how many images say so.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `evaluation.decisions.reliability`, by approach. The area of a dot is the number of its images.
    """
    cols = min(len(tables), 3)
    rows = -(-len(tables) // cols)
    side = WIDTH / max(cols, 2)
    figure, axes = canvas(rows, cols, width=side * cols, height=side * rows, sharex=True, sharey=True)
    for axis in axes.flat[len(tables) :]:
        axis.set_axis_off()
    panels = zip(axes.flat, tables.items(), strict=False)
    for number, (axis, (approach, table)) in enumerate(panels):
        colour = CYCLE[number % len(CYCLE)]
        axis.plot([0, 1], [0, 1], "--", color=COLOURS["grey"], zorder=0)
        axis.vlines(table["mean_prob"], table["low"], table["high"], color=colour)
        sizes = 200 * table["images"] / table["images"].sum()
        axis.scatter(table["mean_prob"], table["share_positive"], 8 + sizes, color=colour)
        axis.set(xlim=UNIT, ylim=UNIT, title=title(approach, names))
    figure.supxlabel("predicted probability of P", fontsize=10)
    figure.supylabel("share that is P", fontsize=10)
    return figure


@style()
def decision_curves(tables: Mapping[str, pd.DataFrame], *, names: Mapping[str, str] | None = None) -> Figure:
    """Draw net benefit against the probability from which one acts, beside acting always and never.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `evaluation.decisions.net_benefit`, by approach, all at one prevalence.
    """
    figure, axes = canvas(height=3.6)
    axis, any_table = axes[0, 0], next(iter(tables.values()))
    for number, (approach, table) in enumerate(tables.items()):
        colour = CYCLE[number % len(CYCLE)]
        axis.plot(table["threshold"], table["model"], color=colour, label=title(approach, names))
    always = {"color": COLOURS["grey"], "linestyle": "--", "label": "act always"}
    axis.plot(any_table["threshold"], any_table["treat_all"], **always)
    axis.plot(any_table["threshold"], any_table["treat_none"], color=COLOURS["black"], lw=1, label="never")
    top = max(table["model"].max() for table in tables.values())
    # Acting always falls without end; what is far below nothing is of no interest.
    axis.set(xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top), xlabel="probability from which one acts")
    axis.set_ylabel("net benefit a patient")
    _legend(figure)
    return figure


@style()
def severity_accuracy(table: pd.DataFrame, *, names: Mapping[str, str] | None = None) -> Figure:
    """Show the accuracy on each level of severity, mean and sd, side by side for all approaches.

    Parameters
    ----------
    table : DataFrame
        From `evaluation.tables.table_6`.
    """
    levels = list(dict.fromkeys(table.columns.get_level_values(0)))
    figure, axes = canvas(height=3.4)
    axis = axes[0, 0]
    for number, approach in enumerate(table.index):
        shift = (number - (len(table) - 1) / 2) * 0.7 / len(table)
        mean, sd = (
            np.array([table.at[approach, (level, what)] for level in levels]) for what in ("mean", "sd")
        )
        x = np.arange(len(levels)) + shift
        label = title(approach, names)
        # One run has no sd, and no bar.
        axis.errorbar(x, mean, np.nan_to_num(sd), linestyle="none", label=label, **_look(number))
    axis.set(xticks=range(len(levels)), xticklabels=levels, ylim=(0, 1.02), ylabel="accuracy, mean ± sd")
    axis.grid(axis="y")
    _legend(figure)
    return figure
