"""The last look finds what a de-identification might have left, wherever it stands, and little else."""

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom import Dataset, uid

from sdnet_lib.build import deidentify, residue
from sdnet_lib.data.images import write_gray
from sdnet_lib.files import InputError

SOURCE = {
    "names": ["Núñez^Begoña", "王^小东", "Severe^Li"],
    "ids": ["H00017", "AB-123/45", "12345", "7788991"],
    "uids": ["1.2.392.200.7", "2.25.110576131273"],
    "days": ["20200314", "20200315101500"],
}
WANTED = residue.traces([SOURCE], days=True)


@pytest.mark.parametrize(
    "text",
    [
        "patient nuñez, seen",
        "BEGOÑA",
        "小东",
        "id=h00017;",
        "x AB 123_45 y",
        "7788991",
        "uid 1.2.392.200.7.",
        "ses-E2.25.110576131273_run-1",
        "2020-03-14",
        "14/03/2020",
        "20200315",
        "3 15 03/15/2020",
    ],
)
def test_every_way_of_writing_is_found(text):
    assert residue.search(text, WANTED)


@pytest.mark.parametrize(
    "text",
    ["12345", "Li", "is severe", "H000171", "2020-03-16", "1.2.392.200.70", "2.25.1105761312734", "57788991"],
)
def test_what_is_short_longer_or_ours_is_no_trace(text):
    assert residue.search(text, WANTED) == ""


def refused(folder, name):
    with pytest.raises(InputError, match="not released|beside its pixels") as error:
        residue.check(folder, [folder / name], WANTED)
    assert name in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_text_file_is_refused_in_either_encoding(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("name\nNúñez Begoña H00017\n".encode(encoding))
    refused(tmp_path, "a.csv")


def test_a_name_of_a_file_is_refused(tmp_path):
    (tmp_path / "H00017.csv").write_text("a")
    refused(tmp_path, "H00017.csv")


def test_a_png_with_text_is_refused_and_ours_is_not(tmp_path):
    image = np.random.default_rng(0).random((40, 30))
    write_gray(tmp_path / "ours.png", image)
    residue.check(tmp_path, [tmp_path / "ours.png"], WANTED)
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "anything")
    Image.fromarray((255 * image).astype(np.uint8)).save(tmp_path / "b.png", pnginfo=note)
    refused(tmp_path, "b.png")


@pytest.mark.parametrize("keyword", ["PatientComments", "ManufacturerModelName", "DataSetTrailingPadding"])
def test_a_dicom_file_is_refused_before_and_after_its_pixels(tmp_path, keyword):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2.3"
    deidentify.write(data, np.zeros((4, 4)), tmp_path / "a.dcm", b"salt" * 4, "p", text_searched=False)
    residue.check(tmp_path, [tmp_path / "a.dcm"], WANTED)
    import pydicom

    made = pydicom.dcmread(tmp_path / "a.dcm")
    setattr(made, keyword, b"of H00017 " if keyword == "DataSetTrailingPadding" else "of H00017")
    made.save_as(tmp_path / "a.dcm")
    refused(tmp_path, "a.dcm")
