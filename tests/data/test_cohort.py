"""The table at the door: what it refuses, how it comes back, and splits that keep a patient on one side."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import (
    SEVERITIES,
    CohortError,
    check_cohort,
    fingerprint,
    write_cohort,
)
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.data.images import write_gray
from sdnet_lib.data.splits import splits
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
    pd.testing.assert_frame_equal(load_cohort(folder), load_cohort(str(folder / "cohort.csv")))


def test_columns_and_their_types(folder):
    cohort = load_cohort(folder)
    assert list(cohort["image_id"]) == ["a", "b", "c", "00004"]
    assert list(cohort["patient_id"]) == ["p1", "p2", "p3", "007"]
    assert cohort["file"].iloc[0] == str(folder / "images" / "a.png")
    assert list(cohort["view"]) == ["PA", "PA", "", "AP"]
    assert list(cohort["sex"]) == ["F", "M", "", "M"]
    assert cohort["age"].dtype == float and np.isnan(cohort["age"][1])


def test_only_three_columns_are_needed(folder):
    write(folder, [",".join(row.split(",")[:3]) for row in ROWS], "image_id,file,label\n")
    cohort = load_cohort(folder)
    assert (cohort["severity"] == "").all() and (cohort["view"] == "").all()
    assert list(cohort["patient_id"]) == list(cohort["image_id"])
    assert set(cohort["source"]) == {folder.name}


def test_an_unknown_patient_is_one_of_its_own(folder):
    write(folder, changed(3, patient_id=""))
    assert list(load_cohort(folder)["patient_id"]) == ["p1", "b", "p3", "007"]


def test_a_byte_order_mark_and_blank_lines_do_no_harm(folder):
    lines = [ROWS[0], "", *ROWS[1:], "", ""]
    write(folder, lines, "\ufeff" + HEADER)
    assert len(load_cohort(folder)) == 4


def test_rows_are_counted_with_blank_lines(folder):
    write(folder, [ROWS[0], "", *changed(3, label="X")[1:]])
    with pytest.raises(CohortError, match="row 4, column label"):
        load_cohort(folder)


BAD = {
    "unknown label": (changed(4, label="positive"), "row 4, column label: 'positive': not one of N, P"),
    "blank label": (changed(4, label=""), "row 4, column label: '': not one of N, P"),
    "unknown severity": (
        changed(3, severity="mild"),
        "row 3, column severity: 'mild': not one of Normal-PCR+",
    ),
    "severity on a negative": (
        changed(5, severity="Mild"),
        "row 5, column severity: 'Mild': severity on a neg",
    ),
    "duplicate id": (changed(4, image_id="a"), "row 4, column image_id: 'a': duplicate"),
    "empty id": (changed(3, image_id=""), "row 3, column image_id: '': empty"),
    "blank id": (changed(3, image_id="  "), "row 3, column image_id: '  ': empty"),
    "no file name": (changed(3, file=""), "row 3, column file: '': empty"),
    "missing image": (changed(3, file="images/x.png"), "row 3, column file: no such file: "),
    "a folder as image": (changed(3, file="images"), "row 3, column file: no such file: "),
    "same picture, two labels": (
        changed(5, file="images/b.png"),
        "row 5, column label: 00004 (N) is the same picture as b (P) in row 3",
    ),
    "two bad rows": (
        [ROWS[0], *(row.replace(",P,", ",Q,") for row in ROWS[1:])],
        "row 3, column label: 'Q': not one of N, P (and 1 more row)",
    ),
    "no rows": ([], "no rows"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_error_names_file_row_and_column(kind, folder):
    rows, message = BAD[kind]
    write(folder, rows)
    with pytest.raises(CohortError) as caught:
        load_cohort(folder)
    assert isinstance(caught.value, InputError)
    assert str(caught.value).startswith(str(folder / "cohort.csv"))
    assert message in str(caught.value) and "\n" not in str(caught.value)


FILES = {
    "empty file": (b"", "empty file"),
    "only blank lines": (b"\n\n\n", "empty file"),
    "Latin-1": (HEADER.encode() + "a,images/a.png,N,,Peña,h,PA,1,F\n".encode("latin-1"), "not UTF-8"),
    "too many cells": (
        HEADER.encode() + b"a,images/a.png,N,,p,h,PA,1,F,more\n",
        "more cells than the header",
    ),
    "too many cells in one row": (
        HEADER.encode() + b"a,images/a.png,N,,p,h,PA,1,F\nb,images/b.png,P,,p,h,PA,1,F,more\n",
        "line 3, saw 10",
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
        load_cohort(folder)
    assert message in str(caught.value) and str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["nowhere", "nowhere.csv", "Phantom"])
def test_neither_file_nor_name(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CohortError, match=f"{source}: no such file or folder, and no registered cohort"):
        load_cohort(source)


def test_a_folder_without_a_table(tmp_path):
    with pytest.raises(CohortError, match=r"neither cohort\.csv nor COVIDGR's layout \(no N\)"):
        load_cohort(tmp_path)


def test_files_may_go_unchecked(folder):
    write(folder, changed(3, file="images/x.png"))
    assert len(load_cohort(folder, check_files=False)) == 4


def test_mask_columns_are_paths_that_may_be_blank(folder):
    lines = [row + mask for row, mask in zip(ROWS, (",images/b.png", ",", ",", ","), strict=True)]
    write(folder, lines, HEADER.strip() + ",lung_mask\n")
    cohort = load_cohort(folder)
    assert list(cohort["lung_mask"]) == [str(folder / "images" / "b.png"), "", "", ""]
    write(folder, [row + ",gone.png" for row in ROWS], HEADER.strip() + ",lung_mask\n")
    with pytest.raises(CohortError, match="row 2, column lung_mask: no such file"):
        load_cohort(folder)


def test_a_cohort_in_memory_is_checked_too(folder):
    cohort = load_cohort(folder)
    assert check_cohort(cohort) is cohort
    with pytest.raises(CohortError, match="cohort: no column view"):
        check_cohort(cohort.drop(columns="view"))
    with pytest.raises(CohortError, match="row 2, column patient_id: '': empty"):
        check_cohort(cohort.assign(patient_id=""))
    with pytest.raises(CohortError, match="column label"):
        check_cohort(cohort.assign(label=1))


def test_write_and_read_again(folder, tmp_path_factory):
    cohort = load_cohort(folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "new"
    path = write_cohort(cohort, elsewhere)
    assert "a.png" in path.read_text() and str(folder) not in path.read_text()
    pd.testing.assert_frame_equal(load_cohort(elsewhere), cohort)


def test_a_folder_may_be_moved(folder, tmp_path_factory):
    before = fingerprint(load_cohort(folder))
    moved = folder.rename(tmp_path_factory.mktemp("moved") / "cohort")
    assert fingerprint(load_cohort(moved)) == before


def test_writing_leaves_the_table_alone_and_no_half_file(folder, monkeypatch):
    cohort = load_cohort(folder)
    before, old = cohort.copy(), (folder / "cohort.csv").read_text()

    def interrupted(self, *_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(cohort, folder)
    pd.testing.assert_frame_equal(cohort, before)
    assert (folder / "cohort.csv").read_text() == old
    assert {file.name for file in folder.iterdir()} == {"cohort.csv", "images"}


def test_the_fingerprint_follows_what_matters(folder):
    cohort = load_cohort(folder)
    before = fingerprint(cohort)
    assert fingerprint(cohort.sample(frac=1, random_state=0)) == before
    assert fingerprint(cohort.assign(label="P")) != before
    write_gray(folder / "images" / "a.png", np.eye(8))
    assert fingerprint(cohort) != before


def test_patients_who_share_a_picture_count_as_one(folder):
    """A picture filed under two patients, and a third who shares another picture with the second."""
    cohort = load_cohort(folder)
    assert len(set(same_pictures(cohort))) == 4
    other = cohort.iloc[[0, 1]].assign(image_id=["e", "f"], patient_id=["p9", "p9"])
    joined = same_pictures(pd.concat([cohort, other], ignore_index=True))
    assert len({joined[k] for k in (0, 1, 4, 5)}) == 1 and len(set(joined)) == 3


def covidgr_tree(folder, negatives=5, levels=("NORMAL-PCR+", "MILD", "MODERATE", "SEVERE"), suffix=".jpg"):
    """Make a folder in COVIDGR's layout out of tiny images."""
    generator = np.random.default_rng(0)
    for label, count in (("N", negatives), ("P", len(levels))):
        for number in range(count):
            write_gray(folder / label / f"{label}{number:03}.jpg", generator.random((8, 8)))
    lines = [f"P{number:03}{suffix},{level}" for number, level in enumerate(levels)]
    (folder / "severity.csv").write_text("\n".join(["Name,Severity", *lines]) + "\n")
    return folder


