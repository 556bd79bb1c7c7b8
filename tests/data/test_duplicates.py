import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from sdnet_lib.data import duplicates
from sdnet_lib.data.images import resize


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).normal(size=(96, 80))
    smooth = gaussian_filter(noise, 2)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: 0.2 + 0.5 * image,  # other brightness and contrast
        lambda image: resize(image, (72, 60)),  # another size
        lambda image: np.rint(image * 60) / 60,  # fewer grey levels
    ],
)
def test_a_re_export_is_the_same_picture(picture, change):
    alike = duplicates.likeness([picture, change(picture)])
    assert alike[0, 1] > 0.99
    assert duplicates.groups(alike).tolist() == [0, 0]


@pytest.mark.parametrize("change", [np.fliplr, lambda image: 1 - image, lambda image: np.roll(image, 12, 0)])
def test_another_picture_is_not(picture, change):
    alike = duplicates.likeness([picture, change(picture)])
    assert alike[0, 1] < 0.9
    assert duplicates.groups(alike).tolist() == [0, 1]


def test_likeness_is_symmetric_with_a_diagonal_of_ones(picture):
    alike = duplicates.likeness([picture, picture.T, picture**2])
    assert np.allclose(alike, alike.T)
    assert np.allclose(np.diag(alike), 1)


def test_chains_are_one_group():
    alike = np.array([[1, 0.99, 0], [0.99, 1, 0.99], [0, 0.99, 1]])
    assert duplicates.groups(alike).tolist() == [0, 0, 0]
    assert len(set(duplicates.groups(alike, threshold=0.995))) == 3


def test_an_empty_picture_is_like_nothing(picture):
    assert duplicates.likeness([np.zeros((40, 40), np.float32), picture])[0].max() < 1e-6


def test_patients_who_share_a_picture_count_as_one(toy_cohort):
    """A picture filed under two patients, and a third who shares another picture with the second."""
    cohort = toy_cohort.iloc[[0, 1, 2, 4]]
    assert duplicates.same_pictures(cohort) == list(cohort["patient_id"])
    other = cohort.iloc[[0, 1]].assign(image_id=["e", "f"], patient_id=["p9", "p9"])
    joined = duplicates.same_pictures(pd.concat([cohort, other], ignore_index=True))
    assert len({joined[k] for k in (0, 1, 4, 5)}) == 1 and len(set(joined)) == 3
