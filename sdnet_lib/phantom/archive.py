"""The simulated hospital's archive as DICOM files, with invented people in them wherever real ones hide.

What was planted where is written down, so that a de-identification can be scored as the MIDI-B benchmark
does (arXiv 2507.23608). Files differ as those of real archives do: grey the other way round, compressed,
without a preamble, under names in Latin-1 and Chinese.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import imagecodecs
import numpy as np
import pandas as pd
from pydicom import Dataset, dcmwrite, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from tqdm import tqdm

from sdnet_lib.names import csv_text
from sdnet_lib.phantom import hospital

PCR, READINGS, FILMS = "pcr.csv", "readings.csv", "films"
PEOPLE = (  # character set, family name, given name
    ("ISO_IR 100", "Núñez", "Begoña"),
    ("ISO_IR 100", "Müller", "Jürgen"),
    ("GB18030", "王", "小东"),
    ("GB18030", "欧阳", "丽华"),
    ("ISO_IR 192", "Łukasiewicz", "Zofia"),
    ("ISO_IR 6", "Okonkwo", "Chidera"),
    ("ISO_IR 6", "Vasquez", "Ramona"),
    ("ISO_IR 6", "Petrossian", "Aram"),
)
STAFF = ("Quintero^Ximena", "Abernathy^Percival", "Szymborska^Halina")
HOSPITAL, STREET = "Sanatorio Villaverde", "Calle Ficticia 7, Granada"
MACHINES = {  # manufacturer, model, station
    "Room 1": ("Acme Roentgen", "DX 4000", "VVRX01"),
    "Room 2": ("Acme Roentgen", "DX 4000", "VVRX02"),
    "Bedside": ("Borealis", "Mobilett 2", "VVBED1"),
    "Other hospital": ("Cathode Works", "CR 85", "OTHER9"),
}
FORMS = ("plain", "monochrome1", "jpeg2000", "jpegls", "implicit", "no preamble", "big endian", "view code")
KEPT = {  # what science needs of a header, and every film here has
    "Modality": "DX",
    "PresentationIntentType": "FOR PRESENTATION",
    "KVP": "125",
    "ExposureTime": "12",
    "XRayTubeCurrent": "320",
    "DistanceSourceToDetector": "1800",
    "ImagerPixelSpacing": ["0.143", "0.143"],
    "BodyPartExamined": "CHEST",
    "DetectorType": "SCINTILLATOR",
    "PatientOrientation": ["L", "F"],
    "SeriesNumber": "1",
    "InstanceNumber": "1",
}
BITS = 12


def write(folder: Path, patients: int = 60, seed: int = 0, size: int = 128) -> pd.DataFrame:
    """Write ``films``, ``pcr.csv`` and ``readings.csv``.

    Parameters
    ----------
    folder : Path
    patients, seed : int
        Of `hospital.simulate`.
    size : int
        Longest side of the films in pixels.

    Returns
    -------
    DataFrame
        What was planted: ``file`` (below ``films``), ``study_id``, ``path`` (of an attribute, such as
        ``RequestAttributesSequence.0.RequestedProcedureComments``), ``kind`` (``hide``, ``uid``, ``date`` or
        ``keep``) and ``value``.
    """
    archive = hospital.simulate(patients, seed)
    truth = archive.truth.set_index("study_id")
    planted = []
    for number, study in enumerate(tqdm(archive.studies.to_dict("records"), disable=None, delay=2)):
        frontal = truth.at[study["study_id"], "view"] != "LATERAL"
        image = (
            hospital.draw(archive.truth, [study["study_id"]], size)[0] if frontal else _lateral(number, size)
        )
        form = FORMS[number % len(FORMS)]
        data, hidden = header(study, form)
        # its bytes are the same in every locale, also where they are no letters
        family = os.fsdecode(_family(study)[1].encode())
        file = folder / FILMS / family / f"{study['study_id']}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        save(data, image, form, file)
        name = file.relative_to(folder / FILMS).as_posix()
        planted += [(name, study["study_id"], *row) for row in hidden]
    _write_tables(archive, folder)
    return pd.DataFrame(planted, columns=["file", "study_id", "path", "kind", "value"])


def accession(study_id: str) -> str:
    """Return the number under which readings know a study."""
    return f"VV{study_id.upper()}"


def header(study: dict, form: str) -> tuple[Dataset, list[tuple[str, str, str]]]:
    """Return a film's header, and what is planted in it: rows of path, kind and value."""
    data, hidden = Dataset(), []

    def put(path: str, kind: str, value: object) -> None:
        _put(data, path, value)
        hidden.append((path, kind, value if isinstance(value, str) else "\\".join(value)))

    known = {name: value for name, value in study.items() if not pd.isna(value)}
    charset, family, given = _family(study)
    data.SpecificCharacterSet = charset
    data.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    for name, value in KEPT.items():
        put(name, "keep", value)
    for name, what in (
        ("SOPInstanceUID", "film"),
        ("StudyInstanceUID", "study"),
        ("SeriesInstanceUID", "series"),
    ):
        put(name, "uid", _uid(study["study_id"], what))
    put("ReferencedImageSequence.0.ReferencedSOPInstanceUID", "uid", _uid(study["study_id"], "earlier"))
    put("PatientName", "hide", f"{family}^{given}")
    put("PatientID", "hide", study["patient_id"])
    put("OtherPatientIDsSequence.0.PatientID", "hide", f"NHS{study['patient_id']}")
    put("PatientBirthDate", "hide", f"{1925 + _number(study) % 70}0{1 + _number(study) % 9}17")
    put("PatientAddress", "hide", STREET)
    put("PatientTelephoneNumbers", "hide", f"0034958{_number(study):06d}")
    put("AccessionNumber", "hide", accession(study["study_id"]))
    for place, name in enumerate(("ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName")):
        put(name, "hide", STAFF[place])
    put("InstitutionName", "hide", HOSPITAL)
    put("PatientComments", "hide", f"{given} {family}, neighbour of Dr Abernathy")
    put("StudyDescription", "hide", f"Thorax {family}")
    put("DerivationDescription", "hide", f"copied for {given} {family}")
    put("RequestAttributesSequence.0.RequestedProcedureDescription", "hide", f"for {STAFF[0]}")
    put(
        "RequestAttributesSequence.0.ScheduledProtocolCodeSequence.0.CodeMeaning", "hide", f"{family} {given}"
    )
    put("AnatomicRegionSequence.0.CodeMeaning", "keep", "Chest")
    put("AnatomicRegionSequence.0.CodeValue", "keep", "51185008")
    put("ProcedureCodeSequence.0.CodeMeaning", "hide", f"Film of {STAFF[1]}")
    _private(data, f"{given} {family}")
    hidden.append(("00191001", "hide", f"{given} {family}"))
    if "sex" in known:
        put("PatientSex", "keep", known["sex"])
    put("PatientAge", "keep", f"{25 + _number(study) % 60:03d}Y")
    if "machine" in known:
        manufacturer, model, station = MACHINES[known["machine"]]
        put("Manufacturer", "keep", manufacturer)
        put("ManufacturerModelName", "keep", model)
        put("StationName", "hide", station)
        put("DeviceSerialNumber", "hide", f"SN{station}77")
    if "taken" in known:
        for name in ("Study", "Series", "Acquisition", "Content"):
            put(f"{name}Date", "date", f"{known['taken']:%Y%m%d}")
            _put(data, f"{name}Time", f"{known['taken']:%H%M%S}")
    if known.get("view") == "PA" and form == "view code":
        put("ViewCodeSequence.0.CodeValue", "keep", "R-10214")
        _put(data, "ViewCodeSequence.0.CodingSchemeDesignator", "SRT")
    elif "view" in known:
        put("ViewPosition", "keep", "LL" if known["view"] == "LATERAL" else known["view"])
    return data, hidden


