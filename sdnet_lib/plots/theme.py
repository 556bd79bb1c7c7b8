"""The one style of all figures: theme, colours, markers, canvas, and where legends go.

A figure function wears ``@style()``, takes its axes from `canvas` and returns the Figure, closed for
pyplot so that a notebook shows it once, as the value of the cell. This module does not import seaborn, whose
theme matplotlib ships, so that processes which only draw pictures start fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdnet_lib.plots.colours import COLOURS

if TYPE_CHECKING:
    from seaborn.objects import Plot

CYCLE = [COLOURS[name] for name in ("blue", "vermilion", "green", "orange", "purple", "sky", "black")]
# More markers than colours, and other lines once the colours are used up, so that an eighth approach does not
# look like the first.
MARKERS = "osD^vPX<>p"
LOOKS = {"color": CYCLE, "marker": MARKERS, "linestyle": ["-"] * len(CYCLE) + ["-."] * len(CYCLE)}
WIDTH = 8.0  # inches; at 150 dpi wider than the book's text column, hence sharp on any screen
SMALL = 9  # points, the smallest text
THEME = {
    **mpl.style.library["seaborn-v0_8-whitegrid"],
    "figure.dpi": 150,
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib's own: the same letters on every machine
    "axes.edgecolor": COLOURS["black"],
    "axes.prop_cycle": mpl.cycler(color=CYCLE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "#dddddd",
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "image.cmap": "gray",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside the ``with`` block or, as a decorator, inside the function."""
    with mpl.rc_context(THEME):
        yield


def sheet(*, width: float = WIDTH, height: float = 3.0) -> Figure:
    """Return a figure of `width` x `height` inches without axes, closed for pyplot."""
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure


def canvas(
    rows: int = 1, cols: int = 1, *, width: float = WIDTH, height: float = 3.0, **options: object
) -> tuple[Figure, np.ndarray]:
    """Return a `sheet` and its (rows, cols) array of axes.

    `options` go to `matplotlib.figure.Figure.subplots` (``sharex``, ``width_ratios`` and so on).
    """
    figure = sheet(width=width, height=height)
    return figure, figure.subplots(rows, cols, squeeze=False, **options)


def looks(names: Iterable[str], *properties: str) -> dict[str, dict[str, str]]:
    """Return what each of `names` looks like, as scales for seaborn: no two alike up to fourteen names.

    Parameters
    ----------
    names : iterable of str
    properties : str
        Some of `LOOKS`.
    """
    names = list(names)
    return {name: dict(zip(names, cycle(LOOKS[name]), strict=False)) for name in properties}


def draw(plot: Plot, target: Axes | Figure) -> None:
    """Draw a plot of `seaborn.objects` in the style that is in force; facets want a figure without axes."""
    plot.theme({name: mpl.rcParams[name] for name in plot.config.theme}).on(target).plot()


def legend(figure: Figure, *, beside: bool = False) -> None:
    """Put one legend outside the axes: what seaborn drew in `figure`, then lines that have a label.

    Parameters
    ----------
    beside : bool
        At the right, which suits square axes, instead of above, where the figure grows by its height.
    """
    marks, labels = figure.axes[0].get_legend_handles_labels()
    for drawn in figure.legends:
        marks = drawn.legend_handles + marks
        labels = [text.get_text() for text in drawn.get_texts()] + labels
    figure.legends.clear()
    if not labels:
        return
    if beside:
        figure.legend(marks, labels, loc="outside right upper")
        return
    for columns in range(len(labels), 0, -1):  # as many as fit, with a little room
        key = figure.legend(marks, labels, loc="outside upper left", ncols=columns)
        size = key.get_window_extent()
        if size.width <= 0.97 * figure.bbox.width or columns == 1:
            break
        key.remove()
    figure.set_figheight(figure.get_figheight() + size.height / figure.dpi)
