"""An image unlike the training images is noticed, and so is a lung mask that shows no two lungs."""

import numpy as np

from sdnet_lib.explain import input_checks
from sdnet_lib.phantom import radiograph


def test_an_inverted_film_is_unlike_the_others():
    drawn = [radiograph.radiograph(seed, size=96).image for seed in range(6)]
    pixels = np.stack([np.round(255 * image).astype(np.uint8)[:96, :80] for image in drawn])
    usual = input_checks.ranges(pixels)
    assert input_checks.unlike(pixels, usual) == [[]] * 6
    inverted = input_checks.unlike(255 - pixels[:1], usual)[0]
    assert any("middle grey levels" in warning for warning in inverted)


def test_two_lungs_side_by_side_look_frontal():
    mask = np.zeros((50, 50), bool)
    mask[10:40, 5:20] = True
    assert not input_checks.looks_frontal(mask)
    above = mask.copy()
    mask[10:40, 28:45] = True
    above[43:49, 5:20] = True
    assert input_checks.looks_frontal(mask) and not input_checks.looks_frontal(above)
    assert not input_checks.looks_frontal(np.zeros((9, 9), bool))
    assert input_checks.looks_frontal(radiograph.radiograph(1, size=128).lung_mask)
