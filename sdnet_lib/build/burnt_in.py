"""Text in the pixels: found offline and masked; the marker of laterality by choice."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sdnet_lib.data.images import eight_bits

SIDES = {"L": "L", "LT": "L", "LEFT": "L", "I": "L", "IZQ": "L", "R": "R", "RT": "R", "RIGHT": "R", "D": "R"}
SIDES |= {"DCHA": "R", "DER": "R"}
SURE = 0.5  # of a reader's confidence in what it has read
MARGIN = 0.3  # of a line's height that is masked around it
LETTER = 24  # a standard marker is as high as the film, divided by this
AGAIN = 2  # searches, at most, for what is left where text was masked
WINDOW = 736  # pixels of the smallest side of such a search; the reader would enlarge less to it
SHRUNK, LEAST, MOST = 0.8, 1000, 2000  # of a film's longest side, where lines are looked for; in pixels


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


class Cleaned(NamedTuple):
    """A film without its text.

    Attributes
    ----------
    image : float array, (height, width)
    masked : list of Text
        What was filled.
    laterality : str
        That the markers name: "", L, R or LR.
    words : str
        What can still be read: kept markers, and what was found to the last.
    """

    image: np.ndarray
    masked: list[Text]
    laterality: str
    words: str


@cache
def reader() -> Callable[[np.ndarray], list[tuple]]:
    """Return what reads a picture, uint8 (height, width, 3): corners, words and confidence of each line.

    Its models come with its package.
    """
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
    engine.text_det.infer.session = _that_keeps_memory(engine.text_det.infer.session)
    return partial(_read, engine)


def _that_keeps_memory(session: object) -> object:
    """Return the network that looks for lines, which asks the system for memory once, not for each film.

    What the package makes gives it back after each film; that took a fifth of the time of a film of 2
    megapixels.
    """
    from onnxruntime import InferenceSession

    options = session.get_session_options()
    options.enable_cpu_mem_arena = True
    return InferenceSession(session._model_path, options, providers=session.get_providers())


def _read(engine: object, picture: np.ndarray) -> list[tuple]:
    """Look for lines on a smaller picture, which takes most of the time, and read them as they are."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    scale = min(1, max(SHRUNK, LEAST / longest), MOST / longest)
    size = (round(width * scale), round(height * scale))
    smaller = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    boxes, _ = engine.text_det(smaller)
    if boxes is None or not len(boxes):
        return []
    boxes = engine.sorted_boxes(np.float32(boxes) * np.float32([width / size[0], height / size[1]]))
    lines, _, _ = engine.text_cls(engine.get_crop_img_list(picture, boxes))
    read, _ = engine.text_rec(lines)
    return [(corners, words, sure) for corners, (words, sure) in zip(boxes, read, strict=True)]


def find(image: np.ndarray) -> list[Text]:
    """Find the lines of text in a film, float (height, width) in [0, 1]."""
    found = reader()(np.repeat(eight_bits(image)[..., None], 3, axis=2))
    height, width = image.shape
    texts = []
    for corners, words, sure in found:
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


def cleaned(image: np.ndarray, marker: str) -> Cleaned:
    """Mask the text of a film, and what is still found beside it; for ``marker`` see `masked`."""
    found = find(image)
    kept = [text for text in found if marker == "keep" and text.laterality]
    filled = new = [text for text in found if text not in kept]
    image = masked(image, found, marker)
    for _ in range(AGAIN):
        if not new:
            break
        new = [text for text in find_near(image, new) if marker == "mask" or not text.laterality]
        image = masked(image, new, "mask")
        filled = filled + new
    laterality = "".join(sorted({text.laterality for text in found} - {""}))
    return Cleaned(image, filled, laterality, " ".join(text.words for text in kept + new))


def find_near(image: np.ndarray, texts: list[Text]) -> list[Text]:
    """Find the lines of text around others: as `find` does, for the rest of the film is as it was."""
    top, bottom = _grown(min(t.top for t in texts), max(t.bottom for t in texts), image.shape[0])
    left, right = _grown(min(t.left for t in texts), max(t.right for t in texts), image.shape[1])
    found = find(image[top:bottom, left:right])
    return [Text(t.top + top, t.bottom + top, t.left + left, t.right + left, t.words) for t in found]


def _grown(first: int, last: int, size: int) -> tuple[int, int]:
    """Return a wider span, at least `WINDOW` long if there is so much, of rows or columns."""
    margin = max(last - first, WINDOW - (last - first)) // 2
    first = max(0, min(first - margin, size - WINDOW))
    return first, min(size, max(last + margin, first + WINDOW))


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
