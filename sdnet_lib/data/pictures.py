"""PNG, JPEG, TIFF, WebP, BMP and JPEG 2000 to one grey image, by Pillow, tifffile and imagecodecs."""

from __future__ import annotations

import warnings as python_warnings
from pathlib import Path

import numpy as np
from PIL import Image

from sdnet_lib.data import grey_levels
from sdnet_lib.data.formats import ImageError, check_size

PILLOW = {"PNG": "PNG", "JPEG": "JPEG", "TIFF": "TIFF", "WebP": "WEBP", "BMP": "BMP", "JPEG 2000": "JPEG2000"}
ORIENTATION = 0x0112  # tag of EXIF and of TIFF
# To put it upright: rows reversed, columns reversed, then rows and columns exchanged.
UPRIGHT = {2: (0, 1, 0), 3: (1, 1, 0), 4: (1, 0, 0), 5: (0, 0, 1), 6: (1, 0, 1), 7: (1, 1, 1), 8: (0, 1, 1)}
TRANSPARENT = ("LA", "La", "RGBA", "RGBa", "PA")


def read(path: Path, kind: str) -> tuple[np.ndarray, list[str], str]:
    """Read a picture; colour is turned to grey, transparency laid on black, the orientation applied.

    Parameters
    ----------
    path : pathlib.Path
    kind : str
        A key of `PILLOW`, from `formats.format_of`.

    Returns
    -------
    image : float32 array, (height, width), in [0, 1]
    warnings : list of str
        What was left out.
    mode : str
        How colours are stored, in Pillow's words: ``L``, ``RGB``, ``P``, ``I;16`` and the like.

    Raises
    ------
    ImageError
        For a picture that is too large, not of one of the kinds, or with NaN or infinite values.
    """
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # EXIF blocks that cannot be read, and the like: no harm done
        deep = _deep_png(path) if kind == "PNG" else kind == "TIFF" and _deep_tiff(path)
        if deep:
            return _read_deep_png(path) if kind == "PNG" else _read_deep_tiff(path)
        try:
            return _read_by_pillow(path, PILLOW[kind])
        except Image.UnidentifiedImageError:
            if kind != "JPEG":
                raise
            return _read_other_jpeg(path)


def _read_by_pillow(path: Path, kind: str) -> tuple[np.ndarray, list[str], str]:
    Image.MAX_IMAGE_PIXELS = None  # checked here, in bytes too
    with Image.open(path, formats=[kind]) as picture:
        deep = picture.mode.startswith(("I", "F"))
        check_size(path, picture.height, picture.width, 8 if deep else len(picture.getbands()) // 2 * 4 + 4)
        notes = _pages(getattr(picture, "n_frames", 1))
        picture.load()
        orientation = _orientation(picture)  # only now: Pillow turns a TIFF by itself when it loads it
        if deep or picture.mode == "1":
            pixels = np.asarray(picture)
        else:
            return upright(_grey_of_eight_bits(picture), orientation), notes, picture.mode
    _check_finite(path, pixels)
    return upright(grey_levels.unit(pixels), orientation), notes, picture.mode


def _grey_of_eight_bits(picture: Image.Image) -> np.ndarray:
    transparent = picture.has_transparency_data or picture.mode in TRANSPARENT
    image = np.empty((picture.height, picture.width), np.float32)
    for top in range(0, picture.height, grey_levels.ROWS):
        strip = picture.crop((0, top, picture.width, min(top + grey_levels.ROWS, picture.height)))
        if transparent:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "black"), strip)
        if strip.mode == "L":
            image[top : top + grey_levels.ROWS] = np.asarray(strip) / np.float32(255)
        else:
            image[top : top + grey_levels.ROWS] = np.asarray(strip.convert("RGB")) @ grey_levels.GREY / 255
    return image


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing about the picture
        return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo how a camera or scanner was turned; an unknown orientation leaves the image as it is."""
    rows, columns, exchange = UPRIGHT.get(orientation, (0, 0, 0))
    image = image[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(image.T if exchange else image)


def _pages(count: int) -> list[str]:
    return [f"the first of {count} pages is used"] if count > 1 else []


def _check_finite(path: Path, pixels: np.ndarray) -> None:
    if pixels.dtype.kind == "f" and not all(np.isfinite(row).all() for row in pixels):
        raise ImageError(path, "NaN or infinite grey levels")


def _deep_png(path: Path) -> bool:
    """Say whether a PNG has colours or transparency of 16 bits, which Pillow cuts to eight."""
    with open(path, "rb") as file:
        head = file.read(26)
    return len(head) == 26 and head[24] == 16 and head[25] in (2, 4, 6)


def _read_deep_png(path: Path) -> tuple[np.ndarray, list[str], str]:
    import imagecodecs

    with Image.open(path, formats=["PNG"]) as picture:
        check_size(path, picture.height, picture.width, 4 + 2 * (len(picture.getbands()) + 1))
        orientation = _orientation(picture)
        mode = f"{picture.mode};16"
    return upright(_of_channels(path, imagecodecs.png_decode(path.read_bytes())), orientation), [], mode


def _of_channels(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Turn decoded pixels, grey or with a last axis of grey or colours and transparency, to grey levels."""
    _check_finite(path, pixels)
    if pixels.ndim == 2:
        return grey_levels.unit(pixels)
    if pixels.ndim != 3 or pixels.shape[-1] not in (2, 3, 4):
        raise ImageError(path, f"an array of shape {pixels.shape}, not a grey or colour image")
    colours = 3 if pixels.shape[-1] > 2 else 1
    image = grey_levels.unit(pixels[..., :colours])  # one range for all colours
    image = grey_levels.grey(image) if colours == 3 else image[..., 0]
    if pixels.shape[-1] > colours:
        image *= grey_levels.unit(pixels[..., colours])
    return image


def _deep_tiff(path: Path) -> bool:
    """Say whether a TIFF is better read by tifffile: more than 8 bits, planes, or unknown to Pillow."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        if page.bitspersample > 8 or page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            return True
    try:
        with Image.open(path, formats=["TIFF"]):
            return False
    except Image.UnidentifiedImageError:
        return True


def _read_deep_tiff(path: Path) -> tuple[np.ndarray, list[str], str]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        each = page.dtype.itemsize if page.dtype else 8
        check_size(path, page.imagelength, page.imagewidth, 4 + each * page.samplesperpixel)
        notes = _pages(len(tiff.pages))
        pixels = page.asarray()
        white_is_zero = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        orientation = page.tags.valueof(ORIENTATION, 1)
        mode = f"{page.samplesperpixel} x {page.bitspersample} bits"
        planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3
    pixels = np.moveaxis(pixels, 0, -1) if planes else pixels
    image = _of_channels(path, pixels)
    return upright(1 - image if white_is_zero else image, orientation), notes, mode


def _read_other_jpeg(path: Path) -> tuple[np.ndarray, list[str], str]:
    """Read a JPEG that Pillow does not know: with 12 bits, or lossless."""
    from sdnet_lib.data import codecs

    frame = path.read_bytes()
    try:
        pixels = codecs.jpeg(frame)
    except Exception as error:
        raise OSError(str(error)) from error
    return _of_channels(path, pixels), [], "L" if pixels.ndim == 2 else "RGB"
