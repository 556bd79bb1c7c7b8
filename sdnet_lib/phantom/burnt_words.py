"""Words burnt into the pixels of a film, of many sizes, fonts, greys and places: their place is the truth."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHTS = (12, 16, 24, 40)  # of the letters, in pixels
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")
GREYS = (1.0, 0.8, 0.0)
PLACES = {  # column and row as fractions of the film; what would not fit begins further left or up
    "top left": (0.03, 0.03),
    "top right": (0.6, 0.03),
    "bottom left": (0.03, 0.92),
    "bottom right": (0.6, 0.92),
    "centre": (0.35, 0.5),
}
WORDS = ("ZYLINSKI AGNIESZKA", "12345678", "14/03/2020", "Sanatorio Villaverde")


class Word(NamedTuple):
    """A text, and how it is written."""

    text: str
    height: int
    font: str
    grey: float
    place: str


def draw(rng: np.random.Generator) -> Word:
    """Draw a word, each of its properties by itself."""
    choices = (WORDS, HEIGHTS, FONTS, GREYS, tuple(PLACES))
    return Word(*(choice[rng.integers(len(choice))] for choice in choices))


def burn(image: np.ndarray, word: Word) -> np.ndarray:
    """Return a film, float (height, width) in [0, 1], with a word written into it."""
    weight = ink(image.shape, word)
    return image * (1 - weight) + word.grey * weight


def ink(shape: tuple[int, int], word: Word) -> np.ndarray:
    """Return how much of each pixel of a film the letters of a word cover: float32 (height, width)."""
    height, width = shape
    page = Image.new("L", (width, height))
    pen, font = ImageDraw.Draw(page), _font(word.font, word.height)
    column, row = PLACES[word.place]
    _, _, right, bottom = pen.textbbox((0, 0), word.text, font=font)
    corner = (max(0, min(column * width, width - right)), max(0, min(row * height, height - bottom)))
    pen.text(corner, word.text, fill=255, font=font)
    return np.asarray(page, np.float32) / 255


@lru_cache(maxsize=32)
def _font(name: str, height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), height)
