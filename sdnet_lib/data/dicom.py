"""A DICOM file to one grey image: the stored values, then what the header says that they mean.

A film stays readable when an optional tag cannot be used (a window of width zero, an empty rescale slope):
the tag is left aside and a warning says so.
"""

from __future__ import annotations

import io
import math
import os
import warnings as python_warnings
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut, pixel_array

from sdnet_lib.data import codecs, grey_levels, voi
from sdnet_lib.data.formats import ImageError, check_size

FLOATS = ("FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = (*GREY, "RGB", "PALETTE COLOR")  # and the kinds of YBR, whose first number is luminance
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OF_A_FRAME = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)  # what these say
MOST_CARRIED = 0.02  # of neighbouring pixels, for a film may be white here and black there beside an overlay
MOST_PADDING = 0.98  # of a film; a value that fills more is not padding


def read(path: Path) -> tuple[np.ndarray, list[str], str]:
    """Read the first frame of a DICOM file.

    1. Stored values: only the bits that are declared, so that overlays above them do not count.
    2. Modality table, or rescale slope and intercept.
    3. The first VOI table or window, whose range becomes [0, 1]; without one, or where it shows nearly
       nothing of the film, the range that `grey_levels.bounds` finds.
    4. MONOCHROME1 is inverted; padding is black.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    image : float32 array, (height, width), in [0, 1]
    warnings : list of str
        What of the header could not be used, and what was left out.
    mode : str
        ``L``, or ``RGB`` if the film is stored in colour.

    Raises
    ------
    ImageError
        For a file without an image, too large, or whose pixels do not fit its header.
    """
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # pydicom's, of values that we check ourselves
        with _Within(io.FileIO(path)) as file:
            data = dcmread(file, force=True)
        return _image(path, data)


class _Within(io.BufferedReader):
    """A file that takes memory for what it holds, not for what a damaged element says that it holds."""

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes, or what there is."""
        return super().read(min(size, os.fstat(self.fileno()).st_size) if size and size > 0 else size)


def _image(path: Path, data: Dataset) -> tuple[np.ndarray, list[str], str]:
    if not any(data.get(name) for name in ("PixelData", *FLOATS)):
        raise ImageError(path, "a DICOM file without an image, or not DICOM at all")
    notes: list[str] = []
    if not _positive(data.get("Rows")) or not _positive(data.get("Columns")):
        raise ImageError(path, "Rows or Columns is missing or no positive number")
    _use_groups(data)
    syntax, frames = _syntax(path, data), _frames(data, notes)
    data.SamplesPerPixel = samples = int(data.get("SamplesPerPixel") or 1)
    data.PixelRepresentation = data.get("PixelRepresentation") or 0
    if samples > 1 and data.get("PlanarConfiguration") not in (0, 1):
        notes.append("how the planes of colours are stored is not said: taken as one pixel after another")
        data.PlanarConfiguration = 0
    check_size(path, data.Rows, data.Columns, 2 * samples * _bytes_each(path, data) + 4)
    photometric = str(data.get("PhotometricInterpretation") or "").strip().upper()
    if not photometric:
        photometric = "MONOCHROME2" if samples == 1 else "RGB"
        notes.append(f"no photometric interpretation: taken as {photometric}")
    data.PhotometricInterpretation = photometric
    pixels = _pixels(path, data, syntax, frames, notes)
    if frames > 1:
        notes.append(f"the first of {frames} frames is used")
    if not np.isfinite(pixels).all():
        raise ImageError(path, "NaN or infinite grey levels")
    if photometric == "PALETTE COLOR" and pixels.ndim == 2:
        pixels = apply_color_lut(pixels, data)
    if pixels.ndim == 3:
        if pixels.shape[-1] not in (3, 4):
            raise ImageError(path, f"{pixels.shape[-1]} values a pixel: 1 or 3 can be read")
        if photometric not in COLOURS and not photometric.startswith("YBR"):
            raise ImageError(path, f"photometric interpretation {photometric!r} cannot be read")
        if codecs.luminance_first(syntax, photometric):
            image = grey_levels.unit(pixels[..., 0])
        else:
            image = grey_levels.grey(grey_levels.unit(pixels[..., :3]))
        return 1 - image if photometric == "MONOCHROME1" else image, notes, "RGB"
    if photometric not in GREY:
        notes.append(
            f"photometric interpretation {photometric!r} with one value a pixel: taken as MONOCHROME2"
        )
    film = _film(pixels, data, notes)
    image = voi.shown(voi.modality(pixels, data, notes), film, data, notes)
    if photometric == "MONOCHROME1":
        np.subtract(1, image, out=image)
    if film is not None:
        image[~film] = 0
    return image, notes, "L"


def _positive(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _syntax(path: Path, data: Dataset) -> str:
    """Return the transfer syntax; a file without one is known by how it was read and by its frame."""
    found = data.file_meta.get("TransferSyntaxUID") if hasattr(data, "file_meta") else None
    if found:
        return found
    frame = data.get("PixelData", b"")
    if frame[:4] == b"\xfe\xff\x00\xe0":  # an item: the frames are encapsulated
        found = codecs.guess(next(generate_frames(frame, number_of_frames=1)))
        if found is None:
            raise ImageError(path, "compressed, but its transfer syntax is missing")
    else:
        implicit, little = data.original_encoding
        found = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        found = found if little is not False else uid.ExplicitVRBigEndian
    if not hasattr(data, "file_meta"):
        data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = found
    return found


def _use_groups(data: Dataset) -> None:
    """Put what an enhanced file says of its first frame's grey levels where other files say it."""
    for group in (group for name in GROUPS for group in (data.get(name) or [])[:1]):
        for item in (item for name in OF_A_FRAME for item in (group.get(name) or [])[:1]):
            for element in item:
                if element.tag not in data:
                    data.add(element)


