"""Any chest X-ray file to one float grey image, and back to an 8-bit file.

Decoding is left to Pillow, tifffile and pydicom; this module decides what the grey levels mean and turns
whatever those libraries say about a bad file into one kind of error.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from sdnet_lib.files import InputError, one_line, whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom")
MAX_PIXELS = 80_000_000  # a chest radiograph has at most some 20 million; below Pillow's own limit
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, Pillow's weights for red, green and blue
_DETECTOR_BITS = (10, 12, 14, 16, 32)  # depths found inside files that store more than 8 bits


class ImageError(InputError):
    """An image file that cannot be used.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    reason : str
        What is wrong with it, in a few words.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = Path(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def find_images(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the image files of a folder, known by their suffix (one of `SUFFIXES`), sorted.

    Parameters
    ----------
    folder : pathlib.Path
    pattern : str
        Glob pattern, relative to the folder: files in it by default, ``**/*`` with those in folders below.
        Hidden files, and files in hidden folders, are left out.
    """
    return sorted(
        file
        for file in folder.glob(pattern)
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )


def read_gray(path: str | Path) -> np.ndarray:
    """Read PNG, JPEG, TIFF, WebP, BMP or DICOM as one grey image, bright where the film is bright.

    Grey levels depend on the file alone, never on other files:

    - 8 bits: divided by 255.
    - more than 8 bits (integers): divided by the range of the smallest usual detector depth (10, 12, 14, 16
      or 32 bits) that holds the brightest pixel, because many 16-bit files hold 12-bit values.
    - floats, and integers with negative values: as they are if all lie in [0, 1], else minimum to 0 and
      maximum to 1.
    - DICOM: rescale slope and intercept (or modality table), then the first VOI table or window, whose range
      becomes [0, 1]; without one, minimum to 0 and maximum to 1. MONOCHROME1 is inverted.

    Colour is turned to grey (BT.601), transparency laid on black, EXIF and TIFF orientation applied. Of
    several pages or frames the first is taken.

    Parameters
    ----------
    path : str or pathlib.Path
        The file; what it holds decides, not its suffix.

    Returns
    -------
    numpy.ndarray
        float32, shape (height, width), in [0, 1].

    Raises
    ------
    ImageError
        For a file that is missing, a folder, empty, truncated, not an image, over `MAX_PIXELS` pixels, of one
        single grey level, or with NaN or infinite values.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(path, "no such file")
    if path.is_dir():
        raise ImageError(path, "a folder, not an image")
    try:
        if path.stat().st_size == 0:
            raise ImageError(path, "empty file")
        image = _read_dicom(path) if _is_dicom(path) else _read_picture(path)
    except ImageError:
        raise
    except Exception as error:  # decoders raise anything, from OSError to struct.error; all mean a bad file
        raise ImageError(path, f"cannot be decoded ({one_line(error)[:150]})") from error
    if image.max() == image.min():
        raise ImageError(path, "constant image: every pixel has the same grey level")
    return image.astype(np.float32)


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
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in formats:
        raise ImageError(path, "images are written as .png, .jpg or .jpeg")
    pixels = np.rint(np.clip(np.asarray(image, np.float32), 0, 1) * 255).astype(np.uint8)
    with whole(path) as part:
        Image.fromarray(pixels).save(part, format=formats[path.suffix.lower()], quality=95)


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


def _read_picture(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(path)
        except Image.UnidentifiedImageError:
            if path.read_bytes()[:4] in (b"II*\0", b"MM\0*"):  # a TIFF of a kind that Pillow does not know
                return _read_tiff(path)
            raise ImageError(path, "not an image (PNG, JPEG, TIFF, WebP, BMP or DICOM)") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ImageError(path, f"over {MAX_PIXELS:,} pixels") from None
    with picture:
        _check_size(path, picture.height, picture.width)
        tags = getattr(picture, "tag_v2", {})  # of a TIFF
        picture = ImageOps.exif_transpose(picture)
        if picture.mode == "1" or picture.mode.startswith(("I", "F")):
            return _deep_to_unit(path, np.asarray(picture), tags)
        if picture.has_transparency_data or picture.mode in ("La", "RGBa"):
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture)
        if picture.mode == "L":
            return np.asarray(picture) / np.float32(255)
        return np.asarray(picture.convert("RGB")) @ _GREY / 255


def _deep_to_unit(path: Path, pixels: np.ndarray, tags: dict) -> np.ndarray:
    """Scale pixels of 1, 16 or 32 bits; in a TIFF of that kind Pillow leaves two things undone."""
    unsigned = tags.get(SAMPLEFORMAT, (1,))[0] == 1
    if tags and unsigned and pixels.dtype == np.int32:
        pixels = pixels.view(np.uint32)
    image = _to_unit(path, pixels)
    white_is_zero = pixels.dtype != bool and tags.get(PHOTOMETRIC_INTERPRETATION) == 0
    return 1 - image if white_is_zero else image


def _read_tiff(path: Path) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        _check_size(path, page.imagelength, page.imagewidth)
        pixels = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            return 1 - _to_unit(path, pixels)
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) < pixels.shape[2:]:  # colours one after another
        pixels = np.moveaxis(pixels, 0, -1)
    return _to_unit(path, pixels)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def _read_dicom(path: Path) -> np.ndarray:
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    data = pydicom.dcmread(path, force=True)
    if "PixelData" not in data:
        raise ImageError(path, "a DICOM file without an image, or not DICOM at all")
    _check_size(path, data.Rows, data.Columns)
    pixels = pixel_array(data, index=0)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, data)
    if pixels.ndim == 3:
        return _to_unit(path, pixels)
    image = _apply_voi(apply_modality_lut(pixels, data), data)
    return 1 - image if data.PhotometricInterpretation == "MONOCHROME1" else image


def _apply_voi(pixels: np.ndarray, data: object) -> np.ndarray:
    """Map what the VOI table or window of a DICOM data set shows to [0, 1]; without one, all there is."""
    from pydicom.pixels import apply_voi, apply_windowing

    if data.get("VOILUTSequence"):
        depth = data.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi(np.rint(pixels).astype(np.int64), data) / (2**depth - 1)
    if "WindowWidth" in data and "WindowCenter" in data:
        low, high = apply_windowing(np.array([-1e12, 1e12]), data)
        return (apply_windowing(pixels, data) - low) / (high - low)
    return _min_max(pixels)


def _to_unit(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Scale decoded pixels, grey or with a last axis of colours, to one grey image in [0, 1]."""
    if not np.isfinite(pixels).all():
        raise ImageError(path, "NaN or infinite grey levels")
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        alpha = _to_unit(path, pixels[..., 3]) if pixels.shape[-1] == 4 else 1
        colours = _to_unit(path, pixels[..., :3].reshape(len(pixels), -1))  # one range for all three
        return colours.reshape(*pixels.shape[:2], 3) @ _GREY * alpha
    if pixels.ndim != 2:
        raise ImageError(path, f"an array of shape {pixels.shape}, not a grey or colour image")
    low, high = pixels.min(), pixels.max()
    if low >= 0 and high <= 1 and pixels.dtype.kind in "bf":
        return pixels.astype(np.float64)
    if low < 0 or pixels.dtype.kind == "f":
        return _min_max(pixels)
    if pixels.dtype == np.uint8:
        return pixels / 255
    return pixels / (2.0 ** next(bits for bits in _DETECTOR_BITS if high < 2.0**bits) - 1)


def _min_max(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    return (pixels - low) / ((high - low) or 1)


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ImageError(path, f"{width} x {height} pixels: over {MAX_PIXELS:,}")
