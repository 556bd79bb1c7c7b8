"""What an archive holds: one row a file, with what its header says, whatever state it is in.

Headers alone are read here, and the source is only ever read.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from joblib import delayed
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from tqdm import tqdm

from sdnet_lib.build.times import moment
from sdnet_lib.data import identifiers
from sdnet_lib.data.formats import format_of
from sdnet_lib.files import InputError, one_line
from sdnet_lib.workers import workers

# PS3.16 CID 4010: SNOMED CT, and SNOMED RT as it was written before
VIEW_CODES = {"272479007": "PA", "R-10214": "PA", "399348003": "AP", "R-10206": "AP"}
VIEW_CODES |= dict.fromkeys(("399067008", "399173006", "399198007", "R-10236", "R-10232"), "LATERAL")
VIEW_WORDS = {"PA": "PA", "AP": "AP"} | dict.fromkeys(("LL", "RL", "LAT", "LATERAL", "LLD", "RLD"), "LATERAL")
CHEST_CODES = ("51185008", "T-D3000", "43799004")  # thorax, thoracic cavity
CHEST_WORDS = ("CHEST", "THORAX", "TORAX", "LUNG", "PULMON", "CXR")
BODY_TAGS = ("StudyDescription", "SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription")
MODALITIES = ("CR", "DX", "DR", "RG")
MODEL = ("Manufacturer", "ManufacturerModelName")
CLOCKS = (
    "Acquisition",
    "Content",
    "Study",
)  # whose date and time say when the film was exposed, in this order
OLDEST = 90  # years; who is older is named so (HIPAA's rule)
STANDARD = "1.2.840.10008."  # how the UIDs of the standard itself begin
KINDS = {"PN": "names", "UI": "uids", "DA": "days", "DT": "days"}
IDS = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "AdmissionID",
    "MedicalRecordLocator",
    "InstitutionName",
    "InstitutionAddress",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "StationName",
    "DeviceSerialNumber",
)
HEAD = 4096  # bytes that hold the transfer syntax
WITHIN_STUDY = 24  # hours that the study and its exposure may lie apart


def find(folder: Path) -> list[Path]:
    """Return the files of a folder, sorted; hidden ones and tables of contents are counted as others are.

    Raises
    ------
    InputError
        If it is no folder, or an empty one.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise InputError(f"{folder}: no files")
    return files


def inventory(folder: Path, zone: datetime.tzinfo, jobs: int = 1) -> pd.DataFrame:
    """Read the header of every file of a folder.

    Returns
    -------
    DataFrame
        Columns ``file`` (relative to the folder), ``problem`` ("" if the header could be read) and those of
        `facts`.
    """
    files = find(folder)
    with workers(jobs, "generator") as parallel:
        rows = parallel(delayed(row)(file, zone) for file in files)
        found = list(tqdm(rows, "reading headers", len(files), disable=None, delay=2))
    table = pd.DataFrame(found).astype({"problem": str})
    table.insert(0, "file", [file.relative_to(folder).as_posix() for file in files])
    table["taken"] = pd.to_datetime(table["taken"])
    return table


def row(file: Path, zone: datetime.tzinfo) -> dict:
    """Return what one file says, or its problem."""
    try:
        return {"problem": ""} | facts(read_header(file), zone)
    except InputError as error:
        return {"problem": str(error)} | facts(Dataset(), zone)


def read_header(file: Path) -> Dataset:
    """Read a DICOM file but for its pixels.

    Raises
    ------
    InputError
        With the reason alone, for a file that is not DICOM, damaged, or deflated: this would have to be
        expanded whole in memory.
    """
    try:
        if format_of(file) != "DICOM":
            raise InputError("not a DICOM file")
        with open(file, "rb") as opened:
            if DeflatedExplicitVRLittleEndian.encode() in opened.read(HEAD):
                raise InputError("deflated")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of values that we check ourselves
            data = dcmread(file, force=True, stop_before_pixels=True)
    except InputError:
        raise
    except Exception as error:  # a damaged file raises anything
        raise InputError(f"cannot be read ({one_line(error)[:80]})") from None
    if "SOPInstanceUID" not in data or "PatientID" not in data:
        raise InputError("no SOPInstanceUID or no PatientID")
    return data


def facts(data: Dataset, zone: datetime.tzinfo) -> dict:
    """Return what the protocol asks of a header, each as text; ``taken`` in UTC, ``kvp`` a number."""
    return {
        "uid": _text(data, "SOPInstanceUID"),
        "study_uid": _text(data, "StudyInstanceUID"),
        "accession": _text(data, "AccessionNumber"),
        "burnt_in": _text(data, "BurnedInAnnotation").upper(),
        "patient_id": _text(data, "PatientID"),
        "sex": _text(data, "PatientSex").upper(),
        "age": _age(data),
        "model": " ".join(filter(None, (_text(data, name) for name in MODEL))),
        "machine": " ".join(filter(None, (_text(data, name) for name in (*MODEL, "StationName")))),
        "modality": _text(data, "Modality").upper(),
        "kvp": _number(_text(data, "KVP")),
        "kind": _kind(data),
        "body": _body(data),
        "view": _view(data),
        "taken": taken(data, zone),
        "identity": identity(data),
    }