@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_covidgr_layout(suffix, tmp_path):
    cohort = load_cohort(covidgr_tree(tmp_path, suffix=suffix))
    assert list(cohort["label"]) == ["N"] * 5 + ["P"] * 4
    assert list(cohort["severity"]) == [""] * 5 + list(SEVERITIES)
    assert cohort["image_id"].iloc[-1] == "P003" and cohort["patient_id"].iloc[-1] == "P003"
    assert cohort["file"].iloc[-1] == str(tmp_path / "P" / "P003.jpg")


def test_covidgr_layout_with_the_same_names_in_both_folders(tmp_path):
    covidgr_tree(tmp_path, negatives=1, levels=["MILD"])
    (tmp_path / "N" / "N000.jpg").rename(tmp_path / "N" / "P000.jpg")
    assert list(load_cohort(tmp_path)["image_id"]) == ["N-P000", "P-P000"]


LAYOUTS = {
    "no P": (lambda d: (d / "P").rename(d / "Q"), "COVIDGR's layout (no P)"),
    "no severity.csv": (lambda d: (d / "severity.csv").unlink(), "COVIDGR's layout (no severity.csv)"),
    "a row without image": (
        lambda d: (d / "P" / "P001.jpg").unlink(),
        "severity.csv, row 3, column Name: no image 'P001.jpg' in",
    ),
    "a positive without row": (
        lambda d: write_gray(d / "P" / "P009.jpg", np.eye(8)),
        "severity.csv: no row for ",
    ),
    "unknown level": (
        lambda d: (d / "severity.csv").write_text("Name,Severity\nP000.jpg,HUGE\n"),
        "row 2, column Severity: 'HUGE' is not one of NORMAL-PCR+, MILD, MODERATE, SEVERE",
    ),
    "named twice": (
        lambda d: (d / "severity.csv").write_text("Name,Severity\nP000.jpg,MILD\nP000,MILD\n"),
        "row 3, column Name: 'P000' appears twice",
    ),
    "other columns": (
        lambda d: (d / "severity.csv").write_text("Image,Level\nP000.jpg,MILD\n"),
        "no column Name, Severity (columns: Image, Level)",
    ),
    "two files of one name": (
        lambda d: write_gray(d / "N" / "N000.png", np.eye(8)),
        "N/N000.png, column image_id: 'N000': duplicate",
    ),
    "the same picture in both": (
        lambda d: (d / "N" / "N000.jpg").write_bytes((d / "P" / "P000.jpg").read_bytes()),
        "P/P000.jpg, column label: P000 (P) is the same picture as N000 (N) in N/N000.jpg",
    ),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_bad_covidgr_layouts(kind, tmp_path):
    spoil, message = LAYOUTS[kind]
    spoil(covidgr_tree(tmp_path))
    with pytest.raises(CohortError) as caught:
        load_cohort(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def random_cohort(seed, images=None, levels=SEVERITIES):
    """Draw a cohort in memory: some patients have many images, a few with both labels."""
    generator = np.random.default_rng(seed)
    images = images or int(generator.integers(80, 250))
    label = generator.choice(["N", "P"], images, p=[0.4, 0.6])
    severity = np.where(label == "P", generator.choice(levels, images), "")
    patient = generator.integers(0, images * generator.uniform(0.5, 1), images)
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in generator.permutation(images)],
            "file": "",
            "label": label,
            "severity": severity,
            "patient_id": [f"p{number}" for number in patient],
            "source": "drawn",
            "view": "PA",
        }
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_patient_is_on_one_side_and_each_image_is_tested_once(seed):
    cohort = random_cohort(seed)
    patients = cohort["patient_id"].to_numpy()
    made = splits(cohort, repeats=2, folds=5, seed=seed)
    assert [(split.repeat, split.fold) for split in made] == [(r, f) for r in range(2) for f in range(5)]
    for split in made:
        sides = [set(patients[side]) for side in (split.train, split.valid, split.test)]
        assert all(sides) and sum(map(len, sides)) == len(set(patients))
        together = np.concatenate([split.train, split.valid, split.test])
        assert sorted(together) == list(range(len(cohort)))
    for repeat in range(2):
        tested = np.concatenate([split.test for split in made if split.repeat == repeat])
        assert sorted(tested) == list(range(len(cohort)))


