"""The one style of all figures: colours, canvas, and what every figure function wears.

A figure function wears ``@style()``, takes its axes from `canvas` and returns the Figure, closed for
pyplot so that a notebook shows it once, as the value of the cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by readers with any kind of colour vision, and in print.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "black": "#000000",
    "grey": "#777777",
}
CYCLE = [COLOURS[name] for name in ("blue", "vermilion", "green", "orange", "purple", "sky", "black")]
CLASS_COLOURS = {"N": COLOURS["blue"], "P": COLOURS["vermilion"]}
MARKERS = "osD^vPX"
WIDTH = 8.0  # inches; at 150 dpi wider than the book's text column, hence sharp on any screen


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside the ``with`` block or, as a decorator, inside the function."""
    with mpl.rc_context(
        {
            "figure.dpi": 150,
            "figure.facecolor": "white",
            "font.size": 10,
            "axes.prop_cycle": mpl.cycler(color=CYCLE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.grid": False,
            "grid.color": "#dddddd",
            "legend.frameon": False,
            "image.cmap": "gray",
        }
    ):
        yield


def canvas(
    rows: int = 1, cols: int = 1, *, width: float = WIDTH, height: float = 3.0, **options: object
) -> tuple[Figure, np.ndarray]:
    """Return a figure of `width` x `height` inches, closed for pyplot, and its (rows, cols) array of axes.

    `options` go to `matplotlib.pyplot.subplots` (``sharex``, ``width_ratios`` and so on).
    """
    figure, axes = plt.subplots(
        rows, cols, figsize=(width, height), layout="constrained", squeeze=False, **options
    )
    plt.close(figure)
    return figure, axes
