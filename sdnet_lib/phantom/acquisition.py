"""From path lengths to a picture: beam, scatter, quanta, detector and display, and how sites differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from sdnet_lib.phantom.frame import Frame

# Linear attenuation at the mean energy of a 120 kV chest exposure, 1/cm (NIST tables at about 60 keV).
SOFT, LUNG, BONE = 0.205, 0.055, 0.40  # BONE is what compact bone adds to soft tissue
_SCATTER_REACH = 5.0  # cm


@dataclass(frozen=True, kw_only=True)
class Site:
    """How one hospital takes, processes and stores its radiographs.

    Attributes
    ----------
    aspect : float
        Height of the picture over its width.
    field : float
        Longest side of the detector's field in cm.
    scatter : float
        Fraction of scattered radiation in what the detector sees; a grid lowers it.
    quanta : float
        X-ray quanta on a pixel of 1 mm^2 in the open beam.
    blur : float
        Standard deviation of the detector's blur in cm.
    lung_grey, dense_grey : float
        Grey levels given to the clear lung and to the densest parts.
    curve : float
        Bend of the display curve: the higher, the more contrast lung gets at the cost of dense parts.
    flattening, sharpening : float
        Fraction of the coarse contrast that the processing takes away, and of the fine one that it adds.
    marker, marker_at : str, tuple of float
        Side marker and its place (column, row as fractions of the picture).
    text, text_at : str, tuple of float
        Burnt-in words and their place; empty for none.
    border : tuple of float
        Widths of the collimated border left, top, right and bottom, as fractions of the picture.
    border_grey : float
        Grey level of that border.
    suffix : str
        Kind of file the site exports.
    file_size : float
        Longest side of its files as a fraction of the asked size.
    """

    aspect: float
    field: float
    scatter: float
    quanta: float
    blur: float
    lung_grey: float
    dense_grey: float
    curve: float
    flattening: float
    sharpening: float
    marker: str
    marker_at: tuple[float, float]
    text: str = ""
    text_at: tuple[float, float] = (0, 0)
    border: tuple[float, float, float, float] = (0, 0, 0, 0)
    border_grey: float = 0
    suffix: str
    file_size: float = 1


SITES = {
    "A": Site(
        aspect=1.0,
        field=35.5,
        scatter=0.25,
        quanta=3e4,
        blur=0.05,
        lung_grey=0.44,
        dense_grey=0.9,
        curve=1.2,
        flattening=0.35,
        sharpening=0.6,
        marker="L",
        marker_at=(0.84, 0.05),
        suffix=".png",
    ),
    "B": Site(
        aspect=0.82,
        field=42,
        scatter=0.5,
        quanta=8e3,
        blur=0.1,
        lung_grey=0.36,
        dense_grey=0.82,
        curve=0.9,
        flattening=0.1,
        sharpening=0.1,
        marker="R",
        marker_at=(0.07, 0.08),
        text="PORTABLE",
        text_at=(0.7, 0.04),
        suffix=".jpg",
        file_size=0.9,
    ),
    "C": Site(
        aspect=0.9,
        field=36,
        scatter=0.4,
        quanta=1e4,
        blur=0.08,
        lung_grey=0.3,
        dense_grey=0.86,
        curve=1.0,
        flattening=0.2,
        sharpening=0.3,
        marker="D",
        marker_at=(0.05, 0.12),
        text="SUP",
        text_at=(0.12, 0.12),
        border=(0.012, 0.012, 0.012, 0.012),
        border_grey=1,
        suffix=".jpg",
    ),
    "D": Site(
        aspect=1.18,
        field=42,
        scatter=0.35,
        quanta=2e4,
        blur=0.06,
        lung_grey=0.42,
        dense_grey=0.86,
        curve=1.4,
        flattening=0.4,
        sharpening=0.8,
        marker="L",
        marker_at=(0.9, 0.12),
        text="AP",
        text_at=(0.05, 0.94),
        border=(0.05, 0.02, 0, 0.03),
        border_grey=0.35,
        suffix=".jpg",
        file_size=0.95,
    ),
    "E": Site(
        aspect=0.98,
        field=41,
        scatter=0.22,
        quanta=4e4,
        blur=0.04,
        lung_grey=0.2,
        dense_grey=0.95,
        curve=1.0,
        flattening=0.05,
        sharpening=0.3,
        marker="R",
        marker_at=(0.05, 0.04),
        text="PA ERECT",
        text_at=(0.76, 0.05),
        border=(0, 0, 0, 0.05),
        suffix=".png",
    ),
}


def low_pass(image: np.ndarray, reach: float) -> np.ndarray:
    """Blur by a wide Gaussian (`reach` in pixels), computed on a coarser grid."""
    rows, columns = image.shape
    step = max(1, int(reach / 3))
    small = Image.fromarray(image).resize(
        (max(1, columns // step), max(1, rows // step)), Image.Resampling.BOX
    )
    wide = ndimage.gaussian_filter(np.asarray(small), reach / step, mode="nearest", truncate=3)
    return np.asarray(Image.fromarray(wide).resize((columns, rows), Image.Resampling.BICUBIC))


def detect(frame: Frame, line: np.ndarray, site: Site, rng: np.random.Generator) -> np.ndarray:
    """Expose the detector (Beer-Lambert, scatter, blur, Poisson quanta); return minus the log of its signal.

    Parameters
    ----------
    line : numpy.ndarray
        Line integral of the attenuation for each pixel.
    """
    beam = np.exp(-line)
    tissue = np.where(line > 0.05, beam, 0).astype(np.float32)  # the open beam scatters nothing
    beam = (1 - site.scatter) * beam + site.scatter * low_pass(tissue, _SCATTER_REACH / frame.pixel)
    beam = ndimage.gaussian_filter(beam, site.blur / frame.pixel, truncate=3)
    dose = np.float32(site.quanta * (10 * frame.pixel) ** 2)
    return -np.log(np.maximum(count_quanta(beam * dose, rng), 1) / dose)


def count_quanta(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a Poisson number for each pixel, made of a normal one by Cornish and Fisher's expansion.

    Right to a quantum where five or more are expected. ``rng.poisson`` takes more random numbers or fewer as
    one is rejected or not, and that may depend on a last digit, which processors round differently: from
    there on the noise of the whole picture would be another.

    Parameters
    ----------
    expected : numpy.ndarray
        float32, quanta on average.
    """
    normal = rng.standard_normal(expected.shape, dtype=np.float32)
    skewed = (normal**2 - 1) / 6
    return np.rint(expected + np.sqrt(expected) * normal + skewed)