def identity(data: Dataset) -> dict[str, list[str]]:
    """Return all that names somebody or something of the hospital: ``names, ids, uids, days``, as written."""
    found: dict[str, set[str]] = {kind: set() for kind in ("names", "ids", "uids", "days")}
    for element in _elements(data):
        kind = "ids" if element.keyword in IDS else KINDS.get(element.VR)
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        if kind:
            found[kind] |= {str(value) for value in values if value}
    found["uids"] = {value for value in found["uids"] if not value.startswith(STANDARD)}
    return {kind: sorted(values) for kind, values in found.items()}


def _elements(data: Dataset) -> Iterator[DataElement]:
    """Yield what can be read of a data set, and of the sequences in it."""
    for tag in list(data.keys()):
        try:
            element = data[tag]
        except Exception:  # a damaged value raises anything
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)
        else:
            yield element


def _text(data: Dataset, name: str) -> str:
    """Return a value as clean text; "" if it is missing or cannot be read."""
    try:
        value = data.get(name)
    except Exception:  # a damaged value raises anything
        return ""
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else ""
    return identifiers.clean(str(value)) if value is not None else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _age(data: Dataset) -> str:
    """Return the age in whole years when the film was taken, from the tag, else from the date of birth."""
    written = _text(data, "PatientAge")
    if written[:3].isdigit() and written[3:] == "Y":
        return str(min(int(written[:3]), OLDEST))
    born, day = (_text(data, name) for name in ("PatientBirthDate", "StudyDate"))
    if not (born.isdigit() and day.isdigit() and len(born) == len(day) == 8):
        return ""
    years = (int(day) - int(born)) // 10_000
    return str(min(years, OLDEST)) if 0 <= years < 120 else ""


def _kind(data: Dataset) -> str:
    """Return "" for a plain X-ray that is meant to be looked at, else what it is instead."""
    modality, kind = _text(data, "Modality").upper(), UID(_text(data, "SOPClassUID"))
    if modality not in MODALITIES:
        return "not an X-ray" if modality else "modality is not in the tags"
    if "Secondary Capture" in kind.name:
        return "a copy of a screen"
    if _text(data, "PresentationIntentType").upper() == "FOR PROCESSING":
        return "raw, not for presentation"
    frames = _text(data, "NumberOfFrames")
    return "several frames" if frames.isdigit() and int(frames) > 1 else ""


def _body(data: Dataset) -> str:
    """Return "CHEST", another part of the body, or "" where the tags do not say or contradict."""
    coded = any(_text(item, "CodeValue") in CHEST_CODES for item in _items(data, "AnatomicRegionSequence"))
    part = _text(data, "BodyPartExamined").upper()
    texts = [part] if part else [_text(data, name).upper() for name in BODY_TAGS]
    said = " ".join(texts).translate(str.maketrans("ÁÓ", "AO"))
    if any(word in said for word in CHEST_WORDS):
        return "CHEST"
    if coded:
        return "" if part else "CHEST"
    return part


def _view(data: Dataset) -> str:
    """Return PA, AP, LATERAL, another word of the tags, or "" where they do not say or contradict."""
    coded = {VIEW_CODES.get(_text(item, "CodeValue"), "") for item in _items(data, "ViewCodeSequence")} - {""}
    word = _text(data, "ViewPosition").upper()
    said = coded | ({VIEW_WORDS.get(word, word)} if word else set())
    return said.pop() if len(said) == 1 else ""


def _items(data: Dataset, name: str) -> list[Dataset]:
    try:
        return list(data.get(name) or [])
    except Exception:  # a damaged sequence raises anything
        return []


def taken(data: Dataset, zone: datetime.tzinfo) -> pd.Timestamp | None:
    """Return when the film was exposed; None if the header does not say, or says two things.

    The acquisition counts, else the content, else the study; one of them over `WITHIN_STUDY` hours from the
    study is a contradiction, and so is a film from before the birth.
    """
    offset = _text(data, "TimezoneOffsetFromUTC")
    pairs = [_text(data, "AcquisitionDateTime")]
    pairs += [_text(data, f"{name}Date") + _text(data, f"{name}Time") for name in CLOCKS]
    found = [when for when in (_moment(pair, offset, zone) for pair in pairs) if when is not None]
    study = _moment(pairs[-1], offset, zone)
    if not found or (study is not None and abs(found[0] - study) > pd.Timedelta(hours=WITHIN_STUDY)):
        return None
    born = _text(data, "PatientBirthDate")
    if born.isdigit() and len(born) == 8 and f"{found[0] + pd.Timedelta(days=1):%Y%m%d}" < born:
        return None
    return found[0]


def _moment(text: str, offset: str, zone: datetime.tzinfo) -> pd.Timestamp | None:
    named = any(sign in text[8:] for sign in "+-Z")
    try:
        return moment(text if named or not text else text + offset, zone)
    except (OverflowError, ValueError):
        return None
