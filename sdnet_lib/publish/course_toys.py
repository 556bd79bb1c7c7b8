"""Four things to play with on the pages: HTML with a still picture, which ``course.js`` brings to life.

Without scripts, on paper and in a bare notebook the still picture and its caption remain. All radiographs are
drawn by `sdnet_lib.phantom`; what the script needs stands in the HTML, so that nothing is loaded.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import HTML
from PIL import Image

from sdnet_lib.data import severity as rale
from sdnet_lib.evaluation import decisions
from sdnet_lib.files.templates import environment
from sdnet_lib.phantom import radiograph
from sdnet_lib.plots.colours import HEAT

SIZE = 320  # pixels of a film's longest side
GROWTH = ("R4", "L4", "L3", "R3", "L2", "R2", "L1", "R1")  # from the bases up, as COVID-19 often begins
DENSE = 1.6  # times the opacities of `place_opacities`, so that a small film shows them
START = {"threshold": 0.5, "prevalence": 0.2, "cost": 0.25}
TEMPLATE = "course_toys.html.jinja"


def severity_slider(seed: int) -> HTML:
    """Show one synthetic patient whose opacities grow with a slider, from part to part."""
    return _show("severity", **_patient(seed), levels=[rale.severity(score) for score in range(9)])


def rale_parts(seed: int) -> HTML:
    """Show one synthetic patient with eight lung parts to press, and score and level beside."""
    return _show("parts", **_patient(seed), levels=[rale.severity(score) for score in range(9)])


def threshold_sliders(images: pd.DataFrame, title: str) -> HTML:
    """Show what a threshold, a prevalence and the cost of a needless act make of predictions.

    Parameters
    ----------
    images : DataFrame
        Predictions with ``label`` and ``prob_P``, one row an image.
    title : str
        Who predicted.
    """
    table = images[["label", "prob_P"]].assign(prob_P=images["prob_P"].astype(float).round(3))
    by_label = {label: table.loc[table["label"] == label, "prob_P"].tolist() for label in "NP"}
    return _show("threshold", title=title, by_label=by_label, start=START, values=measure(table, **START))


def measure(images: pd.DataFrame, *, threshold: float, prevalence: float, cost: float) -> dict[str, float]:
    """Return what the sliders show, as fractions; net benefit as in `decisions`, at a `cost` of one's own."""
    called, truth = images["prob_P"] >= threshold, images["label"] == "P"
    sensitivity, specificity = called[truth].mean(), 1 - called[~truth].mean()
    found = decisions.predictive_values(np.array(sensitivity), np.array(specificity), np.array(prevalence))
    benefit = sensitivity * prevalence - cost * (1 - specificity) * (1 - prevalence)
    names = ("Sensitivity", "Specificity", "Positive predictive value", "Negative predictive value")
    values = dict(zip(names, (sensitivity, specificity, *map(float, found)), strict=True))
    return values | {"Net benefit per 100 patients": 100 * benefit}


def heat_maps(film: np.ndarray, maps: Mapping[str, np.ndarray]) -> HTML:
    """Show heat maps of several methods over one synthetic film, as strong as one likes.

    Parameters
    ----------
    film : float array, (H, W)
        In [0, 1].
    maps : dict of str to float array, (H, W)
        In [0, 1], by method.
    """
    layers = {}
    for name, heat in maps.items():
        rgba = mpl.colormaps[HEAT](heat)
        rgba[..., 3] = np.clip(heat, 0, 1)
        layers[name] = _picture(rgba)
    return _show("heat", film=_picture(film), layers=layers)


def _patient(seed: int) -> dict[str, object]:
    """Draw a film, one transparent layer of opacities per lung part, and where the parts are, in percent."""
    bare = radiograph.radiograph(seed, size=SIZE)
    layers, boxes = {}, {}
    height, width = bare.image.shape
    masks = rale.part_masks(bare.lung_mask)
    for part in GROWTH:
        ill = rale.place_opacities(bare.image, bare.lung_mask, [part], seed=seed)
        white = np.ones((height, width, 4))
        white[..., 3] = DENSE * (ill - bare.image) / np.maximum(1 - bare.image, 0.01)
        layers[part] = _picture(white)
        rows, columns = np.nonzero(masks[part])
        left, top = columns.min() / width, rows.min() / height
        size = (np.ptp(columns) + 1) / width, (np.ptp(rows) + 1) / height
        boxes[part] = [round(100 * float(value), 1) for value in (left, top, *size)]
    return {"film": _picture(bare.image), "layers": layers, "boxes": boxes}


def _picture(values: np.ndarray) -> str:
    """Return an image with values in [0, 1], grey or RGBA, as a data address."""
    file = io.BytesIO()
    Image.fromarray((255 * np.clip(values, 0, 1)).astype(np.uint8)).save(file, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _show(kind: str, **values: object) -> HTML:
    page = environment(Path(__file__).parent).get_template(TEMPLATE)
    return HTML(page.render(kind=kind, **values))
