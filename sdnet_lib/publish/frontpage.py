"""The picture of the front page: ``sdnet maintain frontpage`` draws ``book/images/cohort.png`` anew."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sdnet_lib import plots
from sdnet_lib.lungs import crop
from sdnet_lib.phantom import radiograph

FILE = Path(__file__).parents[2] / "book" / "images" / "cohort.png"
SEED = 20
PATIENTS = (("N", ""), ("P", "Mild"), ("P", "Moderate"), ("P", "Severe"))


@plots.style()
def draw(size: int = 512) -> Figure:
    """Draw one synthetic patient four times: negative, and with mild, moderate and severe opacities.

    Lungs are outlined, opacities marked, and the crop of chapter 3 drawn, all from the truth that comes with
    the pictures; `size` is their longer edge in pixels.
    """
    figure, axes = plots.canvas(1, len(PATIENTS), height=2.3)
    for axis, (label, severity) in zip(axes.flat, PATIENTS, strict=True):
        made = radiograph.radiograph(SEED, size=size, label=label, severity=severity)
        axis.imshow(made.image, vmin=0, vmax=1)
        axis.contour(made.lung_mask, levels=[0.5], colors=plots.COLOURS["sky"], linewidths=0.9)
        if made.lesion_mask.any():
            axis.contour(made.lesion_mask, levels=[0.5], colors=plots.COLOURS["orange"], linewidths=0.9)
        left, top, right, bottom = crop.bounding_box(made.lung_mask)
        box = {"edgecolor": plots.COLOURS["yellow"], "linestyle": "--", "fill": False}
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, **box))
        axis.set_title(severity or "Negative", color=plots.CLASS_COLOURS[label])
        axis.set_axis_off()
    return figure
