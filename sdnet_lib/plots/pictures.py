"""Figures of images and cohorts: contact sheets, outlines, comparisons with intervals, flow diagrams."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sdnet_lib.plots.style import COLOURS, CYCLE, MARKERS, WIDTH, canvas, style


@style()
def contact_sheet(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    *,
    cols: int | None = None,
    colours: Sequence[str] | None = None,
) -> Figure:
    """Show images side by side.

    Parameters
    ----------
    images : sequence of array, (H, W) or (H, W, 3)
        Grey images are shown from 0 (black) to 1 (white), without stretching the contrast.
    titles : sequence of str, optional
        One a picture.
    cols : int, optional
        Pictures in a row; all in one row if there are at most eight.
    colours : sequence of str, optional
        Colours of the titles, for instance from `CLASS_COLOURS`.
    """
    titles, colours = (None if given is None else list(given) for given in (titles, colours))
    cols = cols or (len(images) if len(images) <= 8 else 8)
    rows = -(-len(images) // cols)
    title_room = 0.3 if titles is not None else 0.05
    figure, axes = canvas(rows, cols, height=rows * (WIDTH / cols + title_room))
    for number, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if number >= len(images):
            continue
        axis.imshow(images[number], vmin=0, vmax=1)
        if titles is not None:
            axis.set_title(titles[number], fontsize=9, color=colours[number] if colours else "black")
    return figure


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
    """
    labels = list(dict.fromkeys(table[label]))
    groups = list(dict.fromkeys(table[group])) if group else [None]
    figure, axes = canvas(height=0.7 + len(labels) * (0.22 + 0.13 * len(groups)))
    axis = axes[0, 0]
    for number, name in enumerate(groups):
        rows = table[table[group] == name] if group else table
        shift = (number - (len(groups) - 1) / 2) * 0.7 / len(groups)
        y = np.array([labels.index(entry) for entry in rows[label]]) + shift
        if low and high:
            axis.hlines(y, rows[low], rows[high], color=CYCLE[number % len(CYCLE)], linewidth=2)
        look = {"color": CYCLE[number % len(CYCLE)], "label": name, "clip_on": False}
        axis.plot(rows[value], y, MARKERS[number % len(MARKERS)], **look)
    if baseline is not None:
        axis.axvline(baseline, color=COLOURS["grey"], linestyle="--", zorder=0, label=baseline_name)
    axis.set(yticks=range(len(labels)), yticklabels=labels, xlim=limits, xlabel=xlabel)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.grid(axis="x")
    if group or baseline is not None:
        figure.legend(loc="outside upper left", ncols=4, fontsize=9)
    return figure


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
        axis.text(4.3, y - 0.5, f"{excluded}  {rule}", va="center", bbox=out, fontsize=9)
        axis.text(1.9, y, f"{left} left ", ha="right", va="center", fontsize=9, color=COLOURS["grey"])
    classes = ", ".join(f"{count} {name}" for name, count in released.items())
    axis.text(2, end, f"released: {classes}", ha="center", va="center", bbox=box | {"facecolor": "#e8f1f8"})
    return figure


@style()
def lung_parts(
    images: Sequence[np.ndarray],
    parts: Sequence[dict[str, np.ndarray]],
    affected: Sequence[Sequence[str]],
    titles: Sequence[str],
) -> Figure:
    """Show radiographs with the outlines of their eight lung parts, the affected ones in colour.

    Parameters
    ----------
    images : sequence of array, (H, W)
    parts : sequence of dict of str to array of bool, (H, W)
        Of `sdnet_lib.data.severity.part_masks`, one a picture.
    affected : sequence of sequence of str
        Names of the affected parts, one sequence a picture.
    titles : sequence of str
        One a picture.
    """
    figure = contact_sheet(images, titles)
    for axis, masks, names in zip(figure.axes, parts, affected, strict=False):
        for name in sorted(masks, key=lambda name: name in names):  # affected outlines on top
            mask, hit = masks[name], name in names
            colour = COLOURS["orange"] if hit else "white"
            axis.contour(mask, levels=[0.5], colors=colour, linewidths=1.2 if hit else 0.5)
            middle = np.argwhere(mask).mean(axis=0)
            text = axis.text(middle[1], middle[0], name, color=colour, ha="center", va="center", fontsize=7)
            text.set_path_effects([withStroke(linewidth=2, foreground="black")])
    return figure


