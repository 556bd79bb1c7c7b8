"""Figures of the refreshers: one idea each, narrow enough for a phone without scrolling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdnet_lib.plots.colours import CLASS_COLOURS, COLOURS
from sdnet_lib.plots.theme import SMALL, canvas, style

if TYPE_CHECKING:
    from sdnet_lib.phantom.radiograph import Phantom

NARROW = 4.5  # inches; on a phone 9 points are 9 pixels then
FRAME = {"fill": False, "edgecolor": COLOURS["orange"], "linewidth": 2, "clip_on": False}


def _film(axis: Axes, image: np.ndarray, title: str, colour: str = "black") -> None:
    axis.imshow(image, vmin=0, vmax=1)
    axis.set_title(title, fontsize=SMALL, color=colour)
    axis.set_axis_off()


@style()
def rib_edge(image: np.ndarray, answers: np.ndarray, patch: np.ndarray, place: tuple[int, int]) -> Figure:
    """Show a film, the numbers at one place of it, and what a kernel answers everywhere.

    Parameters
    ----------
    image : array, (height, width)
        In [0, 1].
    answers : array, (height - 2, width - 2)
        Of a kernel of 3 x 3 pixels.
    patch : int array, (5, 5)
        Grey levels around the kernel's place, 0 to 255.
    place : (row, column)
        Where in `answers` the middle of the patch is.
    """
    figure, ((film, numbers, map_),) = canvas(1, 3, width=NARROW, height=1.9, width_ratios=(1, 1.3, 1))
    _film(film, image, "film")
    row, column = place
    film.add_patch(mpl.patches.Rectangle((column - 1.5, row - 1.5), 5, 5, **FRAME))
    numbers.imshow(patch, vmin=0, vmax=255)
    for (y, x), level in np.ndenumerate(patch):
        colour = "white" if level < 128 else "black"
        numbers.text(x, y, level, ha="center", va="center", fontsize=SMALL, color=colour)
    numbers.add_patch(mpl.patches.Rectangle((0.5, 0.5), 3, 3, **FRAME))
    numbers.set_title("its grey levels", fontsize=SMALL)
    numbers.set_axis_off()
    most = np.abs(answers).max()
    map_.imshow(answers, cmap="gray", vmin=-most, vmax=most)
    map_.set_title("all answers", fontsize=SMALL)
    map_.set_axis_off()
    return figure


@style()
def kept_and_new(stages: Mapping[str, int], new: int) -> Figure:
    """Show how many parameters of a network come from ImageNet, stage by stage, and how many are new.

    Parameters
    ----------
    stages : dict of str to int
        Parameters of the backbone's stages, in the order of the network.
    new : int
        Those of the layers after it.
    """
    rows = pd.DataFrame({"stage": [*stages, "new layers"], "millions": [*stages.values(), new]})
    rows["millions"] /= 1e6
    rows["begins"] = ["with ImageNet's values"] * len(stages) + ["at random"]
    figure, ((axis,),) = canvas(width=NARROW, height=2.8)
    colours = (COLOURS["blue"], COLOURS["vermilion"])
    sns.barplot(
        rows, x="millions", y="stage", hue="begins", palette=colours, dodge=False, saturation=1, ax=axis
    )
    for bars in axis.containers:
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=SMALL)
    axis.set(xlabel="parameters (millions)", ylabel="", xlim=(0, 1.15 * rows["millions"].max()))
    axis.tick_params(labelsize=SMALL)
    axis.legend(title="begins", title_fontsize=SMALL, loc="upper right")
    return figure


@style()
def two_games(before: float, after: float) -> Figure:
    """Show what judge and generator lose, in a GAN against each other and in FuCiTNet together.

    Parameters
    ----------
    before, after : float
        Two probabilities that the judge gives to what was made, marked in both panels.
    """
    given = np.linspace(0.02, 0.98, 97)
    panels = {
        "GAN: one loses what the other wins": {
            "generator": lambda p: -np.log(p),
            "judge": lambda p: -np.log(1 - p),
        },
        "FuCiTNet: both want the same": {"generator and judge": lambda p: -np.log(p)},
    }
    asked = ("judge: how probably real?", "judge: how probably P?")
    figure, (axes,) = canvas(1, 2, width=NARROW, height=2.4, sharey=True)
    for axis, (title, losses), question in zip(axes, panels.items(), asked, strict=True):
        for (name, loss), dashes in zip(losses.items(), ("-", "--"), strict=False):
            (line,) = axis.plot(given, loss(given), dashes, label=name)
            axis.plot([before, after], loss(np.array([before, after])), "o", color=line.get_color())
        axis.set_title("\n".join(title.split(": ")), fontsize=SMALL)
        axis.set(xlabel=question, xlim=(0, 1), ylim=(0, 4), xticks=(0, 0.5, 1))
        axis.xaxis.label.set_size(SMALL)
        axis.tick_params(labelsize=SMALL)
        axis.legend(loc="upper center")
    axes[0].set_ylabel("loss")
    return figure


@style()
def augmented(film: np.ndarray, versions: Sequence[np.ndarray]) -> Figure:
    """Show a film and five changed versions of it, all in [0, 1]."""
    figure, axes = canvas(2, 3, width=NARROW, height=3.6)
    titles = ["the film", *(f"version {number + 1}" for number in range(len(versions)))]
    for axis, image, title in zip(axes.flat, [film, *versions], titles, strict=True):
        _film(axis, image, title)
    return figure


@style()
def nearest_films(tested: Phantom, own: Phantom, other: Phantom) -> Figure:
    """Show a tested film, the patient's own second film, and the nearest film of somebody else."""
    figure, (axes,) = canvas(1, 3, width=NARROW, height=2.1)
    titles = ("the tested\nfilm", "nearest:\nthe same patient", "nearest of\nall others")
    for axis, made, title in zip(axes, (tested, own, other), titles, strict=True):
        _film(axis, made.image, f"{title}, {made.label}", CLASS_COLOURS[made.label])
    return figure