@pytest.mark.parametrize("seed", range(3))
def test_each_side_has_its_share_of_every_level(seed):
    cohort = random_cohort(seed, images=400).assign(patient_id=lambda table: table["image_id"])
    strata = cohort["label"] + cohort["severity"]
    for split in splits(cohort, 1, 5, seed):
        for side, share in ((split.test, 0.2), (split.valid, 0.08), (split.train, 0.72)):
            counts = strata.iloc[side].value_counts()
            assert (abs(counts - strata.value_counts() * share) < 2.5).all()


def test_covidgrs_own_numbers():
    levels = np.repeat(SEVERITIES, (76, 100, 171, 79))
    cohort = random_cohort(0, images=852).assign(
        label=["N"] * 426 + ["P"] * 426,
        severity=[""] * 426 + list(levels),
        patient_id=lambda table: table["image_id"],
    )
    for split in splits(cohort, 1, 5):
        assert 168 <= len(split.test) <= 172 and 66 <= len(split.valid) <= 70
        assert abs((cohort["label"].iloc[split.test] == "P").mean() - 0.5) < 0.02


def test_same_seed_same_splits_and_another_for_another_repeat():
    cohort = random_cohort(0)
    one, two, other = (splits(cohort, 2, 5, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))
    np.testing.assert_array_equal(one[5].test, other[0].test)  # repeat r is drawn with seed + r
    assert not np.array_equal(one[0].test, one[5].test)


