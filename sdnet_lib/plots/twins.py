"""Figures of FuCiTNet and of the fusion: how generators learn, what they change, what both twins are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdnet_lib.plots.style import CLASS_COLOURS, COLOURS, CYCLE, MARKERS, WIDTH, canvas, style

DIFFERENCE = "PuOr"  # told apart by readers with any kind of colour vision
PARTS = ("x", "x+", "x-", "x+ less x", "x- less x")


@style()
def loss_terms(
    history: pd.DataFrame, *, perceptual: float, cross_entropy: float, time: str = "epoch"
) -> Figure:
    """Show the three terms of equation 1 as they count in the loss, as time passes, for each generator.

    Parameters
    ----------
    history : DataFrame
        Of `fucitnet.fit`, or one with the same columns and a row a step.
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
    figure, axes = canvas(1, len(terms), height=2.7, sharex=True)
    for axis, (term, factor, title) in zip(axes[0], terms, strict=True):
        for marker, label in zip(MARKERS, CLASS_COLOURS, strict=False):
            look = {"color": CLASS_COLOURS[label], "marker": marker, "label": f"generator of {label}"}
            axis.plot(history[time], factor * history[f"{term}_{label}"], markersize=4, **look)
        axis.set(title=title, xlabel=time)
        axis.set_ylim(bottom=min(0, *axis.get_ylim()))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=9)
    return figure


@style()
def training_runs(histories: Mapping[str, pd.DataFrame], columns: Mapping[str, str]) -> Figure:
    """Compare runs epoch by epoch: one panel a column of their histories, one line a run.

    Parameters
    ----------
    histories : dict of str to DataFrame
        Of `fucitnet.fit`, by the name of the run.
    columns : dict of str to str
        Title of each column to show.
    """
    figure, axes = canvas(1, len(columns), height=2.8)
    for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
        for number, (name, history) in enumerate(histories.items()):
            look = {"color": CYCLE[number % len(CYCLE)], "marker": MARKERS[number % len(MARKERS)]}
            axis.plot(history["epoch"], history[column], label=name, clip_on=False, **look)
        axis.set(title=title, xlabel="epoch")
        axis.set_ylim(bottom=min(0, *axis.get_ylim()))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4, fontsize=9)
    return figure


@style()
def twin_rows(images: np.ndarray, twins: np.ndarray, titles: Sequence[str]) -> Figure:
    """Show images, their twins, and what the generators added (orange) and took away (purple).

    All differences share one scale, which ends where one pixel of a hundred lies beyond it.

    Parameters
    ----------
    images : array in [0, 1], (n, side, side)
    twins : array in [0, 1], (n, 2, 3, side, side)
        x+ and x-, from `fucitnet.transform`.
    titles : sequence of str
        One an image, written beside it.
    """
    images, twins = np.asarray(images, float), np.asarray(twins, float)
    change = twins.mean(2) - images[:, None]
    most = max(np.quantile(np.abs(change), 0.99), 1e-3)
    side = WIDTH / (len(PARTS) + 0.4)
    figure, axes = canvas(len(images), len(PARTS), height=side * len(images) + 0.9)
    for row, title in enumerate(titles):
        pictures = images[row], *(twin.transpose(1, 2, 0) for twin in twins[row])
        for axis, picture in zip(axes[row], pictures, strict=False):
            axis.imshow(picture, vmin=0, vmax=1)
        for axis, added in zip(axes[row, 3:], change[row], strict=True):
            # PuOr runs from orange to purple, hence the sign.
            shown = axis.imshow(-added, cmap=DIFFERENCE, vmin=-most, vmax=most)
        axes[row, 0].set_ylabel(title, fontsize=9)
    for axis, part in zip(axes[0], PARTS, strict=True):
        axis.set_title(part)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=axes, location="bottom", fraction=0.05, aspect=50)
    ticks = np.linspace(-most, most, 5)
    bar.set_ticks(-ticks, labels=[f"{tick:+.2g}" if tick else "0" for tick in ticks])
    bar.ax.invert_xaxis()
    bar.set_label("change of brightness (black 0, white 1)")
    return figure


@style()
def twin_answers(
    theta: np.ndarray, psi: np.ndarray, classes: Sequence[str], titles: Sequence[str], *, cols: int = 4
) -> Figure:
    """Show what the network says of both twins of a few images, the largest of all values in a black frame.

    Parameters
    ----------
    theta, psi : array, (n, classes)
        Probabilities for x+ (full bars) and x- (hatched bars).
    classes : sequence of str
        Names in the order of the columns; those that begin with P wear the colour of P.
    titles : sequence of str
        One an image.
    cols : int
        Panels in a row.
    """
    cols = min(cols, len(titles))
    rows = -(-len(titles) // cols)
    figure, axes = canvas(rows, cols, height=2.3 * rows + 0.3, sharex=True, sharey=True)
    places = np.arange(len(classes))
    for axis, first, second, title in zip(axes.flat, theta, psi, titles, strict=False):
        largest = max(first.max(), second.max())
        for shift, values, hatch in ((-0.2, first, ""), (0.2, second, "////")):
            edges = [COLOURS["black"] if value == largest else "white" for value in values]
            bars = axis.bar(places + shift, values, 0.38, hatch=hatch, linewidth=1.5)
            for bar, name, edge in zip(bars, classes, edges, strict=True):
                bar.set(facecolor=CLASS_COLOURS[name[0]], edgecolor=edge)
        axis.set(xticks=places, xticklabels=classes, ylim=(0, 1.02), axisbelow=True)
        axis.set_title(title, fontsize=9)
        axis.grid(axis="y")
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    key = [
        mpl.patches.Patch(facecolor=COLOURS["grey"], edgecolor="white", hatch=hatch, label=name)
        for name, hatch in (("x+ (theta)", ""), ("x- (psi)", "////"))
    ]
    figure.legend(handles=key, loc="outside upper left", ncols=2, fontsize=9)
    return figure
