"""A fetched set is stored once, under ids of its own, with patients who share a picture joined."""

import pandas as pd
import pytest

from data_scripts import common
from tests.data_scripts.served import picture


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
