"""De-identification of a DICOM data set by a table of what may stay: PS3.15's basic profile and four options.

The rules are data (``rules.csv``): an action for an attribute, or for a kind of value in the groups that
describe image and acquisition. What no rule names is removed, private attributes and unknown ones included,
at any depth of sequences. So an attribute that nobody thought of, or that a vendor adds, cannot slip through.

Options of PS3.15 Annex E that apply: Clean Descriptors (all free text is removed), Retain Longitudinal
Temporal Information with Modified Dates, Retain Patient Characteristics and, if text was searched, Clean
Pixel Data.
"""

from __future__ import annotations

import csv
import datetime
import math
import re
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian

from sdnet_lib.build import pseudonyms, residue
from sdnet_lib.build.archive import OLDEST, STANDARD, identity
from sdnet_lib.files import whole

GROUPS = (0x0008, 0x0018, 0x0020, 0x0028)  # identification of the image, acquisition, relation, pixels
CODE = re.compile(r"[A-Z0-9_ ]{0,16}")
AGE = re.compile(r"(\d{3})([DWMY])")
DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(.*)", re.DOTALL)
BITS = 12  # of the pixels that are written
METHOD = "sdnet build: PS3.15 Basic Application Confidentiality Profile"
PIXELS = ("113101", "Clean Pixel Data Option")  # PS3.16 CID 7050, only where text was searched
OPTIONS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)


def write(
    data: Dataset, image: np.ndarray, file: Path, salt: bytes, patient: str, *, text_searched: bool
) -> None:
    """Write a de-identified DICOM file, whole or not at all.

    Its pixels are those that a viewer shows, in 12 bits and not compressed: what overlays, unused bits and
    the comments of compressed frames held is gone.

    Parameters
    ----------
    data : Dataset
        Of the source; it is left as it is.
    image : float array, (height, width)
        In [0, 1], burnt-in text masked.
    file : Path
    salt : bytes
    patient : str
        The patient's own id, by which dates are shifted.
    text_searched : bool
        Whether burnt-in text was looked for, which the header states.
    """
    made = cleaned(data, salt, patient)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.Rows, made.Columns = image.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, BITS, BITS - 1
    made.PixelData = np.rint(np.clip(image, 0, 1) * (2**BITS - 1)).astype("<u2").tobytes()
    made.PatientIdentityRemoved, made.DeidentificationMethod = "YES", METHOD
    options = (*OPTIONS, PIXELS) if text_searched else OPTIONS
    made.DeidentificationMethodCodeSequence = Sequence([_code(*option) for option in options])
    made.LongitudinalTemporalInformationModified = "MODIFIED"
    if text_searched:
        made.BurnedInAnnotation = "NO"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.preamble = b"\0" * 128
    with whole(file) as part:
        dcmwrite(part, made, enforce_file_format=True)


class Person(NamedTuple):
    """Whose film it is: the secret, the patient's own id, and the names, ids and days of the header."""

    salt: bytes
    patient: str
    traces: residue.Traces


def cleaned(data: Dataset, salt: bytes, patient: str) -> Dataset:
    """Return what may stay of a data set and of the sequences in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that are then removed
        return _cleaned(data, Person(salt, patient, residue.traces([identity(data)], days=True)))


def _cleaned(data: Dataset, person: Person) -> Dataset:
    made = Dataset()
    for tag in list(data.keys()):
        try:
            element = _treated(tag, data, person)
        except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError):
            continue  # a value that cannot even be read is not kept
        if element is not None:
            made.add(element)
    return made


@cache
def rules() -> dict[str, str]:
    """Return the action for each attribute and ``VR`` of ``rules.csv``."""
    with open(Path(__file__).with_name("rules.csv"), encoding="utf-8", newline="") as table:
        return {row["attribute"]: row["action"] for row in csv.DictReader(table)}


def action(tag: BaseTag) -> str:
    """Return what is done with an attribute: what the dictionary says of its kind counts, not the file."""
    if not dictionary_has_tag(tag):  # private ones too
        return "remove"
    listed = rules().get(keyword_for_tag(tag))
    if listed is None and tag.group in GROUPS:
        listed = rules().get(f"VR {dictionary_VR(tag)}")
    return listed or "remove"


def _treated(tag: BaseTag, data: Dataset, person: Person) -> DataElement | None:
    """Return an attribute as it may stay; None to remove it."""
    todo = action(tag)
    if todo == "remove":
        return None
    kind = dictionary_VR(tag)
    if todo == "clean":
        items = [_cleaned(item, person) for item in data[tag].value]
        return DataElement(tag, kind, Sequence(item for item in items if len(item)))
    if todo == "empty":
        return DataElement(tag, kind, "")
    if todo == "pseudonym":
        return DataElement(tag, kind, patient_name(person.salt, person.patient))
    change = {
        "keep": lambda value: _kept(value, kind, person.traces),
        "uid": lambda value: value if value.startswith(STANDARD) else pseudonyms.uid(person.salt, value),
        "shift": lambda value: shifted(value, pseudonyms.days_shifted(person.salt, person.patient)),
        "age": _age,
        "code": lambda value: _kept(value, kind, person.traces) if CODE.fullmatch(value) else None,
        "number": lambda value: value if math.isfinite(float(value)) else None,
    }[todo]
    made = [change(value) for value in _values(data[tag].value)]
    if not made or None in made:
        return None
    number = {"FL": float, "FD": float} | dict.fromkeys(("US", "SS", "UL", "SL"), int)
    made = [number.get(kind, str)(value) for value in made]
    return DataElement(tag, kind, made[0] if len(made) == 1 else made)


def patient_name(salt: bytes, patient: str) -> str:
    """Return what a patient is called in a release."""
    return "P" + pseudonyms.pseudonym(salt, "patient", patient)


def shifted(value: str, days: int) -> str | None:
    """Return a DICOM date, or date and time, so many days earlier; None if it is none."""
    found = DATE.fullmatch(value)
    if not found:
        return None
    try:
        day = datetime.date(*(int(part) for part in found.groups()[:3])) - datetime.timedelta(days)
    except (OverflowError, ValueError):
        return None
    return f"{day:%Y%m%d}".rjust(8, "0") + found[4]


def _values(value: object) -> list[str]:
    if value is None or value == "":
        return []
    return [str(one) for one in value] if isinstance(value, MultiValue | list) else [str(value)]


def _kept(value: str, kind: str, traces: residue.Traces) -> str | None:
    """Keep text as it is, but for UIDs that are not the standard's and what names somebody of the header."""
    foreign = kind == "UI" and not value.startswith(STANDARD)
    return None if foreign or residue.search(value, traces) else value


def _age(value: str) -> str | None:
    found = AGE.fullmatch(value.strip())
    if not found:
        return None
    return f"{OLDEST:03}Y" if found[2] == "Y" and int(found[1]) >= OLDEST else value


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
