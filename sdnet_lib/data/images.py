"""Any chest X-ray file to one float grey image, and back to an 8-bit file.

This is the one door: whoever needs the pixels of a file that came from outside reads it here, and gets grey
levels or one kind of error. What is decoded how is in `pictures` and `dicom`, where it is decoded in
`decoder`, and what grey levels mean in `grey_levels`.
"""

from __future__ import annotations

import io
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from sdnet_lib.data import decoder
from sdnet_lib.data.formats import KINDS, MAX_PIXELS, ImageError, format_of
from sdnet_lib.files import InputError, write_bytes

__all__ = ["KINDS", "MAX_PIXELS", "Film", "Found", "ImageError", "find_images", "header", "read", "read_gray"]
# Files so named are handed on, whatever they hold: whoever reads them says what is wrong with them.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".jp2", ".dcm", ".dicom")
Answer = TypeVar("Answer")
DISC = "DICOMDIR"  # the table of contents of a disc, itself a DICOM file


class Film(NamedTuple):
    """A picture, float32 (height, width) in [0, 1]; what of its file could not be used; its colour mode."""

    pixels: np.ndarray
    warnings: list[str]
    mode: str


class Found(NamedTuple):
    """The images of a folder, sorted, and how many other files of which kind were left out."""

    images: list[Path]
    left_out: dict[str, int]

    def __str__(self) -> str:
        """Say what was left out, such as ``3 .txt, 1 hidden``; nothing if nothing was."""
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))


def find_images(folder: Path, pattern: str = "*") -> Found:
    """Find the images of a folder by what the files hold, and those that are named as images.

    Parameters
    ----------
    folder : pathlib.Path
    pattern : str
        Glob pattern, relative to the folder: files in it by default, ``**/*`` with those in folders below.
        Hidden files, and files in hidden folders, are left out, as macOS leaves one beside each copied file.
    """
    found, left_out = [], Counter()
    for file in sorted(folder.glob(pattern)):
        if file.is_dir():
            continue
        if not file.is_file():
            left_out["broken link or pipe"] += 1
        elif any(part.startswith(".") for part in file.relative_to(folder).parts):
            left_out["hidden"] += 1
        elif file.name == DISC or not (file.suffix.lower() in SUFFIXES or _format_or_none(file)):
            left_out[file.suffix.lower() or "without suffix"] += 1
        else:
            found.append(file)
    return Found(found, dict(left_out))


def _format_or_none(file: Path) -> str | None:
    try:
        return format_of(file)
    except OSError:  # reading it will say why it cannot be opened
        return "unknown"


def apart(out: str | Path, files: Iterable[str | Path]) -> Path:
    """Return a folder to write, as an absolute path.

    Raises
    ------
    InputError
        If it holds one of the files that are read, which it could overwrite.
    """
    out = Path(os.path.abspath(out))
    real = out.resolve()
    for file in files:
        if real in Path(file).resolve().parents:
            raise InputError(f"{out}: holds {file}, which could be overwritten; choose another folder")
    return out


def read(path: str | Path) -> Film:
    """Read PNG, JPEG, TIFF, WebP, BMP, JPEG 2000 or DICOM as one grey image, bright where the film is bright.

    Grey levels depend on the file alone, never on other files; `grey_levels.unit` has the rule for pictures,
    `dicom.read` that for DICOM.

    Parameters
    ----------
    path : str or pathlib.Path
        The file; what it holds decides, not its name.

    Raises
    ------
    ImageError
        For a file that is missing, a folder, empty, truncated, not an image, too large, of one single grey
        level, with NaN or infinite values, or that ends its decoder.
    """
    film = decode(path)
    if film.pixels.max() == film.pixels.min():
        raise ImageError(path, "constant image: every pixel has the same grey level")
    return film


def read_gray(path: str | Path) -> np.ndarray:
    """Return the pixels of `read`: float32, (height, width), in [0, 1]."""
    return read(path).pixels


def read_mask(path: str | Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read a mask: bool (height, width), True where it is not black.

    Raises
    ------
    ImageError
        As `read`, but a mask may be constant; and if it is not of the given `shape`.
    """
    try:
        mask = decode(path).pixels > 0
    except ImageError as error:
        raise ImageError(path, f"a mask that cannot be read: {error.reason}") from None
    if shape is not None and mask.shape != shape:
        found, wanted = (f"{width} x {height}" for height, width in (mask.shape, shape))
        raise ImageError(path, f"a mask of {found} pixels for an image of {wanted}")
    return mask


def decode(path: str | Path) -> Film:
    """Read a picture as `read` does, also if it is constant: of use where only its size or mode matters."""
    return Film(*_answered(decoder.decode, path))


def header(path: str | Path) -> dict[str, str]:
    """Return what a file says about itself (see `headers.read`), without decoding its pixels.

    Raises
    ------
    ImageError
        For a file that is missing, a folder, empty, not an image, or that ends its decoder.
    """
    return _answered(decoder.header, path)


def _answered(ask: Callable[[Path], Answer], path: str | Path) -> Answer:
    """Ask the decoder about an ordinary file, under the name that the caller gave it."""
    path = Path(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        raise ImageError(path, f"cannot be opened ({getattr(error, 'strerror', error)})") from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(path, "a folder, not an image")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(path, "not an ordinary file")
    if found.st_size == 0:
        raise ImageError(path, "empty file")
    try:
        return ask(Path(os.path.abspath(path)))
    except ImageError as error:
        raise ImageError(path, error.reason) from None


def write_gray(path: str | Path, image: np.ndarray) -> None:
    """Write a grey image or a mask as 8-bit PNG or JPEG (quality 95), atomically.

    Parameters
    ----------
    path : str or pathlib.Path
        Ends in ``.png``, ``.jpg`` or ``.jpeg``; missing folders are made.
    image : numpy.ndarray
        Shape (height, width); floats in [0, 1] (clipped beyond) or bool.

    Raises
    ------
    ImageError
        For another suffix.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".png":
            write_bytes(path, png(eight_bits(image)))
        case ".jpg" | ".jpeg":
            write_picture(path, eight_bits(image), format="JPEG", quality=95)
        case _:
            raise ImageError(path, "images are written as .png, .jpg or .jpeg")


def png(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels, (height, width), as a PNG file.

    Each row is the difference to the one above, and only runs are packed: films get about as small as by the
    usual search for the best filter of each row, in a third of its time.
    """
    from imagecodecs import PNG, png_encode

    return png_encode(np.ascontiguousarray(pixels), level=1, strategy=PNG.STRATEGY.RLE, filter=PNG.FILTER.UP)


def write_picture(path: Path, pixels: np.ndarray, **options: object) -> None:
    """Write uint8 or bool pixels, whole or not at all; options are those of Pillow's `save`.

    They are encoded in memory, for Pillow's encoders do not say why they cannot write.
    """
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, **options)
    write_bytes(path, encoded.getvalue())


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Round an image, float in [0, 1] (clipped beyond) or bool, to uint8."""
    return np.rint(np.clip(np.asarray(image, np.float32), 0, 1) * 255).astype(np.uint8)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a grey image, averaging over what each new pixel covers (no aliasing).

    Parameters
    ----------
    image : numpy.ndarray
        Shape (height, width), float or bool.
    size : tuple of int
        New (height, width).

    Returns
    -------
    numpy.ndarray
        float32, shape `size`, within the range of `image`.
    """
    height, width = size
    picture = Image.fromarray(np.asarray(image, np.float32))
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR))
