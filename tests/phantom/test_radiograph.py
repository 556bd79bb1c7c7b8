"""The synthetic radiograph: truth by construction, same seed same bytes, numbers like real images'."""

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.data import severity
from sdnet_lib.data.images import resize
from sdnet_lib.files import InputError
from sdnet_lib.phantom import lesions, radiograph
from sdnet_lib.phantom.acquisition import SITES
from tests.phantom.image_statistics import REAL, statistics

SIZE = 96


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


def test_a_new_kind_of_lesion_is_one_function_and_its_truth_follows(monkeypatch):
    def nodule(frame, ragged, centre, draws, density):
        window = frame.around(*centre, 0.8)
        distance = np.hypot(frame.x[window] - frame.x[centre], frame.y[window[0]] - frame.y[centre[0]])
        return window, (0.8 * (distance < 0.7)).astype(np.float32)

    monkeypatch.setitem(lesions.LESIONS, "nodule", nodule)
    negative = radiograph.radiograph(7, size=128)
    made = radiograph.radiograph(7, size=128, label="P", severity="Moderate", lesion="nodule")
    assert 0 < made.lesion_mask.sum() < 0.25 * made.lung_mask.sum()
    assert severity.positive_severity(severity.score(made.parts)) == "Moderate"
    inside = (made.image - negative.image)[made.lesion_mask]
    assert inside.mean() > 0.05 and np.array_equal(made.lung_mask, negative.lung_mask)


@pytest.fixture(scope="module")
def pneumonias():
    return [radiograph.radiograph(i, size=192, label="P", lesion=lesions.LOBAR) for i in range(24)]


def test_pneumonia_is_dense_in_one_lung_and_covid_19_thin_in_both(pneumonias):
    severe = [radiograph.radiograph(i, size=192, label="P", severity="Severe") for i in range(24)]
    assert all(len({part[0] for part in made.parts}) == 1 for made in pneumonias)
    assert np.mean([len({part[0] for part in made.parts}) == 2 for made in severe]) == 1
    assert {made.parts[0][0] for made in pneumonias} == {"R", "L"}
    added = [
        np.mean(
            [np.mean((m.image - radiograph.radiograph(i, size=192).image)[m.lesion_mask]) for i, m in many]
        )
        for many in (list(enumerate(pneumonias)), list(enumerate(severe)))
    ]
    assert added[0] > 1.3 * added[1]


def test_pneumonia_is_sharp_at_its_fissure_and_covid_19_is_not(pneumonias):
    """The fraction of the border of what is added along which it starts or ends at once, from row to row."""

    def edge(seed: int, made: radiograph.Phantom) -> float:
        change = made.image - radiograph.radiograph(seed, size=192).image
        steps = np.abs(change[3:] - change[:-3])[made.lesion_mask[3:] | made.lesion_mask[:-3]]
        return np.quantile(steps, 0.97) / np.quantile(change[made.lesion_mask], 0.9)

    lobar = [edge(seed, made) for seed, made in enumerate(pneumonias)]
    covid = [
        edge(seed, radiograph.radiograph(seed, size=192, label="P", severity="Severe")) for seed in range(24)
    ]
    assert np.median(lobar) > 1.3 * np.median(covid)


def test_pneumonia_has_truth_and_no_level(pneumonias):
    for seed, made in enumerate(pneumonias):
        assert made.label == "P" and made.severity == "" and made.parts
        assert made.lesion_mask.any() and not (made.lesion_mask & ~made.lung_mask).any()
        assert 0.03 < made.lesion_mask.sum() / made.lung_mask.sum() < 0.4, seed
    with pytest.raises(InputError, match="severity 'Mild' on lobar pneumonia"):
        radiograph.radiograph(0, label="P", severity="Mild", lesion=lesions.LOBAR)


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "X"},
        {"label": "P", "severity": "MILD"},
        {"severity": "Mild"},  # on a negative
        {"site": "Z"},
        {"sex": "W"},
        {"lesion": "cavity"},
        {"view": "LAT"},
        {"size": 10},
    ],
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(InputError, match=str(list(wrong.values())[-1])):
        radiograph.radiograph(0, **wrong)
