"""What a file says about itself before its first pixel: how it is stored, and what made it.

Whoever wants it asks `images.header`: a header comes from strangers too, and is read in the decoder's child.
"""

from __future__ import annotations

from pathlib import Path

from sdnet_lib.data.pictures import PILLOW

LONGEST = 60  # characters of a value: what is longer is a comment
EXIF = {271: "Make", 272: "Model", 305: "Software"}  # tags of TIFF and EXIF
TEXTS = ("Software", "software", "Source", "Comment", "comment")  # of PNG and JPEG
DICOM = (
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "InstitutionName",
    "SoftwareVersions",
    "ViewPosition",
    "Modality",
    "PhotometricInterpretation",
    "BitsStored",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "KVP",
    "DetectorType",
    "Grid",
)


def read(path: Path, kind: str) -> dict[str, str]:
    """Return the tags of a header that say how and where a picture was made.

    Parameters
    ----------
    path : pathlib.Path
    kind : str
        From `formats.format_of`.

    Returns
    -------
    dict of str
        `format`, and as far as there are any: `mode`, `quality` (the mean entry of a JPEG's first table of
        quantisation: the higher, the coarser), `density`, and tags by their own names. Text is cut to
        `LONGEST`.
    """
    tags = _dicom(path) if kind == "DICOM" else _picture(path, PILLOW[kind])
    known = {name: " ".join(str(value).split())[:LONGEST] for name, value in tags.items()}
    return {"format": kind} | {name: value for name, value in known.items() if value}


def _dicom(path: Path) -> dict[str, object]:
    from pydicom import dcmread

    data = dcmread(path, force=True, stop_before_pixels=True)
    syntax = getattr(data, "file_meta", {}).get("TransferSyntaxUID", "")
    return {name: data.get(name) or "" for name in DICOM} | {"TransferSyntaxUID": syntax}


def _picture(path: Path, kind: str) -> dict[str, object]:
    from PIL import Image

    try:
        picture = Image.open(path, formats=[kind])
    except Image.UnidentifiedImageError:  # a rare sort, such as a JPEG of 12 bits, that another reader knows
        return {}
    with picture:
        found = {"mode": picture.mode}
        density = picture.info.get("dpi")
        if density:
            found["density"] = " x ".join(str(round(float(value))) for value in density)
        tables = getattr(picture, "quantization", None)
        if tables:
            found["quality"] = round(sum(tables[0]) / len(tables[0]), 1)
        found |= {f"text {name}": picture.info[name] for name in TEXTS if picture.info.get(name)}
        try:
            exif = picture.getexif()
        except Exception:  # a damaged EXIF block says nothing
            return found
        return found | {name: exif.get(tag, "") for tag, name in EXIF.items()}
