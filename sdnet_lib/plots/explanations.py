"""Figures of explanations: why positive and why negative, methods side by side; without seaborn or pandas."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdnet_lib.plots.colours import CLASS_COLOURS, COLOURS, HEAT, ORDER, STRONGEST, WHY
from sdnet_lib.plots.theme import SMALL, WIDTH, canvas, style

BRIGHT = 0.995  # of the pixels of a map are below the highest colour, where a map has few bright pixels
TITLE = 100  # letters of all titles in a row that fit side by side


def _overlay(axis: Axes, image: np.ndarray, heat: np.ndarray | None) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
    if heat is not None:
        shown = {"cmap": HEAT, "vmin": 0, "vmax": 1, "interpolation": "bilinear"}
        axis.imshow(heat, alpha=STRONGEST * np.clip(heat, 0, 1), **shown)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _scale(figure: Figure, axes: np.ndarray, label: str) -> None:
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), HEAT)
    bar = figure.colorbar(colours, ax=axes, location="bottom", fraction=0.05, aspect=40, shrink=0.6)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


@style()
def explanation_rows(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    titles: Sequence[str],
    decisions: Sequence[str],
    *,
    outlines: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Show radiographs, why positive, and why negative, as the paper's Figures 5 to 8 do: one per row.

    The map of the decision has its title in bold; the other is its counterfactual.

    Parameters
    ----------
    images : sequence of array in [0, 1], (height, width)
    maps : sequence of array in [0, 1], (2, height, width)
        Why N, why P.
    titles : sequence of str
        Above the radiographs.
    decisions : sequence of str
        ``N`` or ``P``.
    outlines : sequence of bool array, (height, width), optional
        For instance true lesions, outlined on all three pictures; an empty one draws nothing.
    """
    heights = [WIDTH / 3 * image.shape[0] / image.shape[1] for image in images]
    height = sum(heights) + 0.28 * len(images) + 0.75
    figure, axes = canvas(len(images), 3, height=height, height_ratios=heights)
    for row, (image, pair, title, decision) in enumerate(zip(images, maps, titles, decisions, strict=True)):
        _overlay(axes[row, 0], image, None)
        axes[row, 0].set_title(title, fontsize=SMALL)
        for axis, label in zip(axes[row, 1:], ("P", "N"), strict=True):
            _overlay(axis, image, pair[ORDER.index(label)])
            own = label == decision
            look = {"color": CLASS_COLOURS[label], "fontweight": "bold"} if own else {}
            axis.set_title(WHY[label] + ("" if own else " (counterfactual)"), fontsize=SMALL, **look)
        if outlines is not None and outlines[row].any():
            for axis in axes[row]:
                axis.contour(outlines[row], levels=[0.5], colors=COLOURS["orange"], linewidths=1)
    _scale(figure, axes, "fraction of the map's own maximum")
    return figure


@style()
def method_maps(
    images: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    titles: Sequence[str],
    outlines: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Show what several methods say of the same images: one image per row, one method per column.

    Maps made pixel by pixel have single pixels far above all others, so each is shown on a scale that ends
    where `BRIGHT` of its pixels lie below.

    Parameters
    ----------
    images : sequence of array in [0, 1], (height, width)
    maps : mapping of str to sequence of array in [0, 1], (height, width)
        A method's maps, one per image.
    titles : sequence of str
        One per image, written beside it.
    outlines : sequence of bool array, (height, width), optional
        For instance true lesions.
    """
    columns = len(maps) + 1
    figure, axes = canvas(len(images), columns, height=len(images) * WIDTH / columns + 1.3)
    for row, image in enumerate(images):
        _overlay(axes[row, 0], image, None)
        axes[row, 0].set_ylabel(titles[row], fontsize=SMALL)
        for axis, (method, found) in zip(axes[row, 1:], maps.items(), strict=True):
            most = max(np.quantile(found[row], BRIGHT), 1e-9)
            _overlay(axis, image, np.clip(found[row] / most, 0, 1))
            if row == 0:
                axis.set_title(textwrap.fill(method, TITLE // columns), fontsize=SMALL)
        if outlines is not None and outlines[row].any():
            for axis in axes[row]:
                axis.contour(outlines[row], levels=[0.5], colors=COLOURS["orange"], linewidths=0.8)
    _scale(figure, axes, f"fraction of what {BRIGHT:.1%} of a map's pixels are below")
    return figure
