"""ChestX-ray8 whole, in the publisher's layout, sound and spoilt."""

import numpy as np
import pytest

from data_scripts import chestxray8_full, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.images import ImageError
from tests.data_scripts.publishers import put, put_table, refusal
from tests.data_scripts.served import picture

COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender"),
    *("View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"),
)
SIZE = ("2682", "2749", "0.143", "0.143")
ROWS = [
    ("00000001_000.png", "No Finding", "0", "1", "58", "M", "PA", *SIZE),
    ("00000001_001.png", "Infiltration|Pneumonia", "1", "1", "058Y", "M", "AP", *SIZE),
    ("00000002_000.png", "Cardiomegaly", "0", "2", "414", "F", "PA", *SIZE),
    ("00000013_000.png", "Pneumonia", "0", "13", "414", "F", "PA", *SIZE),
    ("00000014_000.png", "No Finding", "0", "14", "7", "F", "PA", *SIZE),
]


def tree(root, rows=ROWS, table="Data_Entry_2017_v2020.csv", columns=COLUMNS):
    folder = root / chestxray8_full.FOLDER
    put_table(folder / table, rows, columns)
    for number, row in enumerate(ROWS):
        put(folder / f"images_{number + 1:03}" / "images" / row[0], picture(number))
    return folder


refused = refusal("chestxray8-full")


def test_two_kinds_of_images_are_read_from_twelve_folders(tmp_path):
    tree(tmp_path)
    cohort = load_cohort("chestxray8-full", data=tmp_path).set_index("image_id")
    labels = {"00000001_000": "N", "00000001_001": "P", "00000013_000": "P", "00000014_000": "N"}
    assert dict(cohort["label"]) == labels
    assert list(cohort["patient_id"]) == ["nih-00000001", "nih-00000001", "nih-00000013", "nih-00000014"]
    np.testing.assert_equal(cohort["age"].tolist(), [58, 58, np.nan, 7])
    assert cohort.loc["00000001_001", "view"] == "AP" and cohort.loc["00000001_001", "sex"] == "M"
    said = registry.check("chestxray8-full", tmp_path).splitlines()
    assert said[0] == "4 images of 3 patients: 2 N, 2 P"
    assert "left out: 1 with other findings" in said and "patients with images of both labels: 1" in said


def test_the_first_release_and_one_flat_folder(tmp_path):
    columns = ["Patient Sex" if name == "Patient Gender" else name for name in COLUMNS]
    folder = tree(tmp_path, table="Data_Entry_2017.csv", columns=columns)
    for file in list(folder.glob("images_*/images/*")):
        put(folder / "images" / file.name, file.read_bytes())
        file.unlink()
    assert list(load_cohort("chestxray8-full", data=tmp_path)["sex"]) == ["M", "M", "F", "F"]


def test_a_line_that_ends_in_a_comma_as_the_publishers_do(tmp_path):
    folder = tree(tmp_path)
    table = folder / "Data_Entry_2017_v2020.csv"
    table.write_text("".join(f"{line},\n" for line in table.read_text().splitlines()))
    assert list(load_cohort("chestxray8-full", data=tmp_path)["label"]) == ["N", "P", "P", "N"]


def test_missing_and_surplus_files_are_counted(tmp_path):
    folder = tree(tmp_path)
    next(folder.rglob("00000014_000.png")).unlink()
    put(folder / "images_012" / "images" / "00000099_000.png", picture(99))
    put(folder / "images_012" / "images" / "._00000099_000.png", b"x")
    said = registry.left_out(load_cohort("chestxray8-full", data=tmp_path))
    assert said == [
        "left out: 1 with other findings",
        "left out: 1 PNG that no row names",
        "left out: 1 with a label, but no file here",
    ]


def test_the_same_name_in_two_folders(tmp_path):
    folder = tree(tmp_path)
    put(folder / "images_012" / "00000001_000.png", picture(5))
    refused(tmp_path, "00000001_000.png: the same name as ")


def test_repeated_rows(tmp_path):
    tree(tmp_path, [*ROWS, ROWS[0]])
    assert len(load_cohort("chestxray8-full", data=tmp_path)) == 4
    tree(tmp_path, [*ROWS, (ROWS[0][0], "Pneumonia", *ROWS[0][2:])])
    refused(tmp_path, "row 7, column Image Index: '00000001_000.png' has two rows that contradict each other")


@pytest.mark.parametrize("column", chestxray8_full.NEEDED)
def test_a_column_or_a_value_is_missing(column, tmp_path):
    place = COLUMNS.index(column)
    tree(
        tmp_path,
        [row[:place] + row[place + 1 :] for row in ROWS],
        columns=[n for n in COLUMNS if n != column],
    )
    refused(tmp_path, f"Data_Entry_2017_v2020.csv: no column {column} (columns: ")
    tree(tmp_path, [*ROWS[:2], (*ROWS[2][:place], "", *ROWS[2][place + 1 :])])
    refused(tmp_path, f"row 4, column {column}: empty")


def test_no_table_and_a_damaged_image(tmp_path):
    folder = tree(tmp_path)
    next(folder.rglob("00000014_000.png")).write_bytes(picture(4)[:60])
    with pytest.raises(ImageError, match=r"00000014_000\.png"):
        registry.check("chestxray8-full", tmp_path)
    (folder / "Data_Entry_2017_v2020.csv").unlink()
    refused(tmp_path, "no Data_Entry_2017_v2020.csv or Data_Entry_2017.csv in it, nor the same with .gz")
