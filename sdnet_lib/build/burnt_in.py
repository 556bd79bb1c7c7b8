"""Text in the pixels: found offline and masked; the marker of laterality by choice."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sdnet_lib.data.images import eight_bits

SIDES = {"L": "L", "LT": "L", "LEFT": "L", "I": "L", "IZQ": "L", "R": "R", "RT": "R", "RIGHT": "R", "D": "R"}
SIDES |= {"DCHA": "R", "DER": "R"}
SURE = 0.5  # of a reader's confidence in what it has read
MARGIN = 0.3  # of a line's height that is masked around it
LETTER = 24  # a standard marker is as high as the film, divided by this


class Text(NamedTuple):
    """A line of text in a film: rows and columns of its box, and what it says."""

    top: int
    bottom: int
    left: int
    right: int
    words: str

    @property
    def laterality(self) -> str:
        """L or R for a marker of laterality, else ""."""
        return SIDES.get(re.sub(r"\W", "", self.words.upper()), "")


@cache
def reader() -> object:
    """Return the reader of text; its models come with its package."""
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)


def find(image: np.ndarray) -> list[Text]:
    """Find the lines of text in a film, float (height, width) in [0, 1]."""
    found, _ = reader()(np.repeat(eight_bits(image)[..., None], 3, axis=2))
    height, width = image.shape
    texts = []
    for corners, words, sure in found or []:
        (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
        margin = MARGIN * (bottom - top)
        if float(sure) >= SURE:
            edges = (
                max(0, int(top - margin)),
                min(height, int(np.ceil(bottom + margin))),
                max(0, int(left - margin)),
                min(width, int(np.ceil(right + margin))),
            )
            texts.append(Text(*edges, words))
    return texts


def masked(image: np.ndarray, texts: list[Text], marker: str) -> np.ndarray:
    """Return a film with its text filled with the grey around it.

    Parameters
    ----------
    image : float array, (height, width)
    texts : list of Text
    marker : str
        ``keep`` leaves a marker of laterality as it is, ``mask`` fills it too, ``standard`` fills it and
        draws the same letter at the same place in all films.
    """
    image = image.copy()
    for text in texts:
        if marker != "keep" or not text.laterality:
            image[text.top : text.bottom, text.left : text.right] = _around(image, text)
    if marker == "standard":
        for laterality in sorted({text.laterality for text in texts} - {""}):
            image = _with_letter(image, laterality)
    return image


def _around(image: np.ndarray, text: Text) -> float:
    """Return the usual grey of the lines just outside a box."""
    box = image[max(0, text.top - 2) : text.bottom + 2, max(0, text.left - 2) : text.right + 2]
    return float(
        np.median(
            np.concatenate([box[:2].ravel(), box[-2:].ravel(), box[:, :2].ravel(), box[:, -2:].ravel()])
        )
    )


def _with_letter(image: np.ndarray, laterality: str) -> np.ndarray:
    """Draw a letter in white: the patient's right is left in the picture."""
    height, width = image.shape
    size = height // LETTER
    picture = Image.fromarray(image.astype(np.float32))
    place = (size if laterality == "R" else width - 2 * size, size)
    ImageDraw.Draw(picture).text(place, laterality, fill=1.0, font=ImageFont.load_default(size))
    return np.asarray(picture)
