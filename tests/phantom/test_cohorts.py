"""Whole cohorts: proportions, faults that are wanted, files, and what goes wrong."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdnet_lib.data import severity
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import read_gray
from sdnet_lib.data.splits import splits
from sdnet_lib.files import InputError
from sdnet_lib.phantom import cohorts, radiograph

SIZE = 96


def folder_hash(folder):
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return hashlib.sha256(b"".join(f.name.encode() + f.read_bytes() for f in files)).hexdigest()


@pytest.fixture(scope="module")
def homogeneous(tmp_path_factory):
    return cohorts.homogeneous(40, 5, tmp_path_factory.mktemp("cohort") / "h", size=SIZE, workers=1)


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    return cohorts.biased(60, 5, tmp_path_factory.mktemp("cohort") / "b", size=SIZE, workers=1)


def test_workers_do_not_change_a_byte(tmp_path):
    for workers in (1, 2):
        cohorts.biased(8, 2, tmp_path / str(workers), size=64, workers=workers)
    assert folder_hash(tmp_path / "1") == folder_hash(tmp_path / "2")


def test_the_seed_in_a_row_makes_the_image_again(homogeneous):
    row = homogeneous[homogeneous["severity"] == "Severe"].iloc[0]
    keys = ("label", "severity", "site", "sex", "view", "shot")
    made = radiograph.radiograph(row["seed"], size=SIZE, **{key: row[key] for key in keys})
    assert np.abs(read_gray(row["file"]) - made.image).max() <= 0.51 / 255
    assert " ".join(made.parts) == row["lung_parts"]


def test_homogeneous_has_the_proportions_of_the_paper():
    plan = pd.DataFrame(cohorts.plan(852, 0, cohorts.HOMOGENEOUS))
    assert plan["label"].value_counts().to_dict() == {"N": 426, "P": 426}
    assert plan["severity"].value_counts().to_dict() == {"": 426, **radiograph.SEVERITY}
    assert plan.groupby("label")["sex"].value_counts().to_dict() == {
        ("N", "F"): 239,
        ("N", "M"): 187,
        ("P", "F"): 190,
        ("P", "M"): 236,
    }


def test_homogeneous_is_one_site_and_one_kind_of_file(homogeneous):
    assert set(homogeneous["site"]) == {"A"} and set(homogeneous["view"]) == {"PA"}
    kinds = {(p.format, p.mode, p.size) for p in map(Image.open, homogeneous["file"])}
    assert kinds == {("PNG", "L", (SIZE, SIZE))}
    assert homogeneous["patient_id"].is_unique


def test_a_cohort_is_valid_on_disk_with_one_bit_masks(homogeneous):
    folder = homogeneous["file"].iloc[0].rsplit("/images/")[0]
    again = read_cohort(folder)
    pd.testing.assert_frame_equal(again, homogeneous)
    for kind in ("lung_mask", "lesion_mask"):
        assert {Image.open(f).mode for f in again[kind]} == {"1"}
    scores = again["lung_parts"].map(severity.score)
    assert (scores == again["rale"]).all() and (again.loc[again["label"] == "N", "rale"] == 0).all()


def test_biased_gives_the_label_away_outside_the_lungs(biased):
    sites = biased.groupby("label")["site"].agg(set)
    assert not sites["N"] & sites["P"]
    sizes = biased.assign(size=[Image.open(f).size for f in biased["file"]]).groupby("label")["size"].agg(set)
    assert not sizes["N"] & sizes["P"]
    assert (biased.loc[biased["label"] == "P", "severity"] == "Severe").mean() > 0.45
    assert (biased.loc[biased["label"] == "P", "view"] == "AP").mean() > 0.6
    assert (biased.loc[biased["label"] == "N", "view"] == "PA").mean() > 0.9


def test_pneumonia_is_the_same_hospital_with_another_disease(tmp_path):
    made = cohorts.pneumonia(12, 5, tmp_path / "p", size=SIZE, workers=1)
    assert made["label"].value_counts().to_dict() == {"N": 6, "P": 6}
    assert set(made["severity"]) == {""} and set(made["site"]) == {"A"} and set(made["view"]) == {"PA"}
    parts = made.set_index("label")["lung_parts"].str.split()
    assert (
        all(len({part[0] for part in found}) == 1 for found in parts["P"]) and not parts["N"].str.len().any()
    )


def test_second_images_of_a_patient_differ_and_stay_on_one_side(biased):
    twice = biased[biased.duplicated("patient_id", keep=False)]
    assert 0.1 < len(twice) / len(biased) < 0.5
    first, second = twice[twice["patient_id"] == twice["patient_id"].iloc[0]]["file"]
    assert not np.array_equal(read_gray(first), read_gray(second))
    for split in splits(biased, 1, 3):
        train, test = (set(biased["patient_id"].iloc[part]) for part in (split.train, split.test))
        assert not train & test


def test_the_smallest_cohort_has_both_labels(tmp_path):
    for n in (2, 3):
        made = cohorts.homogeneous(n, 0, tmp_path / str(n), size=64)
        assert len(made) == n and set(made["label"]) == {"N", "P"}


@pytest.mark.parametrize(
    ("n", "size", "words"), [(1, 64, "n 1"), (0, 64, "n 0"), (-4, 64, "n -4"), (4, 63, "size 63")]
)
def test_too_small_cohorts_are_refused(tmp_path, n, size, words):
    with pytest.raises(InputError, match=words):
        cohorts.homogeneous(n, 0, tmp_path / "out", size=size)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not an empty folder"):
        cohorts.homogeneous(2, 0, tmp_path, size=64)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cohorts.homogeneous(4, 0, tmp_path / "out", size=64, workers=1)
    assert list(tmp_path.iterdir()) == []
