"""The table at the door: what it refuses, and how it comes back."""

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.data.cohort import CohortError, check_cohort, fingerprint, read_cohort, write_cohort
from sdnet_lib.data.images import write_gray
from sdnet_lib.files import InputError

HEADER = "image_id,file,label,severity,patient_id,source,view,age,sex\n"
ROWS = [
    "a,images/a.png,N,,p1,here,PA,40,F",
    "b,images/b.png,P,Mild,p2,here,PA,,M",
    "c,images/c.png,P,Normal-PCR+,p3,here,,60.5,",
    "00004,images/d.png,N,,007,here,AP,30,M",
]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate("abcd"):
        write_gray(tmp_path / "images" / f"{name}.png", np.random.default_rng(number).random((8, 8)))
    write(tmp_path)
    return tmp_path


def write(folder, rows=ROWS, header=HEADER, name="cohort.csv"):
    (folder / name).write_text(header + "\n".join(rows) + "\n", encoding="utf-8")


def changed(row, **columns):
    """Return ROWS with values of one row replaced; rows are counted as in the file, the header is row 1."""
    cells = ROWS[row - 2].split(",")
    for column, value in columns.items():
        cells[HEADER.strip().split(",").index(column)] = value
    return [*ROWS[: row - 2], ",".join(cells), *ROWS[row - 1 :]]


def test_a_folder_and_its_csv_read_alike(folder):
    pd.testing.assert_frame_equal(read_cohort(folder), read_cohort(str(folder / "cohort.csv")))


def test_columns_and_their_types(folder):
    cohort = read_cohort(folder)
    assert list(cohort["image_id"]) == ["a", "b", "c", "00004"]
    assert list(cohort["patient_id"]) == ["p1", "p2", "p3", "007"]
    assert cohort["file"].iloc[0] == str(folder / "images" / "a.png")
    assert list(cohort["view"]) == ["PA", "PA", "", "AP"]
    assert list(cohort["sex"]) == ["F", "M", "", "M"]
    assert cohort["age"].dtype == float and np.isnan(cohort["age"][1])


def test_only_three_columns_are_needed(folder):
    write(folder, [",".join(row.split(",")[:3]) for row in ROWS], "image_id,file,label\n")
    cohort = read_cohort(folder)
    assert (cohort["severity"] == "").all() and (cohort["view"] == "").all()
    assert list(cohort["patient_id"]) == list(cohort["image_id"])
    assert set(cohort["source"]) == {folder.name}


def test_an_unknown_patient_is_one_of_its_own(folder):
    write(folder, changed(3, patient_id=""))
    assert list(read_cohort(folder)["patient_id"]) == ["p1", "b", "p3", "007"]


def test_a_byte_order_mark_and_blank_lines_do_no_harm(folder):
    lines = [ROWS[0], "", *ROWS[1:], "", ""]
    write(folder, lines, "\ufeff" + HEADER)
    assert len(read_cohort(folder)) == 4


def test_rows_are_counted_with_blank_lines(folder):
    write(folder, [ROWS[0], "", *changed(3, label="X")[1:]])
    with pytest.raises(CohortError, match="row 4, column label"):
        read_cohort(folder)