@style()
def dealt_patients(fold: np.ndarray, labels: Sequence[str]) -> Figure:
    """Show in which fold each patient is tested, one row a repetition.

    Parameters
    ----------
    fold : int array, (repetitions, patients)
        From 1 to 5.
    labels : sequence of str
        N or P, one a patient.
    """
    figure, ((axis,),) = canvas(width=NARROW, height=2.3)
    names = [f"{chr(65 + number)}\n{label}" for number, label in enumerate(labels)]
    colours = mpl.colors.ListedColormap(sns.light_palette(COLOURS["sky"], 5))
    rows = [f"repetition {number + 1}" for number in range(len(fold))]
    sns.heatmap(
        pd.DataFrame(fold, rows, names),
        annot=True,
        annot_kws={"fontsize": SMALL, "color": "black"},
        cmap=colours,
        cbar=False,
        linewidths=1,
        ax=axis,
    )
    axis.set(xlabel="patient and label", ylabel="")
    axis.set_title("the fold that tests the patient", fontsize=SMALL)
    axis.tick_params(labelsize=SMALL, rotation=0)
    for tick, label in zip(axis.get_xticklabels(), labels, strict=True):
        tick.set_color(CLASS_COLOURS[label])
    return figure


@style()
def ten_patients(table: pd.DataFrame, curve: pd.DataFrame) -> Figure:
    """Show answers to a few patients on a line, and the ROC curve that they make.

    Parameters
    ----------
    table : DataFrame
        `prob_P` and `label`.
    curve : DataFrame
        Of `evaluation.curves.roc`.
    """
    figure, ((dots, square),) = canvas(1, 2, width=NARROW, height=2.5)
    sns.stripplot(
        table,
        x="label",
        y="prob_P",
        hue="label",
        palette=CLASS_COLOURS,
        order=list(CLASS_COLOURS),
        size=7,
        jitter=False,
        ax=dots,
    )
    dots.axhline(0.5, color=COLOURS["grey"], linestyle="--")
    dots.set(xlabel="in truth", ylabel="probability of P", ylim=(0, 1))
    square.plot(curve["false_positive_rate"], curve["sensitivity"], color=COLOURS["black"])
    square.fill_between(curve["false_positive_rate"], curve["sensitivity"], color=COLOURS["sky"], alpha=0.3)
    square.plot([0, 1], [0, 1], ":", color=COLOURS["grey"])
    square.set(xlabel="fraction of false alarms", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.02))
    square.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for axis in (dots, square):
        axis.tick_params(labelsize=SMALL)
    return figure


@style()
def shuffled_differences(differences: np.ndarray, found: float) -> Figure:
    """Show the differences of all deals, those as far from zero as the one `found` in colour."""
    rows = pd.DataFrame({"difference": differences})
    rows["deal"] = np.where(np.abs(differences) >= abs(found), "at least as large", "smaller")
    figure, ((axis,),) = canvas(width=NARROW, height=2.5)
    values = np.unique(differences)
    step = np.diff(values).min()
    edges = np.arange(values[0] - step / 2, values[-1] + step, step)  # a bar for each value
    palette = {"smaller": COLOURS["sky"], "at least as large": COLOURS["vermilion"]}
    sns.histplot(
        rows, x="difference", hue="deal", palette=palette, bins=edges, multiple="stack", alpha=1, ax=axis
    )
    axis.axvline(found, color=COLOURS["black"], linestyle="--")
    axis.text(found, axis.get_ylim()[1], " found", va="top", fontsize=SMALL)
    axis.set(xlabel="difference of the two means (grey levels)", ylabel="deals")
    axis.get_legend().set_title(None)
    axis.tick_params(labelsize=SMALL)
    return figure
