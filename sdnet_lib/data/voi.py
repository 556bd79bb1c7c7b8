"""What a DICOM header makes of stored values: modality table or rescale, then VOI table or window."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from sdnet_lib.data import grey_levels

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
LEAST_RANGE = 0.5  # of the grey levels that a film must fill for a window or table to be of use
LEAST_SHOWN = 0.05  # of a film's pixels that must be neither black nor white
MOST_TURNS = 2  # of a table's range that it may climb and fall in all; one for grey levels climbs once
LEAST_EXACT = 0.999  # of a film's range that must be left of it once rescaled, for numbers may be too large


def modality(pixels: np.ndarray, data: Dataset, notes: list[str]) -> np.ndarray:
    """Return values in the modality's units: through its table, or rescaled; as they are without either."""
    for first, entries in _tables(data, "ModalityLUTSequence", notes):
        if np.mean((pixels >= first) & (pixels < first + len(entries))) >= LEAST_SHOWN:
            return _look_up(pixels, first, entries)
        notes.append("the modality table is for other values than the film has and is not used")
    if "RescaleSlope" not in data and "RescaleIntercept" not in data:
        return pixels
    slope, intercept = _number(data.get("RescaleSlope", 1)), _number(data.get("RescaleIntercept", 0))
    if not slope or intercept is None:
        notes.append("rescale slope or intercept cannot be used")
        return pixels
    if (slope, intercept) == (1, 0):
        return pixels
    darkest, brightest = float(pixels.min()), float(pixels.max())
    with np.errstate(all="ignore"):
        low, high = np.float32([darkest * slope + intercept, brightest * slope + intercept])
        exact = float(high - low) / slope
    if not np.isfinite([low, high]).all() or abs(exact) < LEAST_EXACT * (brightest - darkest):
        notes.append("rescale slope or intercept is too large or too small to be used")
        return pixels
    return grey_levels.by_rows(pixels, lambda rows: rows * slope + intercept)


def shown(values: np.ndarray, film: np.ndarray | None, data: Dataset, notes: list[str]) -> np.ndarray:
    """Return values as a viewer shows them, float32 in [0, 1].

    Parameters
    ----------
    values : array, (height, width)
    film : bool array, (height, width), or None
        What is no padding; all if None.
    data : Dataset
    notes : list of str
        Gets a line for what cannot be used.
    """
    for table in _tables(data, "VOILUTSequence", notes):
        outputs = table[1]
        image = grey_levels.scaled(_look_up(values, *table), float(outputs.min()), float(outputs.max()))
        if _useful(image, film):
            return image
        notes.append("the VOI table shows nearly nothing of the film and is not used")
    for window in _windows(data, notes):
        image = grey_levels.by_rows(values, window)
        if _useful(image, film):
            return image
        notes.append("the window shows nearly nothing of the film and is not used")
    return grey_levels.scaled(values, *grey_levels.bounds(values if film is None else values[film]))


def _useful(image: np.ndarray, film: np.ndarray | None) -> bool:
    """Say whether a film can be seen: not nearly all black or white, nor in a small part of the range."""
    seen = image if film is None else image[film]
    low, high = grey_levels.bounds(seen)
    between = np.count_nonzero((seen > 0) & (seen < 1)) / seen.size
    return high - low >= LEAST_RANGE and between >= LEAST_SHOWN


def _windows(data: Dataset, notes: list[str]) -> Iterator[object]:
    """Yield the first window as a function from values to [0, 1], if it can be used."""
    if "WindowWidth" not in data and "WindowCenter" not in data:
        return
    center, width = _number(data.get("WindowCenter")), _number(data.get("WindowWidth"))
    function = str(data.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in FUNCTIONS:
        notes.append(f"VOI function {function[:20]!r} is unknown: taken as LINEAR")
        function = "LINEAR"
    if center is None or width is None or width <= 0 or (width <= 1 and function == "LINEAR"):
        notes.append("window center or width cannot be used")
        return
    if function == "SIGMOID":
        yield lambda rows: 1 / (1 + np.exp(np.clip(-4 * (rows - center) / width, -700, 700)))
    elif function == "LINEAR_EXACT":
        yield lambda rows: np.clip((rows - center) / width + 0.5, 0, 1)
    else:  # DICOM PS3.3 C.11.2.1.2.1
        yield lambda rows: np.clip((rows - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _tables(data: Dataset, keyword: str, notes: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first table of a sequence, if it can be used: what its first entry stands for, and all."""
    if keyword not in data:
        return
    name = "modality table" if keyword.startswith("Modality") else "VOI table"
    try:
        item = data[keyword].value[0]
        number, first, bits = (int(value) for value in item.LUTDescriptor)
        number = number or 2**16
        if data.get("PixelRepresentation") and first >= 2**15:
            first -= 2**16
        entries = _entries(item.LUTData, number, little=data.original_encoding[1] is not False)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        notes.append(f"the {name} cannot be used")
        return
    if entries.min() == entries.max():
        notes.append(f"the {name} has one single value and is not used")
        return
    if np.abs(np.diff(entries)).sum() > MOST_TURNS * np.ptp(entries):
        notes.append(f"the {name} goes up and down and is not used")
        return
    yield first, entries


def _entries(stored: object, number: int, *, little: bool) -> np.ndarray:
    """Return the entries of a table, one in 16 bits or, packed, one in 8."""
    if isinstance(stored, bytes):
        values = np.frombuffer(stored[: len(stored) // 2 * 2], "<u2" if little else ">u2")
    else:
        values = np.array(stored if isinstance(stored, list | MultiValue) else [stored], np.int64) & 0xFFFF
    if 2 * len(values) - 1 <= number <= 2 * len(values):
        values = values.astype("<u2").view(np.uint8)
    if len(values) < number:
        raise ValueError("too few entries")
    return values[:number].astype(np.int64)


def _look_up(values: np.ndarray, first: int, entries: np.ndarray) -> np.ndarray:
    last = len(entries) - 1
    return grey_levels.by_rows(
        values, lambda rows: entries[np.clip(np.rint(rows).astype(int) - first, 0, last)]
    )


def _number(value: object) -> float | None:
    """Return a header's first number; None if there is none."""
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