BAD = {
    "unknown label": (changed(4, label="positive"), "row 4, column label: 'positive': not one of N, P"),
    "blank label": (changed(4, label=""), "row 4, column label: '': not one of N, P"),
    "unknown severity": (
        changed(3, severity="grave"),
        "row 3, column severity: 'grave': not one of Normal-PCR+",
    ),
    "severity on a negative": (
        changed(5, severity="Mild"),
        "row 5, column severity: 'Mild': severity on a neg",
    ),
    "duplicate id": (changed(4, image_id="a"), "row 4, column image_id: 'a': duplicate"),
    "empty id": (changed(3, image_id=""), "row 3, column image_id: '': empty"),
    "blank id": (changed(3, image_id="  "), "row 3, column image_id: '': empty"),
    "no file name": (changed(3, file=""), "row 3, column file: '': empty"),
    "missing image": (changed(3, file="images/x.png"), "row 3, column file: no such file: "),
    "a folder as image": (changed(3, file="images"), "row 3, column file: no such file: "),
    "same picture, two labels": (
        changed(5, file="images/b.png"),
        "row 5, column label: 00004 (N) is the same picture as b (P) in row 3",
    ),
    "two bad rows": (
        [ROWS[0], *(row.replace(",P,", ",Q,") for row in ROWS[1:])],
        "row 3, column label: 'Q': not one of N, P; say --labels 'Q=?' with N or P for each ? "
        "(and 1 more row)",
    ),
    "no rows": ([], "no rows"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_error_names_file_row_and_column(kind, folder):
    rows, message = BAD[kind]
    write(folder, rows)
    with pytest.raises(CohortError) as caught:
        read_cohort(folder)
    assert isinstance(caught.value, InputError)
    assert str(caught.value).startswith(str(folder / "cohort.csv"))
    assert message in str(caught.value) and "\n" not in str(caught.value)


FILES = {
    "empty file": (b"", "empty file"),
    "only blank lines": (b"\n\n\n", "empty file"),
    "too many cells": (
        HEADER.encode() + b"a,images/a.png,N,,p,h,PA,1,F,more\n",
        "more cells than the header",
    ),
    "too many cells in one row": (
        HEADER.encode() + b"a,images/a.png,N,,p,h,PA,1,F\nb,images/b.png,P,,p,h,PA,1,F,more\n",
        "row 3: rows with more cells",
    ),
    "binary": (bytes(range(256)) * 4, "cohort.csv"),
    "missing columns": (
        b"image_id,path\na,images/a.png\n",
        "no column file, label (columns: image_id, path)",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_cohort(kind, folder):
    content, message = FILES[kind]
    (folder / "cohort.csv").write_bytes(content)
    with pytest.raises(CohortError) as caught:
        read_cohort(folder)
    assert message in str(caught.value) and str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_may_go_unchecked(folder):
    write(folder, changed(3, file="images/x.png"))
    assert len(read_cohort(folder, check_files=False)) == 4


def test_mask_columns_are_paths_that_may_be_blank(folder):
    lines = [row + mask for row, mask in zip(ROWS, (",images/b.png", ",", ",", ","), strict=True)]
    write(folder, lines, HEADER.strip() + ",lung_mask\n")
    cohort = read_cohort(folder)
    assert list(cohort["lung_mask"]) == [str(folder / "images" / "b.png"), "", "", ""]
    write(folder, [row + ",gone.png" for row in ROWS], HEADER.strip() + ",lung_mask\n")
    with pytest.raises(CohortError, match="row 2, column lung_mask: no such file"):
        read_cohort(folder)


def test_a_cohort_in_memory_is_checked_too(folder):
    cohort = read_cohort(folder)
    assert check_cohort(cohort) is cohort
    with pytest.raises(CohortError, match="cohort: no column view"):
        check_cohort(cohort.drop(columns="view"))
    with pytest.raises(CohortError, match="row 2, column patient_id: '': empty"):
        check_cohort(cohort.assign(patient_id=""))
    with pytest.raises(CohortError, match="column label"):
        check_cohort(cohort.assign(label=1))


def test_write_and_read_again(folder, tmp_path_factory):
    cohort = read_cohort(folder)
    other = tmp_path_factory.mktemp("other") / "new"
    path = write_cohort(cohort, other)
    assert "a.png" in path.read_text() and str(folder) not in path.read_text()
    pd.testing.assert_frame_equal(read_cohort(other), cohort)


def test_a_folder_may_be_moved(folder, tmp_path_factory):
    before = fingerprint(read_cohort(folder))
    moved = folder.rename(tmp_path_factory.mktemp("moved") / "cohort")
    assert fingerprint(read_cohort(moved)) == before


def test_writing_leaves_the_table_alone(folder):
    cohort = read_cohort(folder)
    before = cohort.copy()
    write_cohort(cohort, folder)
    pd.testing.assert_frame_equal(cohort, before)


def test_the_fingerprint_follows_what_matters(folder):
    cohort = read_cohort(folder)
    before = fingerprint(cohort)
    assert fingerprint(cohort.sample(frac=1, random_state=0)) == before
    assert fingerprint(cohort.assign(label="P")) != before
    write_gray(folder / "images" / "a.png", np.eye(8))
    assert fingerprint(cohort) != before
