"""The simulated hospital's archive as DICOM files, with invented people in them wherever real ones hide.

What was planted where is written down, so that a de-identification can be scored as the MIDI-B benchmark
does (arXiv 2507.23608). Files differ as those of real archives do: grey the other way round, compressed,
without a preamble, under names in Latin-1 and Chinese. Words can be burnt into every second picture.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import imagecodecs
import numpy as np
import pandas as pd
from joblib import delayed
from pydicom import Dataset, dcmwrite, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from tqdm import tqdm

from sdnet_lib.data.images import resize
from sdnet_lib.files import whole
from sdnet_lib.names import csv_text
from sdnet_lib.phantom import burnt_words, hospital
from sdnet_lib.workers import workers

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
GRAIN = 0.01  # of the grey scale: noise of a film that is enlarged


def write(
    folder: Path,
    patients: int = 60,
    seed: int = 0,
    size: int = 128,
    *,
    words: bool = False,
    enlarged: int = 1,
    jobs: int = 1,
) -> pd.DataFrame:
    """Write ``films``, ``pcr.csv`` and ``readings.csv``; films that are there stay, so another call goes on.

    Parameters
    ----------
    folder : Path
    patients, seed : int
        Of `hospital.simulate`.
    size : int
        Longest side of the films in pixels.
    words : bool
        Whether the pixels hold the words of `word_of`.
    enlarged : int
        So many times larger than it is drawn is a film, with noise of its own: many are drawn sooner.
    jobs : int
        Processes that draw.

    Returns
    -------
    DataFrame
        What was planted in headers: ``file`` (below ``films``), ``study_id``, ``path`` (of an attribute, such
        as ``RequestAttributesSequence.0.RequestedProcedureComments``), ``kind`` (``hide``, ``uid``, ``date``
        or ``keep``) and ``value``.
    """
    archive = hospital.simulate(patients, seed)
    studies, truth = archive.studies.to_dict("records"), archive.truth
    with workers(jobs, "generator") as parallel:
        tasks = (
            delayed(_write_film)(folder / FILMS, number, study, truth.iloc[[number]], size, words, enlarged)
            for number, study in enumerate(studies)
        )
        planted = list(tqdm(parallel(tasks), "drawing films", len(studies), disable=None, delay=2))
    _write_tables(archive, folder)
    rows = [row for film in planted for row in film]
    return pd.DataFrame(rows, columns=["file", "study_id", "path", "kind", "value"])


def _write_film(
    folder: Path, number: int, study: dict, truth: pd.DataFrame, size: int, words: bool, enlarged: int
) -> list[tuple]:
    """Write a film that is not there, and return what is planted in its header."""
    form = FORMS[number % len(FORMS)]
    data, hidden = header(study, form)
    # its bytes are the same in every locale, also where they are no letters
    family = os.fsdecode(_family(study)[1].encode())
    file = folder / family / f"{study['study_id']}.dcm"
    if not file.exists():
        save(data, _picture(number, truth, size, words, enlarged), form, file)
    name = file.relative_to(folder).as_posix()
    return [(name, study["study_id"], *row) for row in hidden]


def _picture(number: int, truth: pd.DataFrame, size: int, words: bool, enlarged: int) -> np.ndarray:
    row = truth.iloc[0]
    if row["view"] == "LATERAL":
        return _lateral(number, size)
    image = hospital.draw(truth, [row["study_id"]], size // enlarged)[0]
    if enlarged > 1:
        image = resize(image, (image.shape[0] * enlarged, image.shape[1] * enlarged))
        rng = np.random.default_rng(row["picture_seed"])
        image = image + GRAIN * rng.standard_normal(image.shape, np.float32)
    word = word_of(row["picture_seed"]) if words else None
    return burnt_words.burn(image, word) if word else image


def word_of(picture_seed: int) -> burnt_words.Word | None:
    """Return what is burnt into a frontal picture of `hospital.simulate`, if anything: a copy has it too."""
    rng = np.random.default_rng(picture_seed)
    return burnt_words.draw(rng) if rng.random() < 0.5 else None


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
    with whole(file) as part:
        dcmwrite(part, data, enforce_file_format=True)
        if form == "no preamble":
            part.write_bytes(part.read_bytes()[132:])


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
