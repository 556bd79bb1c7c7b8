"""The compressed frames of DICOM files, by imagecodecs: it survives frames that end other decoders.

RLE is left to pydicom. JPEG with 12 bits a sample is decoded too.
"""

from __future__ import annotations

import re

import imagecodecs
import numpy as np
from pydicom import uid

JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
SYNTAXES = (*_JPEG, *_JPEG_LS, *JPEG_2000)
END, TAIL = b"\xff\xd9", 1024  # of a frame of any kind; bytes to look for it, for some are padded
_LOSSLESS = re.compile(rb"\xff\xc3")
_ADOBE = b"\xff\xee\x00\x0eAdobe"


def decode(frame: bytes, syntax: str, photometric: str) -> np.ndarray:
    """Decode one frame.

    Parameters
    ----------
    frame : bytes
    syntax : str
        A UID of `SYNTAXES`.
    photometric : str
        The photometric interpretation; it says which colours a JPEG without a mark of its own holds.

    Returns
    -------
    integer array, (rows, columns) or (rows, columns, 3) in red, green and blue

    Raises
    ------
    ValueError
        For a frame without an end: decoders would fill in what is missing.
    """
    if END not in frame[-TAIL:]:
        raise ValueError("truncated: the frame has no end")
    if syntax in JPEG_2000:
        return imagecodecs.jpeg2k_decode(frame)
    if syntax in _JPEG_LS:
        return imagecodecs.jpegls_decode(frame)
    return jpeg(frame, "RGB" if photometric == "RGB" else None)


def jpeg(frame: bytes, colours: str | None = None) -> np.ndarray:
    """Decode a JPEG of any kind; `colours` is what it holds if it does not say so itself."""
    if _LOSSLESS.search(frame[:4096]):
        return imagecodecs.ljpeg_decode(frame)
    return imagecodecs.jpeg8_decode(frame, colorspace=None if _ADOBE in frame[:4096] else colours)


def guess(frame: bytes) -> str | None:
    """Return the transfer syntax of a frame whose file does not say; None if it is none of `SYNTAXES`."""
    if frame.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return uid.JPEG2000
    if frame.startswith(b"\xff\xd8\xff"):
        return uid.JPEGLSLossless if b"\xff\xf7" in frame[:4096] else uid.JPEGExtended12Bit
    return None
