"""The synthetic radiograph: truth by construction, same seed same bytes, numbers like real images'."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdnet_lib.data import severity
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import read_gray, resize
from sdnet_lib.data.splits import splits
from sdnet_lib.files import InputError
from sdnet_lib.phantom import lesions, radiograph
from sdnet_lib.phantom.acquisition import SITES
from tests.phantom.image_statistics import REAL, statistics

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


@pytest.fixture(scope="module")
def positives():
    levels = ("Mild", "Moderate", "Severe")
    return [radiograph.radiograph(i, size=SIZE, label="P", severity=levels[i % 3]) for i in range(45)]


def test_an_image_is_float_grey_with_masks_of_its_shape():
    made = radiograph.radiograph(1, size=SIZE)
    assert made.image.dtype == np.float32 and made.image.shape == (SIZE, SIZE)
    assert made.image.min() >= 0 and made.image.max() <= 1 and made.image.std() > 0.1
    assert made.lung_mask.shape == made.lesion_mask.shape == made.image.shape
    assert made.lung_mask.dtype == made.lesion_mask.dtype == bool


def test_same_seed_same_image_whatever_was_made_before():
    first = radiograph.radiograph(3, size=SIZE, label="P", severity="Severe")
    radiograph.radiograph(4, size=128, site="D")
    again = radiograph.radiograph(3, size=SIZE, label="P", severity="Severe")
    assert np.array_equal(first.image, again.image) and first.parts == again.parts
    assert not np.array_equal(first.image, radiograph.radiograph(5, size=SIZE).image)


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


def test_a_positive_is_the_same_patient_as_the_negative_but_for_the_lesions():
    negative = radiograph.radiograph(7, size=SIZE)
    mild = radiograph.radiograph(7, size=SIZE, label="P", severity="Mild")
    assert np.array_equal(negative.lung_mask, mild.lung_mask)
    change = np.abs(negative.image - mild.image)
    assert change[mild.lesion_mask].mean() > 5 * change[~mild.lesion_mask].mean()


def test_normal_pcr_cannot_be_told_from_negative():
    negative = radiograph.radiograph(8, size=SIZE)
    normal = radiograph.radiograph(8, size=SIZE, label="P", severity="Normal-PCR+")
    assert np.array_equal(negative.image, normal.image)
    assert normal.parts == () and not normal.lesion_mask.any()


def test_severity_is_the_score_of_the_parts(positives):
    for made in positives:
        assert severity.positive_severity(severity.score(made.parts)) == made.severity


def test_lesions_lie_in_exactly_the_parts_named(positives):
    for made in positives:
        columns, between = np.arange(SIZE), np.flatnonzero(~made.lung_mask.any(0))
        middle = np.median(between[np.abs(between - SIZE / 2) < SIZE / 6])
        for side, here in (("R", columns < middle), ("L", columns >= middle)):
            quarter = lesions.part_of_row(made.lung_mask & here)
            for level in range(1, 5):
                rows = (quarter >= level - 1) & (quarter < level)
                found = made.lesion_mask[rows][:, here].sum()
                assert (found > 0) == (f"{side}{level}" in made.parts), (made.severity, side, level)


def test_lesions_are_visible_lung_and_brighter_than_lung(positives):
    for made in positives:
        assert not (made.lesion_mask & ~made.lung_mask).any()
    severe = [made for made in positives if made.severity == "Severe"]
    lighter = [m.image[m.lesion_mask].mean() - m.image[m.lung_mask & ~m.lesion_mask].mean() for m in severe]
    assert np.mean(lighter) > 0.04


def test_bases_and_periphery_are_affected_more_often(positives):
    parts = pd.Series([part for made in positives for part in made.parts])
    assert parts.str[1].isin(["3", "4"]).mean() > 0.55


def test_right_dome_is_higher_and_heart_lies_to_the_left():
    lungs = np.mean([radiograph.radiograph(i, size=SIZE).lung_mask for i in range(12)], axis=0)
    bottom = [np.flatnonzero(lungs[:, c] > 0.5)[-1] for c in (SIZE // 4, 3 * SIZE // 4)]
    assert bottom[0] <= bottom[1]
    low = lungs[int(0.62 * SIZE)] > 0.5
    assert low[: SIZE // 2].sum() > low[SIZE // 2 :].sum()


def test_lungs_are_darker_than_what_surrounds_them():
    for site in SITES:
        made = radiograph.radiograph(2, size=SIZE, site=site)
        rows = np.flatnonzero(made.lung_mask.any(1))
        between = made.image[rows[0] : rows[-1], made.image.shape[1] // 2 - 3 : made.image.shape[1] // 2 + 3]
        assert made.image[made.lung_mask].mean() < between.mean() - 0.1


def test_any_size_shows_the_same_picture():
    small, big = (radiograph.radiograph(6, size=size, label="P", severity="Moderate") for size in (128, 512))
    assert np.corrcoef(small.image.ravel(), resize(big.image, (128, 128)).ravel())[0, 1] > 0.98
    assert small.parts == big.parts
    assert abs(small.lung_mask.mean() - big.lung_mask.mean()) < 0.01


@pytest.mark.parametrize("site", SITES)
def test_sites_have_their_own_shape(site):
    made = radiograph.radiograph(1, size=SIZE, site=site)
    height, width = made.image.shape
    assert max(height, width) == SIZE and height / width == pytest.approx(SITES[site].aspect, abs=0.02)


def test_numbers_lie_within_the_range_of_real_sets():
    found = []
    for i, site in enumerate("ABCDE" * 6):
        view = "AP" if site in "BCD" else "PA"
        label = "P" if i % 2 or view == "AP" else "N"
        made = radiograph.radiograph(i, size=256, site=site, view=view, label=label)
        found.append(statistics(made.image, made.lung_mask) | {"site": site})
    table = pd.DataFrame(found)
    for site, rows in table.groupby("site"):
        for name, (low, high) in REAL.items():
            assert low <= rows[name].median() <= high, (site, name, rows[name].median())
    values = table[list(REAL)]
    inside = (values >= [low for low, _ in REAL.values()]) & (values <= [high for _, high in REAL.values()])
    assert inside.mean().min() > 0.8, inside.mean()


def test_homogeneous_has_the_proportions_of_the_paper():
    plan = pd.DataFrame(
        radiograph._plan(852, 0, radiograph.SEVERITY, radiograph._ONE_SITE, {"P": 0, "N": 0}, twice=0)
    )
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
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(radiograph.rale, "score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cohorts.homogeneous(4, 0, tmp_path / "out", size=64, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "X"},
        {"label": "P", "severity": "MILD"},
        {"severity": "Mild"},  # on a negative
        {"site": "Z"},
        {"sex": "W"},
        {"view": "LAT"},
        {"size": 10},
    ],
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(InputError, match=str(list(wrong.values())[-1])):
        radiograph.radiograph(0, **wrong)
