"""Figures of what changes along a setting: losses by epoch, lungs by margin, answers as pixels go."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from seaborn import objects as so

from sdnet_lib.plots.colours import CLASS_COLOURS, COLOURS
from sdnet_lib.plots.theme import draw, legend, looks, sheet, style


def _panels(table: pd.DataFrame, x: str, y: str, *, line: str, panel: str, height: float) -> Figure:
    """Draw lines with markers: one panel a `panel`, one colour and marker a `line`."""
    figure = sheet(height=height)
    plot = (
        so.Plot(table, x=x, y=y, color=line, marker=line)
        .facet(panel)
        .share(y=False)
        .add(so.Line(artist_kws={"clip_on": False}, pointsize=4))
        .scale(**looks(table[line].unique(), "color", "marker"))
        .label(x=x, y="")
    )
    draw(plot, figure)
    for axis in figure.axes:
        axis.set_ylim(bottom=min(0, *axis.get_ylim()))
    return figure


def _whole_numbers(figure: Figure) -> None:
    for axis in figure.axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


@style()
def loss_terms(
    history: pd.DataFrame, *, perceptual: float, cross_entropy: float, time: str = "epoch"
) -> Figure:
    """Show the three terms of equation 1 as they count in the loss, as time passes, for each generator.

    Parameters
    ----------
    history : DataFrame
        Of `fucitnet.fit`, or one with the same columns and a row per step.
    perceptual, cross_entropy : float
        What these terms were multiplied with; the latter is the paper's lambda.
    time : str
        The column that counts epochs or steps.
    """
    terms = (
        ("mse", 1, "mean square"),
        ("perceptual", perceptual, f"{perceptual:g} × perceptual"),
        ("cross_entropy", cross_entropy, f"{cross_entropy:g} × cross-entropy"),
    )
    rows = [
        pd.DataFrame({time: history[time], "value": factor * history[f"{term}_{label}"]}).assign(
            term=name, generator=f"generator of {label}"
        )
        for term, factor, name in terms
        for label in CLASS_COLOURS
    ]
    figure = _panels(
        pd.concat(rows, ignore_index=True), time, "value", line="generator", panel="term", height=2.5
    )
    figure.axes[0].set_ylabel("loss")
    _whole_numbers(figure)
    legend(figure)
    return figure


@style()
def training_runs(histories: Mapping[str, pd.DataFrame], columns: Mapping[str, str]) -> Figure:
    """Compare runs epoch by epoch: one panel per column of their histories, one line per run.

    Parameters
    ----------
    histories : dict of str to DataFrame
        Of `fucitnet.fit`, by the name of the run.
    columns : dict of str to str
        Title of each column to show.
    """
    runs = pd.concat(histories, names=["run"]).reset_index("run").rename(columns=columns)
    table = runs.melt(["run", "epoch"], list(columns.values()), "column", "value")
    figure = _panels(table, "epoch", "value", line="run", panel="column", height=2.5)
    figure.axes[0].set_ylabel("loss")
    _whole_numbers(figure)
    legend(figure)
    return figure


@style()
def margins(table: pd.DataFrame) -> Figure:
    """Show what a margin buys and what it costs: whole lungs and more image, against the margin.

    Parameters
    ----------
    table : DataFrame
        `margin`, `whole` (images whose lungs are not cut) and `image_kept` (mean), all fractions.
    """
    names = {"whole": "images whose lungs stay whole", "image_kept": "image kept, mean"}
    percent = (100 * table[["margin", *names]]).rename(columns=names)
    rows = percent.melt("margin", var_name="what", value_name="percent")
    figure = _panels(rows.assign(panel=""), "margin", "percent", line="what", panel="panel", height=2.7)
    axis = figure.axes[0]
    axis.axvline(2.5, color=COLOURS["grey"], linestyle="--", zorder=0, label="the paper's margin")
    axis.set(xlabel="margin on each side (% of the rectangle)", ylabel="%", ylim=(0, 103))
    legend(figure)
    return figure


@style()
def change_curves(curves: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Show how an answer changes while pixels vanish or appear: a panel per kind of curve, a line per method.

    Parameters
    ----------
    curves : mapping of str to mapping of str to array, (n, steps + 1)
        Kind, then method, then probabilities from `explain.faithfulness.curve`; their mean is drawn.
    """
    rows = [
        pd.DataFrame({"percent": np.linspace(0, 100, values.shape[1]), "probability": values.mean(0)}).assign(
            kind=kind, method=method
        )
        for kind, methods in curves.items()
        for method, values in methods.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    figure = _panels(table, "percent", "probability", line="method", panel="kind", height=2.8)
    for axis, kind in zip(figure.axes, curves, strict=True):
        verb = "blurred" if kind == "deletion" else "restored"
        axis.set(xlabel=f"pixels {verb}, highest first (%)", ylim=(0, 1))
    figure.axes[0].set_ylabel("mean probability")
    legend(figure)
    return figure