def save(data: Dataset, image: np.ndarray, form: str, file: Path) -> None:
    """Write a film, float (height, width) in [0, 1], in one of `FORMS`."""
    pixels = np.rint(np.clip(image, 0, 1) * (2**BITS - 1)).astype(np.uint16)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    if form == "monochrome1":
        pixels, data.PhotometricInterpretation = 2**BITS - 1 - pixels, "MONOCHROME1"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, BITS, BITS - 1
    syntax, encode = {
        "jpeg2000": (
            uid.JPEG2000Lossless,
            lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", reversible=True),
        ),
        "jpegls": (uid.JPEGLSLossless, imagecodecs.jpegls_encode),
        "implicit": (uid.ImplicitVRLittleEndian, None),
        "big endian": (uid.ExplicitVRBigEndian, None),
    }.get(form, (uid.ExplicitVRLittleEndian, None))
    order = ">u2" if form == "big endian" else "<u2"
    data.PixelData = encapsulate([encode(pixels)]) if encode else pixels.astype(order).tobytes()
    data["PixelData"].VR = "OB" if encode else "OW"
    data["PixelData"].is_undefined_length = encode is not None
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    dcmwrite(file, data, enforce_file_format=True)
    if form == "no preamble":
        file.write_bytes(file.read_bytes()[132:])


def _write_tables(archive: hospital.Hospital, folder: Path) -> None:
    """Write tests and readings as a hospital exports them."""
    pcr = archive.pcr.rename(columns={"patient_id": "patient", "sampled": "time"})
    (folder / PCR).write_text(csv_text(pcr[["patient", "time", "result"]]), encoding="utf-8")
    readings = archive.readings.rename(columns={"read_at": "time"})
    readings["study"] = readings["study_id"].map(accession)
    blank = readings["score"].isna()
    readings["parts"] = readings["parts"].where(readings["parts"] != "", "none").where(~blank, "")
    table = csv_text(readings[["study", "time", "reader", "parts"]])
    (folder / READINGS).write_text(table, encoding="utf-8")


def _put(data: Dataset, path: str, value: object) -> None:
    """Set an attribute by its path; items of sequences are made."""
    name, *rest = path.split(".", 2)
    if not rest:
        setattr(data, name, value)
        return
    if name not in data:
        setattr(data, name, Sequence([Dataset()]))
    _put(data[name].value[int(rest[0])], rest[1], value)


def _private(data: Dataset, text: str) -> None:
    block = data.private_block(0x0019, "ACME PRIVATE", create=True)
    block.add_new(0x01, "LO", text)


def _family(study: dict) -> tuple[str, str, str]:
    return PEOPLE[_number(study) % len(PEOPLE)]


def _number(study: dict) -> int:
    return int(study["patient_id"][1:])


def _uid(study: str, what: str) -> str:
    return f"2.25.{UUID(bytes=(study + what).encode().ljust(16)[-16:], version=4).int}"


def _lateral(number: int, size: int) -> np.ndarray:
    """Return what stands in for a lateral film, whose pixels nobody looks at: grey noise."""
    return np.random.default_rng(number).random((size, size), np.float32)
