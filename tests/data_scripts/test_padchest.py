"""PadChest in the publisher's layout, sound and spoilt."""

import numpy as np
import pytest

from data_scripts import padchest, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data import images
from sdnet_lib.data.images import ImageError
from sdnet_lib.files import InputError
from tests.data_scripts.publishers import put, put_table, refusal, wide_picture

COLUMNS = (
    *(
        "",
        "ImageID",
        "ImageDir",
        "StudyDate_DICOM",
        "StudyID",
        "PatientID",
        "PatientBirth",
        "PatientSex_DICOM",
    ),
    *("Projection", "Report", "MethodLabel", "Labels"),
)
ROWS = [
    ("0", "20536686.png", "0", "20140915", "s1", "8398", "1938.0", "F", "PA", "sin hallazgos", "Physician",
     "['normal']"),
    ("1", "20536687.png", "0", "20140915", "s1", "8398", "1938.0", "F", "L", "sin hallazgos", "Physician",
     "['normal']"),
    ("2", "13518687.png", "54", "20150914", "s2", "3135", "", "M", "AP_horizontal", "neumonía, según tac",
     "RNN", "['pleural effusion', ' atypical pneumonia', '']"),
    ("3", "13518688.png", "54", "20150914", "s3", "999", "1950.0", "M", "AP", "", "RNN", "['unchanged']"),
    ("4", "13518689.png", "1", "20150914", "s4", "1000", "1950.0", "M", "PA", "", "RNN", ""),
    ("5", "13518690.png", "1", "20150914", "s5", "8398", "1938.0", "M", "PA", "", "RNN",
     "['pneumonia']"),
]  # fmt: skip


def tree(root, rows=ROWS, table=padchest.TABLE, **options):
    folder = root / padchest.FOLDER
    put_table(folder / table, rows, COLUMNS, **options)
    for number, row in enumerate(ROWS):
        put(folder / row[2] / row[1], wide_picture(number))
    return folder


refused = refusal("padchest")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_frontal_normal_and_pneumonia_images_are_read(suffix, tmp_path):
    tree(tmp_path, table=padchest.TABLE + suffix)
    cohort = load_cohort("padchest", data=tmp_path).set_index("image_id")
    assert dict(cohort["label"]) == {"20536686": "N", "13518687": "P", "13518690": "P"}
    assert list(cohort["view"]) == ["PA", "AP Supine", "PA"]
    np.testing.assert_equal(cohort["age"].tolist(), [76, np.nan, 77])
    assert list(cohort["labelled_by"]) == ["Physician", "RNN", "RNN"] and "Report" not in cohort
    said = registry.check("padchest", tmp_path).splitlines()
    assert said[0] == "3 images of 2 patients: 1 N, 2 P"
    assert [line for line in said if line.startswith("left out")] == [
        "left out: 1 not frontal, or of unknown view",
        "left out: 2 frontal, with other labels or none",
    ]
    assert "patients with images of both labels: 1" in said


def test_sixteen_bits_keep_their_grey_levels(tmp_path):
    tree(tmp_path)
    levels = images.read_gray(load_cohort("padchest", data=tmp_path)["file"][0])
    assert levels.max() > 0.9 and levels.min() < 0.1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_reports_with_accents_in_other_encodings(encoding, tmp_path):
    tree(tmp_path, encoding=encoding)
    assert len(load_cohort("padchest", data=tmp_path)) == 3


def test_what_is_not_here_is_counted(tmp_path):
    folder = tree(tmp_path)
    (folder / "54" / "13518687.png").unlink()
    said = registry.left_out(load_cohort("padchest", data=tmp_path))
    assert said[-1] == "left out: 1 with a label, but no file here"


def test_rows_that_repeat_contradict_or_make_no_sense(tmp_path):
    tree(tmp_path, [*ROWS, ("5", *ROWS[5][1:])])
    assert len(load_cohort("padchest", data=tmp_path)) == 3
    tree(tmp_path, [*ROWS, (*ROWS[0][:-1], "['pneumonia']")])
    refused(tmp_path, "row 8, column ImageID: '20536686.png' has two rows that contradict each other")
    for labels in ("normal", "['normal'", "3", "[['a']"):
        tree(tmp_path, [*ROWS[:2], (*ROWS[2][:-1], labels)])
        refused(tmp_path, f"row 4, column Labels: {labels!r} is no list of labels")
    tree(tmp_path, [(*ROWS[0][:5], "", *ROWS[0][6:])])
    refused(tmp_path, "row 2, column PatientID: empty")


@pytest.mark.parametrize("column", [*padchest.NEEDED, "Labels"])
def test_a_column_is_missing(column, tmp_path):
    folder = tree(tmp_path)
    place = COLUMNS.index(column)
    rows, names = (
        [row[:place] + row[place + 1 :] for row in ROWS],
        [name for name in COLUMNS if name != column],
    )
    put_table(folder / padchest.TABLE, rows, names)
    refused(tmp_path, f"{padchest.TABLE}: no column {column} (columns: ")


def test_a_damaged_image_and_no_table(tmp_path):
    folder = tree(tmp_path)
    (folder / "0" / "20536686.png").write_bytes(wide_picture(0)[:70])
    with pytest.raises(ImageError, match=r"20536686\.png"):
        registry.check("padchest", tmp_path)
    (folder / padchest.TABLE).unlink()
    refused(tmp_path, f"no {padchest.TABLE} in it, nor the same with .gz")


def test_how_to_get_access(tmp_path):
    with pytest.raises(InputError, match=r"Ask for access at bimcv\.cipf\.es.*padchest$"):
        registry.get("padchest", tmp_path)
