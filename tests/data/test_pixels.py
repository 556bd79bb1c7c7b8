import numpy as np
import pandas as pd
import pytest

from sdnet_lib.data import decoder, images
from sdnet_lib.data.pixels import read_pixels


def test_pixels_come_in_the_cohort_s_order_and_a_changed_file_is_read_again(tmp_path):
    files = [str(tmp_path / f"{name}.png") for name in "ab"]
    gradient = np.tile(np.linspace(0, 1, 40), (60, 1))
    images.write_gray(files[0], gradient)
    images.write_gray(files[1], 1 - gradient)
    table = pd.DataFrame({"file": files})
    pixels = read_pixels(table, 20)
    assert pixels.shape == (2, 20, 20) and pixels.dtype == np.uint8
    assert pixels[0, :, 0].max() < 20 and pixels[1, :, 0].min() > 235
    assert np.array_equal(read_pixels(table[::-1], 20), pixels[::-1])
    images.write_gray(files[0], gradient.T)
    assert read_pixels(table, 20)[0, 0].max() < 20


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(images.ImageError, match=r"gone\.png"):
        read_pixels(pd.DataFrame({"file": [str(tmp_path / "gone.png")]}), 16)


@pytest.mark.parametrize("cores", [1, 2])
def test_no_more_decoders_are_started_than_there_are_cores_to_use(cores, tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", str(cores))  # as the chapters of a book set it
    monkeypatch.setattr(decoder, "_idle", [])
    for k in range(12):
        images.write_gray(tmp_path / f"{k}.png", np.linspace(0, 1, 64 * 64).reshape(64, 64))
    read_pixels(pd.DataFrame({"file": [str(tmp_path / f"{k}.png") for k in range(12)]}), 8)
    assert 1 <= len(decoder._idle) <= cores
    decoder._end_all()
