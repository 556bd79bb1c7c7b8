"""A fetched set is stored once, under ids of its own, with patients who share a picture joined."""

import pandas as pd
import pytest

from data_scripts import common, registry
from sdnet_lib.data.cohort import CohortError
from tests.data_scripts.served import local_copy, picture


def test_names_that_differ_in_the_suffix_only(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "a.jpg").write_bytes(picture(2, ".jpg"))
    files = [tmp_path / "a.png", tmp_path / "a.jpg"]
    common.store(tmp_path / "set", pd.DataFrame({"image_id": "a", "file": files, "patient_id": "1"}), "x")
    stored = common.read_metadata(tmp_path / "set")
    assert list(stored["image_id"]) == ["a", "a-1"] and list(stored["patient_id"]) == ["x-1", "x-1"]


@pytest.mark.parametrize(
    ("patients", "pictures", "joined"),
    [
        ("abcde", "vvwxx", "acd"),  # b shows a's picture, e shows d's
        ("dcbba", "wwxyy", "ca"),  # a chain: b shows a's picture, and has one of its own
    ],
)
def test_patients_who_share_a_picture_are_one(patients, pictures, joined, tmp_path):
    rows = []
    for number, (patient, kind) in enumerate(zip(patients, pictures, strict=True)):
        file = tmp_path / f"{number}.png"
        file.write_bytes(picture(ord(kind)))
        rows.append({"image_id": f"i{number}", "file": file, "patient_id": patient})
    common.store(tmp_path / "set", pd.DataFrame(rows), "x")
    stored = common.read_metadata(tmp_path / "set")
    assert len(stored) == len(set(pictures))  # of copies the first row is kept
    assert list(dict.fromkeys(stored["patient_id"])) == [f"x-{name}" for name in joined]


@pytest.mark.parametrize(
    ("name", "folder", "column"),
    [
        ("figure1", "figure1", "label"),
        ("actualmed", "actualmed", "label"),
        ("cxr-collection", "cxr_collection", "finding"),
        ("chestxray8", "chestxray8_subset", "finding"),
        ("shenzhen", "lung_segmentation", "source"),
        ("montgomery", "lung_segmentation", "finding"),
    ],
)
def test_a_table_without_its_label_or_with_a_strange_one(name, folder, column, tmp_path):
    row = {"image_id": "a", "source": "Shenzhen", "finding": "2", "label": "2"}
    local_copy(tmp_path, folder, [{key: value for key, value in row.items() if key != column}])
    with pytest.raises(CohortError, match=rf"metadata\.csv: no column {column} \(columns: image_id"):
        registry.load_cohort(name, data=tmp_path)
    local_copy(tmp_path, folder, [row | {"source": name.capitalize()}])
    if name != "cxr-collection":  # where whatever is not COVID-19 is N
        with pytest.raises(CohortError, match=r"metadata\.csv, row 2, column label: '2': not one of N, P"):
            registry.load_cohort(name, data=tmp_path)