def develop(frame: Frame, signal: np.ndarray, lung: np.ndarray, site: Site) -> np.ndarray:
    """Turn the log signal to grey levels: processing that evens out coarse contrast, then the display curve.

    Parameters
    ----------
    lung : numpy.ndarray
        Boolean, where lung is; automatic exposure control aims at it.
    """
    low, high = np.quantile(signal[lung][::4], 0.25), np.quantile(signal[::2, ::2], 0.985)
    level = np.clip((signal - low) / (high - low), -0.8, 1.3)
    detail = level - low_pass(level, 1.5 / frame.pixel)
    coarse = low_pass(level, 4.0 / frame.pixel)
    inside = np.clip((level + 0.75) / 0.4, 0, 1)  # leave the open beam alone
    level = level + inside * (site.sharpening * detail - site.flattening * (coarse - 0.4))
    contrast = site.dense_grey - site.lung_grey
    grey = site.lung_grey + contrast * (1 - np.exp(-site.curve * level)) / (1 - np.exp(-site.curve))
    toe = 0.5 * site.lung_grey  # a film's toe: what is darker than lung is squeezed towards black
    grey = np.where(grey < toe, toe * np.exp(np.minimum(grey - toe, 0) / toe), grey)
    knee = site.dense_grey - 0.05
    grey = np.where(grey > knee, knee + (1 - knee) * np.tanh((grey - knee) / (1 - knee)), grey)
    return np.clip(grey, 0, 1)


@lru_cache(maxsize=64)
def _words(text: str, height: int) -> np.ndarray:
    font = ImageFont.load_default(height)
    left, top, right, bottom = font.getbbox(text)
    page = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(page).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(page, np.float32) / 255


def stamp(image: np.ndarray, site: Site, rng: np.random.Generator) -> np.ndarray:
    """Lay the site's collimated border, side marker and burnt-in words on a picture."""
    image = image.copy()
    rows, columns = image.shape
    jitter = 0.012 * rng.normal(size=8).clip(-2, 2)
    left, top, right, bottom = (
        int(round(max(0, b + (b > 0.02) * j) * max(rows, columns)))
        for b, j in zip(site.border, jitter[:4], strict=True)
    )
    for cut in (np.s_[:, :left], np.s_[:top], np.s_[:, columns - right :], np.s_[rows - bottom :]):
        image[cut] = site.border_grey
    for text, at, tall, j in (
        (site.marker, site.marker_at, 0.05, jitter[4:6]),
        (site.text, site.text_at, 0.032, jitter[6:8]),
    ):
        if text:
            ink = _words(text, max(6, int(tall * max(rows, columns))))
            row = int(np.clip((at[1] + j[1]) * rows, 0, rows - ink.shape[0]))
            column = int(np.clip((at[0] + j[0]) * columns, 0, max(0, columns - ink.shape[1])))
            place = image[row : row + ink.shape[0], column : column + ink.shape[1]]
            place += (0.97 - place) * ink[:, : place.shape[1]]
    return image
