"""The compressed frames of DICOM files, by imagecodecs: it survives frames that end other decoders.

JPEG with 12 bits a sample is decoded too.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
from pydicom import uid

from sdnet_lib.data.formats import END, LS, jpeg_frame

JPEG_2000 = (
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
SYNTAXES = (*_JPEG, *_JPEG_LS, *JPEG_2000)
TAIL = 1024  # bytes in which to look for the end of a frame, for some are padded
_LOSSLESS = 0xC3  # what marks the header of a frame of JPEG, lossless
_COLOURS = (b"\xff\xee\x00\x0eAdobe", b"JFIF\0")  # how a JPEG says which colours it holds


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


def luminance_first(syntax: str, photometric: str) -> bool:
    """Say whether colours are luminance and two differences, as stored; codecs with such a step undo it."""
    undone = syntax in _JPEG[:2] or syntax in JPEG_2000 and photometric in ("YBR_ICT", "YBR_RCT")
    return photometric.startswith("YBR") and not undone


def rle(frame: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decode a frame of DICOM's RLE to numbers of a `kind`, (rows, columns) or with a last axis of colours.

    Raises
    ------
    ValueError
        If it does not hold as many pixels as `shape` says.
    """
    pixels = np.frombuffer(imagecodecs.dicomrle_decode(frame, "<" + kind), "<" + kind)
    if pixels.size != np.prod(shape):
        raise ValueError(f"the frame holds {pixels.size} numbers, Rows and Columns say {np.prod(shape)}")
    return np.moveaxis(pixels.reshape(*shape[2:], *shape[:2]), 0, -1) if shape[2:] else pixels.reshape(shape)


def jpeg(frame: bytes, colours: str | None = None) -> np.ndarray:
    """Decode a JPEG of any kind; `colours` is what it holds if it does not say so itself."""
    kind, _ = jpeg_frame(frame)
    if kind == _LOSSLESS:
        return imagecodecs.ljpeg_decode(frame)
    if kind == LS:
        return imagecodecs.jpegls_decode(frame)
    said = any(mark in frame[:4096] for mark in _COLOURS)
    return imagecodecs.jpeg8_decode(frame, colorspace=None if said else colours)


def guess(frame: bytes) -> str | None:
    """Return the transfer syntax of a frame whose file does not say; None if it is none of `SYNTAXES`."""
    if frame.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return uid.JPEG2000
    if frame.startswith(b"\xff\xd8\xff"):
        return uid.JPEGLSLossless if jpeg_frame(frame)[0] == LS else uid.JPEGExtended12Bit
    return None
