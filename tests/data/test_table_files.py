"""A table in any of the habits of spreadsheets comes back the same, or is refused with what to do."""

import itertools

import openpyxl
import pandas as pd
import pytest

from sdnet_lib.data.table_files import CohortError, read

TEXT = ("image_id", "file", "label", "patient_id")
ROWS = [
    ["00012", "images/a b.png", "N", "Peña", 45.5],
    ["x", "images/c.png", "P", "3", 60.0],
    ["y", "d", "N", "", ""],
]
WANTED = pd.DataFrame(
    {
        "image_id": ["00012", "x", "y"],
        "file": ["images/a b.png", "images/c.png", "d"],
        "label": ["N", "P", "N"],
        "patient_id": ["Peña", "3", ""],
        "age": [45.5, 60, None],
    }
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1")


def written(delimiter, decimal, header=(*TEXT, "age"), quote=""):
    rows = [
        [str(value).replace(".", decimal) if number == 4 else value for number, value in enumerate(row)]
        for row in ROWS
    ]
    lines = [header, *rows]
    return "\n".join(delimiter.join(f"{quote}{value}{quote}" for value in line) for line in lines) + "\n"


@pytest.mark.parametrize(
    "delimiter, decimal, quote, encoding",
    [
        form
        for form in itertools.product(",;\t|", ".,", ("", '"'), ENCODINGS)
        if form[:3] != (",", ",", "")  # it looks the same as two cells
    ],
)
def test_every_habit_of_spreadsheets(delimiter, decimal, quote, encoding, tmp_path):
    text = written(delimiter, decimal, quote=quote)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    pd.testing.assert_frame_equal(read(tmp_path / "a.csv", TEXT, TEXT[:3]), WANTED, check_dtype=False)


def test_excels_first_line_and_names_in_capitals(tmp_path):
    header = (" Image_ID ", "FILE", "Label", "patient_id", "age", "", "")
    (tmp_path / "a.csv").write_text("sep=;\n" + written(";", ",", header) + ";;;\n\n")
    found = read(tmp_path / "a.csv", TEXT, TEXT[:3])
    assert list(found.index) == [1, 2, 3]  # errors count the first line
    pd.testing.assert_frame_equal(found.reset_index(drop=True), WANTED, check_dtype=False)


def test_a_workbook(tmp_path):
    book = openpyxl.Workbook()
    for row in ([*TEXT, "age"], *ROWS, [None] * 5):
        book.active.append(row)
    book.active.cell(3, 4).value = 3.0
    book.create_sheet("notes", 0).sheet_state = "hidden"
    book.save(tmp_path / "a.xlsx")
    (tmp_path / "a.xlsx").rename(tmp_path / "a.csv")  # what it holds decides
    pd.testing.assert_frame_equal(read(tmp_path / "a.csv", TEXT, TEXT[:3]), WANTED, check_dtype=False)


def test_a_number_that_a_workbook_has_rounded_looks_like_it(tmp_path):
    book = openpyxl.Workbook()
    for row in (TEXT, ["a", "b", "N", 123456789012345678], ["c", "d", "P", 123456789012345]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = read(tmp_path / "a.xlsx", TEXT, TEXT[:3])["patient_id"].tolist()
    assert found == ["1.23456789012346E+17", "123456789012345"]


BAD = {
    "a column twice": (b"image_id,file,label,Label\na,b,N,P\n", "column label appears twice"),
    "an unquoted decimal comma": (b"image_id,file,label,age\na,b,N,45,5\n", "decimal commas too"),
    "a quote that is not closed": (b'image_id,file,label\na,b,"N\nc,d,"P\n', "cannot be read as CSV, line 2"),
    "an old workbook": (b"\xd0\xcf\x11\xe0" + bytes(99), "save it as .xlsx"),
    "half a workbook": (b"PK\x03\x04" + bytes(99), "cannot be read as an Excel file"),
    "no text": (b"image_id\0\0\0\xff,", "not a text file"),
    "blank": (b" \n\n", "empty file"),
    "no label": (b"image_id;file\na;b\n", r"no column label \(columns: image_id, file\)"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_refusal_says_what_to_do(kind, tmp_path):
    content, reason = BAD[kind]
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(CohortError, match=f"a.csv.*{reason}"):
        read(tmp_path / "a.csv", TEXT, TEXT[:3])


def test_thousands_are_not_taken_for_decimals(tmp_path):
    (tmp_path / "a.csv").write_text("image_id;file;label;dose\na;b;N;1,234\n")
    assert read(tmp_path / "a.csv", TEXT, TEXT[:3])["dose"].tolist() == ["1,234"]
