"""Figures of twins: what the generators change, and what the network says of both twins of an image."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from seaborn import objects as so

from sdnet_lib.plots.colours import CLASS_COLOURS, COLOURS
from sdnet_lib.plots.theme import SMALL, WIDTH, canvas, draw, sheet, style

DIFFERENCE = "PuOr"  # distinct for readers with any kind of colour vision
TWINS = {"x+ (theta)": 1.0, "x- (psi)": 0.45}  # opacity of their bars
PARTS = ("x", "x+", "x-", "x+ less x", "x- less x")


@style()
def twin_rows(images: np.ndarray, twins: np.ndarray, titles: Sequence[str]) -> Figure:
    """Show images, their twins, and what the generators added (orange) and took away (purple).

    All differences share one scale, which ends where one pixel of a hundred lies beyond it.

    Parameters
    ----------
    images : array in [0, 1], (n, size, size)
    twins : array in [0, 1], (n, 2, 3, size, size)
        x+ and x-, from `fucitnet.transform`.
    titles : sequence of str
        One per image, written beside it.
    """
    images, twins = np.asarray(images, float), np.asarray(twins, float)
    change = twins.mean(2) - images[:, None]
    most = max(np.quantile(np.abs(change), 0.99), 1e-3)
    figure, axes = canvas(len(images), len(PARTS), height=WIDTH / (len(PARTS) + 0.4) * len(images) + 1.1)
    for row, title in enumerate(titles):
        pictures = images[row], *(twin.transpose(1, 2, 0) for twin in twins[row])
        for axis, picture in zip(axes[row], pictures, strict=False):
            axis.imshow(picture, vmin=0, vmax=1)
        for axis, added in zip(axes[row, 3:], change[row], strict=True):
            # PuOr runs from orange to purple, hence the sign.
            shown = axis.imshow(-added, cmap=DIFFERENCE, vmin=-most, vmax=most)
        axes[row, 0].set_ylabel(title, fontsize=SMALL)
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
def twin_answers(theta: np.ndarray, psi: np.ndarray, classes: Sequence[str], titles: Sequence[str]) -> Figure:
    """Show what the network says of both twins of a few images, the largest of all values in a black frame.

    Parameters
    ----------
    theta, psi : array, (n, classes)
        Probabilities for x+ (full colour) and x- (pale).
    classes : sequence of str
        Names in the order of the columns; those that begin with P wear the colour of P.
    titles : sequence of str
        One per image.
    """
    bars = [
        {"image": image, "twin": twin, "class": name, "letter": name[0], "probability": value}
        for image, both in enumerate(zip(theta, psi, strict=True))
        for twin, values in zip(TWINS, both, strict=True)
        for name, value in zip(classes, values, strict=True)
    ]
    table = pd.DataFrame(bars)
    table["largest"] = table["probability"] == table.groupby("image")["probability"].transform("max")
    cols = min(4, len(titles))
    figure = sheet(height=2.3 * -(-len(titles) // cols) + 0.3)
    framed = {"edgecolor": {True: COLOURS["black"], False: "white"}, "edgewidth": {True: 1.5, False: 0}}
    plot = (
        so.Plot(table, x="class", y="probability", color="letter", alpha="twin")
        .facet("image", wrap=cols)
        .add(
            so.Bar(), so.Dodge(by=["alpha"], gap=0.05), edgecolor="largest", edgewidth="largest", legend=False
        )
        .scale(color=CLASS_COLOURS, alpha=TWINS, **framed)
        .limit(y=(0, 1.02))
        .label(x="", y="")
    )
    draw(plot, figure)
    for axis, name in zip(figure.axes, titles, strict=True):
        axis.set_title(name, fontsize=SMALL)
    figure.supylabel("probability", fontsize=10)
    key = [
        mpl.patches.Patch(facecolor=COLOURS["grey"], alpha=alpha, label=name) for name, alpha in TWINS.items()
    ]
    figure.legend(handles=key, loc="outside upper left", ncols=2)
    return figure
