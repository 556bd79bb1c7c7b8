"""Which kind of picture a file is, by its first bytes. The list is closed: nothing else is opened."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from sdnet_lib.files import InputError

MAX_PIXELS = 80_000_000  # a chest radiograph has at most some 20 million
MAX_BYTES = 8 * MAX_PIXELS  # of what is decoded and of the grey image that comes of it
HEAD = 132  # bytes that decide
KINDS = ("PNG", "JPEG", "TIFF", "WebP", "BMP", "JPEG 2000", "DICOM")
END, LS = b"\xff\xd9", 0xF7  # of JPEG, JPEG-LS and JPEG 2000 alike; what marks the header of a JPEG-LS frame
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # the lengths that a BMP's second header can have
_VALUE_KINDS = re.compile(rb"A[EST]|CS|D[AST]|F[DL]|IS|L[OT]|O[BDFLVW]|P[N]|S[HLQSTV]|T[M]|U[CILNRSTV]")


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


def check_size(path: str | Path, height: int, width: int, each: int) -> None:
    """Refuse a picture that is too large before it is decoded.

    Parameters
    ----------
    path : path
    height, width : int
        In pixels.
    each : int
        Bytes that a pixel takes while it is read.

    Raises
    ------
    ImageError
        Over `MAX_PIXELS` or `MAX_BYTES`.
    """
    size = f"{width} x {height} pixels"
    if height * width > MAX_PIXELS:
        raise ImageError(path, f"{size}: over {MAX_PIXELS:,} pixels")
    if height * width * each > MAX_BYTES:
        needed = f"{height * width * each / 1e6:,.0f} MB"
        raise ImageError(path, f"{size}: reading it takes {needed}, over {MAX_BYTES / 1e6:,.0f} MB")


def format_of(path: str | Path) -> str | None:
    """Return which of `KINDS` a file is, whatever its name; None for anything else.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with open(path, "rb") as file:
        return kind_of(file.read(HEAD))


def kind_of(head: bytes) -> str | None:
    """Return which of `KINDS` begins with these `HEAD` bytes."""
    if head[128:132] == b"DICM":
        return "DICOM"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "JPEG 2000"
    if head[:2] == b"BM" and head[14:18] in [struct.pack("<I", length) for length in _BMP_HEADERS]:
        return "BMP"
    return "DICOM" if _bare_data_set(head) else None


def jpeg_frame(content: bytes) -> tuple[int, int]:
    """Return the marker of a JPEG's frame header and where it is, after segments that say their length."""
    place = 2
    while content[place : place + 1] == b"\xff" and place + 1 < len(content):
        marker = content[place + 1]
        if marker == LS or 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker, place
        place += 1 if marker == 0xFF else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return 0, 0


def _bare_data_set(head: bytes) -> bool:
    """Say whether bytes look like DICOM without its preamble: a first element of group 0002 or 0008."""
    for order in "<>":
        if len(head) < 8:
            return False
        group, element = struct.unpack(order + "HH", head[:4])
        if group in (2, 8) and element < 0x70:
            length = struct.unpack(order + "I", head[4:8])[0]
            return bool(_VALUE_KINDS.fullmatch(head[4:6])) or (order == "<" and length <= 64)
    return False
