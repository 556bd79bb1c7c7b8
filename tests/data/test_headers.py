import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom.data import get_testdata_file

from sdnet_lib.data import images


@pytest.fixture
def picture():
    return Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))


def test_a_header_says_how_a_picture_is_stored_and_what_made_it(picture, tmp_path):
    about = PngImagePlugin.PngInfo()
    about.add_text("Software", "a program\nof two lines " + "x" * 100)
    picture.save(tmp_path / "a.png", pnginfo=about, dpi=(300, 300))
    found = images.header(tmp_path / "a.png")
    assert (found["format"], found["mode"], found["density"]) == ("PNG", "L", "300 x 300")
    assert found["text Software"].startswith("a program of two lines") and len(found["text Software"]) == 60


def test_the_quality_of_a_jpeg_falls_with_its_table(picture, tmp_path):
    values = []
    for quality in (30, 60, 95):
        picture.save(tmp_path / "a.jpg", quality=quality)
        values.append(float(images.header(tmp_path / "a.jpg")["quality"]))
    assert values == sorted(values, reverse=True) and len(set(values)) == 3


def test_a_dicom_header_names_the_machine():
    found = images.header(get_testdata_file("CT_small.dcm"))
    assert found["format"] == "DICOM" and found["Manufacturer"] == "GE MEDICAL SYSTEMS"
    assert found["TransferSyntaxUID"].startswith("1.2.840.10008") and "PatientName" not in found


def test_what_is_no_picture_has_no_header(tmp_path):
    (tmp_path / "a.png").write_text("words")
    for file, reason in ((tmp_path / "a.png", "not an image"), (tmp_path / "b.png", "no such file")):
        with pytest.raises(images.ImageError, match=reason):
            images.header(file)


def test_headers_and_pixels_may_be_asked_for_in_any_order(picture, tmp_path):
    picture.save(tmp_path / "a.png")
    for _ in range(3):
        assert images.read_gray(tmp_path / "a.png").shape == (64, 64)
        assert images.header(tmp_path / "a.png")["mode"] == "L"
