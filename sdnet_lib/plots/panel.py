"""The panel of one radiograph that `sdnet predict` writes: composed pixel by pixel, some milliseconds each.

A figure of matplotlib would take ten times as long, and its library a second to load.
"""

from __future__ import annotations

import textwrap
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from sdnet_lib.files import whole
from sdnet_lib.names import shown
from sdnet_lib.plots.colours import CLASS_COLOURS, HEAT, ORDER, STRONGEST, WHY

WIDTH = 320  # pixels of a column
GAP = 12  # pixels around everything
TEXT, LINE = 13, 17  # pixels: size of letters, and from line to line
LONGEST = 115  # letters in a line
BAR = 10  # pixels: height of the colour scale


def write_panel(
    image: np.ndarray, maps: np.ndarray, title: str, decision: str, note: str, file: Path, warning: str
) -> None:
    """Write radiograph, why positive and why negative, side by side as a PNG file, whole or not at all.

    The map of the decision has its title in bold; the other is its counterfactual.

    Parameters
    ----------
    image : float array, (height, width)
        In [0, 1]; at most `WIDTH` wide.
    maps : float array, (2, height, width)
        Why N, why P, in [0, 1].
    title, note : str
        Lines above the panel, the note first.
    decision : str
        ``N`` or ``P``.
    file : pathlib.Path
        In a folder that exists.
    warning : str
        Goes into the file's metadata too.
    """
    metadata = PngInfo()
    metadata.add_itxt("Warning", warning)
    with whole(file) as part:
        compose(image, maps, title, decision, note).save(
            part, format="PNG", compress_level=1, pnginfo=metadata
        )


def compose(image: np.ndarray, maps: np.ndarray, title: str, decision: str, note: str) -> Image.Image:
    """Return the panel of `write_panel`."""
    grey = np.repeat(np.clip(image.astype(np.float32), 0, 1)[..., None], 3, 2)
    pictures = [("radiograph", "black", False, grey)]
    for label in ("P", "N"):
        own = label == decision
        name = WHY[label] + ("" if own else " (counterfactual)")
        colour = CLASS_COLOURS[label] if own else "black"
        pictures.append((name, colour, own, _heated(grey, maps[ORDER.index(label)].astype(np.float32))))
    text = f"{note}\n{title}".splitlines()
    lines = [part for line in text for part in textwrap.wrap(shown(line), LONGEST) or [""]]
    top = GAP + LINE * (len(lines) + 1) + GAP
    scale = top + len(image) + GAP
    panel = Image.new("RGB", (3 * WIDTH + 4 * GAP, scale + BAR + 2 * LINE + GAP), "white")
    pen = ImageDraw.Draw(panel)
    for number, line in enumerate(lines):
        pen.text((GAP, GAP + LINE * number), line, "black", _font(False))
    for column, (name, colour, bold, picture) in enumerate(pictures):
        left = GAP + column * (WIDTH + GAP)
        pen.text((left, top - LINE), name, colour, _font(bold))
        panel.paste(Image.fromarray(_bytes(picture)), (left + (WIDTH - image.shape[1]) // 2, top))
    ramp = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (BAR, 1))
    left = 2 * GAP + WIDTH
    panel.paste(Image.fromarray(_bytes(_colours()[_places(ramp)])), (left, scale))
    pen.text((left, scale + BAR + 2), "0", "black", _font(False))
    pen.text((left + WIDTH, scale + BAR + 2), "1", "black", _font(False), anchor="ra")
    label = "fraction of the map's own maximum"
    pen.text((left + WIDTH // 2, scale + BAR + 2), label, "black", _font(False), anchor="ma")
    return panel


def _heated(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    opacity = STRONGEST * np.clip(heat, 0, 1)[..., None]
    return (1 - opacity) * grey + opacity * _colours()[_places(heat)]


def _places(heat: np.ndarray) -> np.ndarray:
    """Return where values in [0, 1] stand in the table of `_colours`."""
    return (np.clip(heat, 0, 1) * 255).astype(np.uint8)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * 255).astype(np.uint8)


@lru_cache
def _colours() -> np.ndarray:
    return np.float32(mpl.colormaps[HEAT](np.arange(256))[:, :3])


@lru_cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    """Return the letters of all figures: matplotlib brings them along, the same on every machine."""
    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(file, TEXT, layout_engine=ImageFont.Layout.BASIC)
