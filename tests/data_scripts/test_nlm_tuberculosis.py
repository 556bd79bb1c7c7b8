"""Montgomery and Shenzhen in the layout of the National Library of Medicine, sound and spoilt."""

import numpy as np
import pytest

from data_scripts import registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import CohortError
from sdnet_lib.data.images import ImageError
from sdnet_lib.files import InputError
from tests.data_scripts.publishers import put
from tests.data_scripts.served import picture

SHENZHEN = {
    "CHNCXR_0001_0": "male 45yrs\nnormal",
    "CHNCXR_0025_0": "femal 33yrs\r\n\r\nnormal\r\n",
    "CHNCXR_0115_0": "male 16month\nnormal",
    "CHNCXR_0327_1": "Female , 28 yrs\nSTB\nright upper",
    "CHNCXR_0605_1": "male 230yrs\nPTB",
}
MONTGOMERY = {
    "MCUCXR_0001_0": "Patient's Sex: F\nPatient's Age: 027Y\nnormal\n",
    "MCUCXR_0104_1": "Patient's Sex: M\nPatient's Age: 000Y\ncavitary nodular infiltrate; active TB\n",
}


def tree(root, folder, readings):
    for number, (name, text) in enumerate(readings.items()):
        put(root / folder / "CXR_png" / f"{name}.png", picture(number))
        put(root / folder / "ClinicalReadings" / f"{name}.txt", text)
    return root / folder


def test_shenzhen_with_its_irregular_texts(tmp_path):
    folder = tree(tmp_path, "ChinaSet_AllFiles", SHENZHEN)
    put(folder / "NLM-ChinaCXRSet-ReadMe.docx", b"PK")
    cohort = load_cohort("shenzhen-full", data=tmp_path).set_index("image_id")
    assert list(cohort["label"]) == ["N", "N", "N", "P", "P"] and set(cohort["view"]) == {"PA"}
    assert list(cohort["sex"]) == ["M", "F", "M", "F", "M"]
    np.testing.assert_allclose(cohort["age"].astype(float), [45, 33, 16 / 12, 28, np.nan])
    assert list(cohort["reading"]) == ["normal", "normal", "normal", "STB right upper", "PTB"]
    assert cohort.loc["CHNCXR_0605_1", "patient_id"] == "CHNCXR_0477_1"  # looks like the same patient
    said = registry.check("shenzhen-full", tmp_path)
    assert said.startswith("5 images of 5 patients: 3 N, 2 P") and "has 326 N, 336 P" in said


def test_montgomery(tmp_path):
    folder = tree(tmp_path, "MontgomerySet", MONTGOMERY)
    for side in ("leftMask", "rightMask"):
        put(folder / "ManualMask" / side / "MCUCXR_0001_0.png", picture(9))
    cohort = load_cohort("montgomery-full", data=tmp_path)
    assert cohort[["label", "sex", "age"]].values.tolist() == [["N", "F", 27], ["P", "M", 0]]
    assert cohort["reading"][1] == "cavitary nodular infiltrate; active TB"
    assert set(cohort["source"]) == {"Montgomery"} and len(cohort) == 2


def test_what_is_no_image_of_the_set_is_counted_and_a_missing_text_is_said(tmp_path):
    folder = tree(tmp_path, "ChinaSet_AllFiles", SHENZHEN)
    for name in ("Thumbs.db", "CHNCXR_0001_2.png", "MCUCXR_0001_0.png", "CHNCXR_0001_0 (copy).png"):
        put(folder / "CXR_png" / name, picture(1))
    put(folder / "CXR_png" / "._CHNCXR_0001_0.png", b"x")
    (folder / "ClinicalReadings" / "CHNCXR_0001_0.txt").unlink()
    put(folder / "ClinicalReadings" / "CHNCXR_0025_0.txt", "caf\xe9 unknown".encode("latin-1"))
    cohort = load_cohort("shenzhen-full", data=tmp_path)
    assert registry.left_out(cohort) == ["left out: 4 in CXR_png that is not named as an image of the set"]
    assert cohort[["sex", "reading"]].values.tolist()[:2] == [["", ""], ["", "caf\ufffd unknown"]]
    assert cohort["age"][:2].isna().all()
    assert "without a clinical reading: 1" in registry.check("shenzhen-full", tmp_path).splitlines()


def test_no_image_no_folder_a_damaged_one_and_no_download(tmp_path):
    with pytest.raises(InputError, match="cannot be fetched by a program.*CXR_png and ClinicalReadings"):
        registry.get("montgomery-full", tmp_path)
    (tmp_path / "MontgomerySet").mkdir()
    with pytest.raises(CohortError, match="MontgomerySet: no folder CXR_png in it"):
        load_cohort("montgomery-full", data=tmp_path)
    (tmp_path / "MontgomerySet" / "CXR_png").mkdir()
    with pytest.raises(CohortError, match="none of the 0 images"):
        load_cohort("montgomery-full", data=tmp_path)
    folder = tree(tmp_path, "MontgomerySet", MONTGOMERY)
    (folder / "CXR_png" / "MCUCXR_0001_0.png").write_bytes(picture(4)[:60])
    with pytest.raises(ImageError, match=r"MCUCXR_0001_0\.png"):
        registry.check("montgomery-full", tmp_path)