@style()
def extents(scores: pd.DataFrame, levels: pd.Series) -> Figure:
    """Show real extents: how many images have each, by level, and the density that goes with it.

    Parameters
    ----------
    scores : DataFrame
        ``extent`` (0 to 8) and ``opacity`` (0 to 6), one row an image; see `sdnet_lib.data.extents`.
    levels : Series, ordered categorical
        The level of each row; see `sdnet_lib.data.severity.extent_severities`.
    """
    figure, axes = canvas(1, 2, height=3.0)
    bars, dots = axes[0]
    edges = (np.arange(26) - 0.5) / 3  # one bar for each mean of three whole numbers
    groups = [scores.loc[levels == level, "extent"] for level in levels.cat.categories]
    bars.hist(
        groups, edges, stacked=True, label=list(levels.cat.categories), edgecolor="white", linewidth=0.5
    )
    bars.set(
        xlabel="extent, mean of three raters", ylabel="images", title=f"{len(scores)} real images by extent"
    )
    bars.legend(fontsize=8)
    counts = scores.groupby(["extent", "opacity"]).size().reset_index(name="images")
    dots.scatter(counts["extent"], counts["opacity"], 14 * counts["images"], alpha=0.7)
    dots.set(xlabel="extent (0 to 8)", ylabel="density (0 to 6)", title="wider is denser (area: images)")
    return figure


@style()
def lung_outlines(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    boxes: Sequence[tuple[int, int, int, int] | None],
    titles: Sequence[str],
    *,
    truths: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Show radiographs with the outline of the lungs and the rectangle that a crop keeps.

    Parameters
    ----------
    images : sequence of array, (H, W)
    masks : sequence of bool array, (H, W)
        Predicted lungs, drawn in orange.
    boxes : sequence of (left, top, right, bottom) or None
        Drawn in sky blue; None where no lungs were found.
    titles : sequence of str
        One a picture.
    truths : sequence of bool array, (H, W), optional
        True lungs, drawn in white and dotted.
    """
    figure = contact_sheet(images, titles)
    for number, axis in enumerate(figure.axes[: len(images)]):
        if masks[number].any():
            axis.contour(masks[number], levels=[0.5], colors=COLOURS["orange"], linewidths=1.2)
        if truths is not None and truths[number].any():
            axis.contour(truths[number], levels=[0.5], colors="white", linewidths=0.8, linestyles=":")
        if boxes[number] is not None:
            left, top, right, bottom = boxes[number]
            size = (right - left - 1, bottom - top - 1)
            axis.add_patch(
                mpl.patches.Rectangle((left, top), *size, fill=False, color=COLOURS["sky"], lw=1.5)
            )
    return figure


@style()
def margins(table: pd.DataFrame) -> Figure:
    """Show what a margin buys and what it costs: whole lungs and more image, against the margin.

    Parameters
    ----------
    table : DataFrame
        `margin`, `whole` (images whose lungs are not cut) and `image_kept` (mean), all shares.
    """
    figure, axes = canvas(height=2.8)
    axis = axes[0, 0]
    lines = (("whole", "images whose lungs stay whole"), ("image_kept", "image kept, mean"))
    for marker, (column, name) in zip(MARKERS, lines, strict=False):
        axis.plot(100 * table["margin"], 100 * table[column], marker=marker, label=name)
    axis.axvline(2.5, color=COLOURS["grey"], linestyle="--", zorder=0, label="the paper's margin")
    axis.set(xlabel="margin on each side (% of the rectangle)", ylabel="%", ylim=(0, 103))
    axis.grid(axis="y")
    axis.legend(fontsize=9)
    return figure