def test_the_order_of_the_rows_does_not_matter():
    cohort = random_cohort(1)
    mixed = cohort.sample(frac=1, random_state=0)
    for one, two in zip(splits(cohort, 1, 5), splits(mixed, 1, 5), strict=True):
        for a, b in zip(one[2:], two[2:], strict=True):
            assert set(cohort["image_id"].iloc[a]) == set(mixed["image_id"].iloc[b])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rare", [1, 2, 4])
def test_levels_with_few_patients_are_joined(rare):
    cohort = random_cohort(2, images=100, levels=["Mild"])
    positive = cohort.index[cohort["label"] == "P"]
    cohort.loc[positive[:rare], "severity"] = "Severe"
    cohort.loc[positive[rare : 2 * rare], "severity"] = "Moderate"
    assert len(splits(cohort, 1, 5)) == 5


@pytest.mark.filterwarnings("error")
def test_a_cohort_may_have_one_label_only():
    cohort = random_cohort(0).query("label == 'P'").reset_index(drop=True)
    assert len(splits(cohort, 1, 3)) == 3


@pytest.mark.filterwarnings("error")
def test_a_very_small_cohort_can_be_split_in_two():
    cohort = random_cohort(0, images=8).assign(
        label=list("NNNNPPPP"), severity="", patient_id=lambda table: table["image_id"]
    )
    for split in splits(cohort, 1, 2):
        for side in split[2:]:
            assert set(cohort["label"].iloc[side]) == {"N", "P"}


@pytest.mark.parametrize(
    ("repeats", "folds", "message"),
    [
        (1, 30, "30 folds need 30 patients of each label"),
        (1, 1, "at least 1 repeat and 2 folds"),
        (0, 5, "at least 1 repeat and 2 folds"),
    ],
)
def test_splits_that_cannot_be(repeats, folds, message):
    with pytest.raises(InputError, match=message):
        splits(random_cohort(0, images=40), repeats, folds)
