"""Figures of radiographs: contact sheets, and outlines of lungs, of their parts and of what a crop keeps."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sdnet_lib.plots.colours import COLOURS
from sdnet_lib.plots.theme import SMALL, WIDTH, canvas, style


@style()
def contact_sheet(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    cols: int | None = None,
    colours: Sequence[str] | None = None,
) -> Figure:
    """Show images side by side.

    Parameters
    ----------
    images : sequence of array, (H, W) or (H, W, 3)
        Grey images are shown from 0 (black) to 1 (white), without stretching the contrast.
    titles : sequence of str
        One a picture.
    cols : int, optional
        Pictures in a row; all in one row if there are at most eight.
    colours : sequence of str, optional
        Colours of the titles, for instance from `CLASS_COLOURS`.
    """
    titles = list(titles)
    colours = ["black"] * len(images) if colours is None else list(colours)
    cols = cols or (len(images) if len(images) <= 8 else 8)
    rows = -(-len(images) // cols)
    figure, axes = canvas(rows, cols, height=rows * (WIDTH / cols + 0.3))
    for number, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if number >= len(images):
            continue
        axis.imshow(images[number], vmin=0, vmax=1)
        axis.set_title(titles[number], fontsize=SMALL, color=colours[number])
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
            text = axis.text(
                middle[1], middle[0], name, color=colour, ha="center", va="center", fontsize=SMALL
            )
            text.set_path_effects([withStroke(linewidth=2, foreground="black")])
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
