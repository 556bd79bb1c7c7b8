"""Headers as archives have them: what the protocol asks is read from any, or the file says why not."""

from pathlib import Path

import pandas as pd
import pydicom.data
import pytest
from pydicom import Dataset, uid
from pydicom.sequence import Sequence

from sdnet_lib.build import archive, times
from sdnet_lib.files import InputError

PYDICOMS = Path(pydicom.data.__file__).parent / "test_files"
UTC = times.zone("UTC")


def film(**tags):
    data = Dataset()
    usual = {
        "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.3",
        "Modality": "DX",
        "PatientID": "7",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
    }
    for name, value in (usual | tags).items():
        setattr(data, name, value)
    return data


def code(value):
    item = Dataset()
    item.CodeValue = value
    return Sequence([item])


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({}, "PA"),
        ({"ViewPosition": "ap"}, "AP"),
        ({"ViewPosition": "LL"}, "LATERAL"),
        ({"ViewPosition": ""}, ""),
        ({"ViewPosition": "", "ViewCodeSequence": code("R-10214")}, "PA"),
        ({"ViewPosition": "", "ViewCodeSequence": code("399348003")}, "AP"),
        ({"ViewPosition": "PA", "ViewCodeSequence": code("399348003")}, ""),  # a contradiction
    ],
)
def test_the_view(tags, view):
    assert archive.facts(film(**tags), UTC)["view"] == view


@pytest.mark.parametrize(
    ("tags", "body"),
    [
        ({"BodyPartExamined": "HAND", "StudyDescription": "chest"}, "HAND"),
        ({"BodyPartExamined": "", "StudyDescription": "Tórax PA"}, "CHEST"),
        ({"BodyPartExamined": "", "AnatomicRegionSequence": code("51185008")}, "CHEST"),
        ({"BodyPartExamined": ""}, ""),
        ({"BodyPartExamined": "HAND", "AnatomicRegionSequence": code("51185008")}, ""),  # a contradiction
    ],
)
def test_the_part_of_the_body(tags, body):
    assert archive.facts(film(**tags), UTC)["body"] == body


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({}, ""),
        ({"Modality": "CT"}, "not an X-ray"),
        ({"NumberOfFrames": "3"}, "several frames"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw, not for presentation"),
        ({"SOPClassUID": uid.SecondaryCaptureImageStorage}, "a copy of a screen"),
    ],
)
def test_the_kind_of_image(tags, kind):
    assert archive.facts(film(**tags), UTC)["kind"] == kind


DAY = {"StudyDate": "20200314", "StudyTime": "101500"}


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        (DAY, "2020-03-14 10:15"),
        (DAY | {"TimezoneOffsetFromUTC": "+0100"}, "2020-03-14 09:15"),
        (DAY | {"AcquisitionDateTime": "20200314113000+0200"}, "2020-03-14 09:30"),
        (DAY | {"AcquisitionDate": "20200314", "AcquisitionTime": "1020"}, "2020-03-14 10:20"),
        (DAY | {"AcquisitionDate": "20190314", "AcquisitionTime": "1020"}, None),  # contradiction
        (DAY | {"PatientBirthDate": "20210101"}, None),
        ({"StudyDate": "20200314"}, None),
        ({"StudyDate": "19000101", "StudyTime": "101500"}, None),
        ({}, None),
    ],
)
def test_when_it_was_taken(tags, taken):
    assert archive.facts(film(**tags), UTC)["taken"] == (taken and pd.Timestamp(taken))


def test_a_month_that_is_none_is_no_time():
    data = film(**DAY)
    data["StudyDate"]._value = "20201341"
    assert archive.facts(data, UTC)["taken"] is None


def test_ages_come_from_the_tag_or_the_birth_and_stop_at_90():
    assert archive.facts(film(PatientAge="041Y"), UTC)["age"] == "41"
    assert archive.facts(film(PatientBirthDate="19800315", **DAY), UTC)["age"] == "39"
    assert archive.facts(film(PatientBirthDate="19010315", **DAY), UTC)["age"] == "90"


def test_names_in_latin_1_and_chinese_are_read_as_written(tmp_path):
    for charset, name in (("ISO_IR 100", "Núñez^Begoña"), ("GB18030", "王^小东")):
        data = film(SpecificCharacterSet=charset, PatientName=name)
        data.save_as(tmp_path / "a.dcm", implicit_vr=True, little_endian=True)
        assert archive.identity(archive.read_header(tmp_path / "a.dcm"))["names"] == [name]


def test_every_file_of_pydicom_is_read_or_says_why_not():
    files = [file for file in PYDICOMS.rglob("*") if file.is_file()]
    assert len(files) > 50
    for file in files:
        row = archive.row(file, UTC)
        assert row["problem"] or row["uid"], file
        assert "\n" not in row["problem"]


def test_what_is_no_film_says_so(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL")
    film(PatientID="").save_as(tmp_path / "c.dcm", implicit_vr=True, little_endian=True)
    found = archive.inventory(tmp_path, UTC).set_index("file")["problem"]
    assert found["a.txt"] == "not a DICOM file" and found["b.dcm"] and found["c.dcm"] == ""


def test_a_deflated_file_is_not_expanded(tmp_path):
    with pytest.raises(InputError, match="deflated"):
        archive.read_header(PYDICOMS / "image_dfl.dcm")


def test_an_archive_that_is_none_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=str(folder)):
            archive.find(folder)
