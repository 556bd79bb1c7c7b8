"""Checks of chapter 3, segmentation-based cropping."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sdnet_lib.exercises.checking import Step, number
from sdnet_lib.lungs import crop


def _mask(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (40, 80)) -> np.ndarray:
    """Return a bool mask with filled boxes (left, top, right, bottom)."""
    mask = np.zeros(shape, bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def exercise_3_1(dice: Callable) -> Iterator[Step]:
    """Check the Dice coefficient of two masks."""
    one, other, nothing = _mask((0, 0, 20, 10)), _mask((10, 0, 40, 10)), _mask()
    shared, areas = 100, (200, 300)
    mistakes = {
        shared / 400: "That is the intersection over union: Dice divides by the sum of both areas.",
        shared / sum(areas): "The shared area counts twice.",
        2 * shared / 400: "Divide by the sum of both areas, not by the area of the union.",
    }
    hint = "Two masks that share a part get another value: compare with the formula."
    yield from number(dice(one, other), 2 * shared / sum(areas), hint, mistakes)
    yield from number(dice(one, one), 1.0, "Two equal masks should have the best value there is.")
    yield from number(
        dice(one, nothing), 0.0, "Two masks without a common pixel should have the worst value there is."
    )
    empty = dice(nothing, nothing)
    hint = "Both masks empty: nothing was there and nothing was found. Is that a bad result?"
    yield (
        empty == empty,
        "Both masks empty: zero divided by zero is no score. What should a healthy patient get?",
    )
    yield from number(empty, 1.0, hint)


def exercise_3_2(margin: Callable) -> Iterator[Step]:
    """Check a box with a margin that is a fraction of the image's sides, clipped at the image."""
    middle, corner = _mask((20, 10, 60, 30)), _mask((2, 1, 79, 39))
    left, top, right, bottom = crop.rectangle(middle)
    box = margin(middle, 0.1)
    yield len(box) == 4, "A box has four numbers: left, top, right, bottom."
    box = tuple(int(side) for side in box)
    yield box != (left, top, right, bottom), "The box is as tight as before: nothing was added."
    yield (
        box != crop.rectangle(middle, 0.1),
        "This is a fraction of the rectangle's sides, not of the image's.",
    )
    swapped = left - 4, top - 8, right + 4, bottom + 8
    yield box != swapped, "Width and height are mixed up: a mask's shape is (height, width)."
    wanted = left - 8, top - 4, right + 8, bottom + 4
    yield (
        box == wanted,
        "In an image of 80 x 40 and with a fraction of a tenth the box should be another one.",
    )
    yield (
        tuple(margin(corner, 0.1)) == (0, 0, 80, 40),
        "A box near the border should end where the image ends.",
    )


def exercise_3_3(odd: Callable) -> Iterator[Step]:
    """Check a warning for masks whose lungs differ a lot in area."""
    equal, unlike = _mask((5, 5, 25, 35), (45, 5, 65, 35)), _mask((5, 5, 25, 35), (45, 5, 49, 15))
    yield bool(odd(unlike)), "One lung of 600 pixels and one of 40 should be odd."
    yield not odd(equal), "Two lungs of the same area should not be odd."
    yield (
        not odd(_mask((5, 5, 25, 35), (45, 5, 65, 33))),
        "Lungs always differ a little: 600 and 560 are not odd.",
    )
    yield bool(odd(_mask((5, 5, 25, 35)))), "A mask with a single part has lost a lung: that is odd."
    yield odd(_mask()) is not None, "An empty mask should get an answer, too."
