"""Figures of cohorts: who was excluded on the way to a release, and how ill those are who are in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from seaborn import objects as so

from sdnet_lib.plots.colours import COLOURS
from sdnet_lib.plots.theme import SMALL, canvas, draw, legend, looks, style


@style()
def flow_diagram(flow: pd.DataFrame, released: dict[str, int]) -> Figure:
    """Draw who was excluded, and why, between an archive and its release.

    Parameters
    ----------
    flow : DataFrame
        Columns ``rule, excluded, left``; the first row is the archive, see `sdnet_lib.data.release.flow`.
    released : dict of str to int
        Images by class, for the last box.
    """
    figure, axes = canvas(height=0.42 * len(flow) + 0.6)
    axis = axes[0, 0]
    axis.set(xlim=(0.4, 8.4), ylim=(len(flow) + 0.35, -0.6))
    axis.set_axis_off()
    box = {
        "boxstyle": "round,pad=0.35",
        "facecolor": "white",
        "edgecolor": COLOURS["black"],
        "linewidth": 0.8,
    }
    out = box | {"edgecolor": COLOURS["vermilion"]}
    arrow = {"arrowstyle": "-|>", "color": COLOURS["grey"], "linewidth": 0.8}
    end = len(flow) - 0.2
    axis.annotate("", (2, end - 0.2), (2, 0), arrowprops=arrow)
    axis.text(
        2, 0, f"{flow['left'].iloc[0]} studies {flow['rule'].iloc[0]}", ha="center", va="center", bbox=box
    )
    for y, (rule, excluded, left) in enumerate(flow.iloc[1:].itertuples(index=False), start=1):
        axis.annotate("", (4.2, y - 0.5), (2, y - 0.5), arrowprops=arrow)
        axis.text(4.3, y - 0.5, f"{excluded}  {rule}", va="center", bbox=out, fontsize=SMALL)
        axis.text(1.9, y, f"{left} left ", ha="right", va="center", fontsize=SMALL, color=COLOURS["grey"])
    classes = ", ".join(f"{count} {name}" for name, count in released.items())
    axis.text(2, end, f"released: {classes}", ha="center", va="center", bbox=box | {"facecolor": "#e8f1f8"})
    return figure


@style()
def extents(scores: pd.DataFrame, levels: pd.Series) -> Figure:
    """Show real extents: how many images have each, by level, and the density that goes with it.

    Parameters
    ----------
    scores : DataFrame
        ``extent`` (0 to 8) and ``opacity`` (0 to 6), one row per image; see `sdnet_lib.data.extents`.
    levels : Series, ordered categorical
        The level of each row; see `sdnet_lib.data.severity.extent_severities`.
    """
    figure, axes = canvas(1, 2, height=3.0)
    bars, dots = axes[0]
    # One bar for each mean of three whole numbers.
    bins = so.Hist(binwidth=1 / 3, binrange=(-1 / 6, 8 + 1 / 6))
    plot = so.Plot(scores.assign(level=levels).reset_index(drop=True), x="extent", color="level")
    plot = plot.add(so.Bar(alpha=1, edgecolor="white", edgewidth=0.5, width=1), bins, so.Stack())
    draw(plot.scale(**looks(levels.cat.categories, "color")), bars)
    bars.set(xlabel="extent, mean of three raters (0 to 8)", ylabel="images")
    bars.set_title(f"{len(scores)} real images by extent")
    counts = scores.groupby(["extent", "opacity"]).size().reset_index(name="images")
    counts["size"] = np.sqrt(14 * counts["images"])
    plot = so.Plot(counts, x="extent", y="opacity", pointsize="size").add(so.Dot(alpha=0.7))
    draw(plot.scale(pointsize=None), dots)
    dots.set(xlabel="extent (0 to 8)", ylabel="density (0 to 6)", title="wider is denser (area: images)")
    legend(figure)
    return figure
