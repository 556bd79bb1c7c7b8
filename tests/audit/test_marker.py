import numpy as np
import pytest

from sdnet_lib.audit import marker


@pytest.mark.parametrize("image_size", [32, 64, 128, 224])
def test_the_marker_is_on_the_chosen_images_and_nowhere_else(image_size):
    pixels = np.full((4, image_size, image_size), 90, np.uint8)
    chosen = np.array([True, False, True, False])
    planted, where = marker.plant(pixels, chosen), marker.region(image_size)
    assert (planted[~chosen] == 90).all() and (planted[:, ~where] == 90).all()
    assert planted[chosen][:, where].max() == 255 and planted[chosen][:, where].min() < 200
    assert (pixels == 90).all(), "the images that were given stay as they are"
    assert 0.01 < where.mean() < 0.03 and where[0, 0]
