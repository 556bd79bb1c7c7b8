"""Montgomery and Shenzhen, with lung masks."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_scripts import registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.images import ImageError, write_gray
from sdnet_lib.files import InputError
from tests.data_scripts.served import local_copy, picture


def test_montgomery_and_shenzhen_fetched(server, tmp_path):
    names = ["CHNCXR_0477_1", "CHNCXR_0605_1", "CHNCXR_0001_0", "MCUCXR_0001_0", "MCUCXR_0104_1"]
    files = {f"data/cxr/{name}.png": picture(number) for number, name in enumerate(names)}
    files |= {f"data/masks/{name}.png": picture(number + 10) for number, name in enumerate(names)}
    files["data/cxr/CHNCXR_0002_0.png"] = picture(99)  # without a mask
    server.add_repository("rochadiego/MultiResUNet-lung-segmentation", files)
    registry.get("shenzhen", tmp_path)
    shenzhen = load_cohort("shenzhen", data=tmp_path).set_index("image_id")
    assert dict(shenzhen["label"]) == {"CHNCXR_0001_0": "N", "CHNCXR_0477_1": "P", "CHNCXR_0605_1": "P"}
    assert shenzhen.loc["CHNCXR_0605_1", "patient_id"] == "CHNCXR_0477_1"
    assert all(os.path.isfile(mask) for mask in shenzhen["lung_mask"])
    montgomery = load_cohort("montgomery", data=tmp_path)
    assert set(montgomery["source"]) == {"Montgomery"} and list(montgomery["label"]) == ["N", "P"]
    assert "all images readable" in registry.check("montgomery", tmp_path)
    image = Path(montgomery["file"][0])
    image.write_bytes(picture(77))  # sound, but another
    with pytest.raises(InputError, match=f"{image.name}: damaged or replaced.*sdnet data get montgomery"):
        load_cohort("montgomery", data=tmp_path)


def test_check_reads_every_image_and_mask(tmp_path):
    rows = [
        {"image_id": f"i{n}", "finding": n % 2, "source": "Shenzhen", "mask": f"masks/i{n}.png"}
        for n in range(4)
    ]
    folder = local_copy(tmp_path, "lung_segmentation", rows)
    for number in range(4):
        write_gray(folder / "masks" / f"i{number}.png", np.eye(8))
    said = registry.check("shenzhen", tmp_path)
    assert (
        said.startswith("4 images of 4 patients: 2 N, 2 P") and "the published set has 279 N, 287 P" in said
    )
    write_gray(folder / "masks" / "i2.png", np.eye(9))
    with pytest.raises(ImageError, match="a mask of 9 x 9 pixels for an image of 8 x 8"):
        registry.check("shenzhen", tmp_path)
    (folder / "masks" / "i2.png").write_text("no picture")
    with pytest.raises(ImageError, match="a mask that cannot be read"):
        registry.check("shenzhen", tmp_path)
    (folder / "images" / "i1.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"i1\.png"):
        registry.check("shenzhen", tmp_path)