def _frames(data: Dataset, notes: list[str]) -> int:
    try:
        frames = int(data.get("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        frames = 0
    if frames < 1:
        notes.append("NumberOfFrames cannot be used: taken as 1")
    data.NumberOfFrames = frames = max(1, frames)
    return frames


def _bytes_each(path: Path, data: Dataset) -> int:
    if any(name in data for name in FLOATS):
        return 8 if "DoubleFloatPixelData" in data else 4
    allocated = data.get("BitsAllocated")
    if allocated not in (1, 8, 16, 32, 64):
        raise ImageError(path, f"{allocated} bits allocated for a pixel: 1, 8, 16, 32 or 64 can be read")
    return max(1, allocated // 8)


def _pixels(path: Path, data: Dataset, syntax: str, frames: int, notes: list[str]) -> np.ndarray:
    """Return the first frame, (rows, columns) or with a last axis of colours."""
    if syntax in codecs.SYNTAXES:
        frame = next(generate_frames(data.PixelData, number_of_frames=frames))
        pixels = codecs.decode(frame, syntax, data.PhotometricInterpretation)
        if pixels.shape[:2] != (data.Rows, data.Columns):
            found = " x ".join(map(str, pixels.shape[1::-1]))
            raise ImageError(
                path, f"its frame holds {found} pixels, its header says {data.Columns} x {data.Rows}"
            )
        return _declared(pixels, data, notes)
    if syntax == uid.RLELossless:
        shape = (data.Rows, data.Columns, *([data.SamplesPerPixel] if data.SamplesPerPixel > 1 else []))
        kind = f"{'i' if data.PixelRepresentation else 'u'}{_bytes_each(path, data)}"
        frame = next(generate_frames(data.PixelData, number_of_frames=frames))
        return _declared(codecs.rle(frame, kind, shape), data, notes)
    if not uid.UID(syntax).is_encapsulated:
        _check_length(path, data, frames, notes)
    if data.SamplesPerPixel > 1 or "PixelData" not in data:
        return pixel_array(data, index=0, raw=True)
    stored, high = data.get("BitsStored"), data.get("HighBit")
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1  # `_declared` needs all bits
    pixels = pixel_array(data, index=0)
    data.BitsStored, data.HighBit = stored, high
    return _declared(pixels, data, notes)


def _check_length(path: Path, data: Dataset, frames: int, notes: list[str]) -> None:
    """Refuse more pixels than rows and columns say: which of them are the film cannot be known."""
    name = next(name for name in ("PixelData", *FLOATS) if name in data)
    bits = 8 * _bytes_each(path, data) if data.get("BitsAllocated") != 1 else 1
    samples = 2 if data.PhotometricInterpretation == "YBR_FULL_422" else int(data.SamplesPerPixel)
    row = data.Columns * samples * bits / 8
    stored = data[name].value
    held = len(stored) // math.ceil(data.Rows * row)
    if 0 < held < frames:
        notes.append(f"{held} of {frames} frames are there")
        data.NumberOfFrames = frames = held
    extra = len(stored) - math.ceil(data.Rows * row * frames)
    if extra >= max(row, 2) and any(stored[-extra:]):
        raise ImageError(
            path,
            f"holds {extra} bytes more than {data.Columns} x {data.Rows} pixels take: "
            "Rows, Columns or NumberOfFrames is wrong",
        )
    if extra > 1:
        notes.append(f"{extra} bytes after the last pixel are left out")


def _declared(pixels: np.ndarray, data: Dataset, notes: list[str]) -> np.ndarray:
    """Keep the bits that are stored, with their sign; leave pixels alone that use no others."""
    allocated = 8 * pixels.dtype.itemsize
    stored = data.get("BitsStored")
    if (
        pixels.dtype.kind == "b"
        or allocated == 8
        and pixels.dtype.kind == "u"
        and not data.get("PixelRepresentation")
    ):
        return pixels
    if not isinstance(stored, int) or not 0 < stored <= allocated:
        if stored != data.get("BitsAllocated"):
            notes.append(f"BitsStored {stored} cannot be: all {allocated} bits are used")
        stored = allocated
    signed = bool(data.get("PixelRepresentation"))
    low, high = int(pixels.min()), int(pixels.max())
    if signed and pixels.dtype.kind == "i" and -(2 ** (stored - 1)) <= low and high < 2 ** (stored - 1):
        return pixels
    if not signed and low >= 0 and high < 2**stored:
        return pixels
    if low < 0 and not signed and pixels.dtype.kind == "i":  # a codestream that knows its own sign
        return pixels
    top = data.get("HighBit")
    shift = top + 1 - stored if isinstance(top, int) and stored <= top + 1 <= allocated else 0
    bits = pixels.view(pixels.dtype.str.replace("i", "u")) >> shift
    if _overflows(bits, stored):
        notes.append(f"the film needs more than the {stored} bits that are stored: all {allocated} are used")
        return pixels
    bits = bits & (2**stored - 1)
    if signed:
        sign = 1 << (stored - 1)
        bits = (bits.astype(np.int64) ^ sign) - sign
    elif not shift or top != allocated - 1:
        notes.append(f"bits above the {stored} that are stored are left out")
    return bits


def _overflows(bits: np.ndarray, stored: int) -> bool:
    """Say whether the film has bits above those that are stored: neighbours that carry into them."""
    some = bits[:: max(1, bits.size // grey_levels.SAMPLE)]
    whole, above = (np.abs(np.diff(each.astype(float), axis=1)) for each in (some, some >> stored))
    carried = (above == 1) & (whole < 2 ** (stored - 1))
    return carried.mean() > MOST_CARRIED or carried.sum() > (whole >= 2 ** (stored - 1)).sum()


def _film(pixels: np.ndarray, data: Dataset, notes: list[str]) -> np.ndarray | None:
    """Return what is no padding; None where all is film."""
    value, limit = data.get("PixelPaddingValue"), data.get("PixelPaddingRangeLimit")
    if value is None:
        return None
    try:
        first = int(value)
        last = first if limit is None else int(limit)
    except (TypeError, ValueError):
        notes.append(f"pixel padding value {value!r} cannot be used")
        return None
    padding = (pixels >= min(first, last)) & (pixels <= max(first, last))
    if not padding.any():
        return None
    if padding.mean() > MOST_PADDING:
        notes.append("nearly all of the film has the padding value: it is shown as it is")
        return None
    return ~padding
