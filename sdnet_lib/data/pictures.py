"""PNG, JPEG, TIFF, WebP, BMP and JPEG 2000 to one grey image, by Pillow, tifffile and imagecodecs."""

from __future__ import annotations

import math
import warnings as python_warnings
from pathlib import Path

import numpy as np
from PIL import Image

from sdnet_lib.data import grey_levels
from sdnet_lib.data.formats import END, ImageError, check_size, jpeg_frame

PILLOW = {"PNG": "PNG", "JPEG": "JPEG", "TIFF": "TIFF", "WebP": "WEBP", "BMP": "BMP", "JPEG 2000": "JPEG2000"}
ORIENTATION = 0x0112  # tag of EXIF and of TIFF
# where a PNG, before or behind its pixels, says how it was turned
TURNED = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
# To put it upright: rows reversed, columns reversed, then rows and columns exchanged.
UPRIGHT = {2: (0, 1, 0), 3: (1, 1, 0), 4: (1, 0, 0), 5: (0, 0, 1), 6: (1, 0, 1), 7: (1, 1, 1), 8: (0, 1, 1)}
ALPHA = (1, 2)  # extra samples of a TIFF that are transparency
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
        _check_end(path, kind)
        if kind in ("PNG", "JPEG 2000"):  # Pillow cuts colours to 8 bits and passes over missing rows
            return _read_by_imagecodecs(path, kind)
        if kind == "TIFF" and _deep_tiff(path):
            return _read_deep_tiff(path)
        try:
            return _read_by_pillow(path, PILLOW[kind])
        except Image.UnidentifiedImageError:
            if kind != "JPEG":
                raise
            return _read_other_jpeg(path)


def _check_end(path: Path, kind: str) -> None:
    """Refuse what has lost its end, as an interrupted copy may in zeros: decoders make grey of it."""
    if kind not in ("JPEG", "JPEG 2000"):
        return  # others have checksums or lengths, or their zeros may be black
    content = path.read_bytes()
    start = jpeg_frame(content)[1] if kind == "JPEG" else max(content.find(b"\xff\x4f\xff\x51"), 0)
    if END not in content[start:]:
        raise ImageError(path, "truncated: the picture has no end")


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
    if picture.format == "BMP" and transparent and picture.getextrema()[3] == (0, 0):  # often left empty
        transparent, picture = False, picture.convert("RGB")
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


def _read_by_imagecodecs(path: Path, kind: str) -> tuple[np.ndarray, list[str], str]:
    import imagecodecs

    Image.MAX_IMAGE_PIXELS = None  # checked here, in bytes too
    content = path.read_bytes()
    with Image.open(path, formats=[PILLOW[kind]]) as picture:
        deep = content[24] == 16 if kind == "PNG" else picture.mode not in ("L", "LA")
        channels = 4 if picture.mode == "P" else len(picture.getbands()) + ("transparency" in picture.info)
        check_size(path, picture.height, picture.width, 4 + channels * (1 + deep))
        notes = _pages(getattr(picture, "n_frames", 1))
        # Asked for what a PNG does not say, Pillow looks behind its pixels and decodes them for that.
        may_be_turned = kind != "PNG" or any(word in content for word in TURNED)
        orientation = _orientation(picture) if may_be_turned else 1
        mode = f"{picture.mode};16" if deep and kind == "PNG" and channels > 1 else picture.mode
    decode = imagecodecs.png_decode if kind == "PNG" else imagecodecs.jpeg2k_decode
    return upright(_of_channels(path, decode(content)), orientation), notes, mode


def _of_channels(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Turn decoded pixels, grey or with a last axis of grey or colours and transparency, to grey levels."""
    _check_finite(path, pixels)
    if pixels.ndim == 2:
        return grey_levels.unit(pixels)
    if pixels.ndim != 3 or pixels.shape[-1] not in (2, 3, 4):
        raise ImageError(path, f"an array of shape {pixels.shape}, not a grey or colour image")
    colours = 3 if pixels.shape[-1] > 2 else 1
    weights = grey_levels.GREY if colours == 3 else np.ones(1)
    ends = grey_levels.ends(pixels[..., :colours])  # one range for all colours
    full = grey_levels.ends(pixels[..., colours:]) if pixels.shape[-1] > colours else None

    def on_black(rows: np.ndarray) -> np.ndarray:
        seen = grey_levels.scaled(rows[..., :colours], *ends) @ weights
        return seen if full is None else seen * grey_levels.scaled(rows[..., colours], *full)

    return grey_levels.by_rows(pixels, on_black)


def _deep_tiff(path: Path) -> bool:
    """Say whether a TIFF is better read by tifffile: one that Pillow does not know, or takes for another."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        signed = page.sampleformat != tifffile.SAMPLEFORMAT.UINT
        if page.bitspersample > 8 or separate or signed or page.is_reduced or _incomplete(page):
            return True
    try:
        with Image.open(path, formats=["TIFF"]):
            return False
    except Image.UnidentifiedImageError:
        return True


def _incomplete(page: object) -> bool:
    """Say whether parts of a page of a TIFF are not in the file; readers would take them for black."""
    return 0 in page.databytecounts or len(page.databytecounts) < math.prod(page.chunked)


def _read_deep_tiff(path: Path) -> tuple[np.ndarray, list[str], str]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = next((page for page in tiff.pages if not page.is_reduced), tiff.pages[0])
        if _incomplete(page):
            raise ImageError(path, "strips or tiles of it are missing")
        each = page.dtype.itemsize if page.dtype else 8
        check_size(path, page.imagelength, page.imagewidth, 4 + each * page.samplesperpixel)
        notes = _pages(len(tiff.pages))
        pixels = page.asarray()
        white_is_zero = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        orientation = page.tags.valueof(ORIENTATION, 1)
        mode = f"{page.samplesperpixel} x {page.bitspersample} bits"
        planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3
        pixels = _tiff_colours(path, page, np.moveaxis(pixels, 0, -1) if planes else pixels)
    image = _of_channels(path, pixels)
    return upright(1 - image if white_is_zero else image, orientation), notes, mode


def _tiff_colours(path: Path, page: object, pixels: np.ndarray) -> np.ndarray:
    """Return a TIFF's pixels as grey or in red, green and blue, with transparency if it has any."""
    match getattr(page.photometric, "name", page.photometric):
        case "PALETTE":
            return np.moveaxis(page.colormap[:, pixels], 0, -1)
        case "SEPARATED" if page.samplesperpixel == 4:  # black ink hides what the others show
            return np.iinfo(pixels.dtype).max - pixels
        case "YCBCR" | "CIELAB" | "ICCLAB":
            return pixels[..., 0]
        case "MINISWHITE" | "MINISBLACK" | "RGB":
            if page.extrasamples and not set(page.extrasamples) & set(ALPHA):
                pixels = pixels[..., : page.samplesperpixel - len(page.extrasamples)]
            return pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
        case other:
            raise ImageError(path, f"a TIFF with colours of kind {other}")


def _read_other_jpeg(path: Path) -> tuple[np.ndarray, list[str], str]:
    """Read a JPEG that Pillow does not know: with 12 bits, or lossless."""
    from sdnet_lib.data import codecs

    frame = path.read_bytes()
    try:
        pixels = codecs.jpeg(frame)
    except Exception as error:
        raise OSError(str(error)) from error
    return _of_channels(path, pixels), [], "L" if pixels.ndim == 2 else "RGB"
