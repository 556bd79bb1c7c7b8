import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sdnet_lib.data import images
from sdnet_lib.data.cohort import complete, read_cohort
from sdnet_lib.files import InputError
from sdnet_lib.models.fucitnet import twins
from tests.models.fucitnet.small import same


class Shift(nn.Module):
    def __init__(self, by: float):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x + self.by


def simple() -> twins.Fitted:
    """G_P brightens, G_N darkens."""
    return twins.Fitted(Shift(0.5), Shift(-0.5), nn.Identity(), pd.DataFrame(), {"side": 32})


@pytest.fixture
def cohort(tmp_path) -> pd.DataFrame:
    """Three images; the second is not one."""
    gradient = np.tile(np.linspace(0.2, 0.4, 40), (60, 1))
    rows = []
    for name, label in (("a/1", "N"), ("b", "P"), ("c", "P")):
        file = tmp_path / "in" / f"{name[0]}.png"
        images.write_gray(file, gradient + 0.2 * (label == "P"))
        rows.append(
            {"image_id": name, "file": str(file), "label": label, "severity": "Mild" * (label == "P")}
        )
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    return complete(pd.DataFrame(rows), "test")


def test_twins_come_plus_first_clamped_and_in_half_precision():
    pixels = np.array([0, 102, 255], np.uint8)[:, None, None] * np.ones((1, 5, 5), np.uint8)
    made = twins.transform(simple(), pixels, batch=2)
    assert made.shape == (3, 2, 3, 5, 5) and made.dtype == np.float16
    assert np.allclose(made[..., 0, 0, 0], [[0.5, 0], [0.9, 0], [1, 0.5]], atol=1e-3)
    assert twins.transform(simple(), pixels[:0]).shape == (0, 2, 3, 5, 5)


def test_saved_networks_come_back_the_same(data, fitted, tmp_path):
    twins.save(fitted, tmp_path / "new" / "fit.safetensors")
    loaded = twins.load(tmp_path / "new" / "fit.safetensors")
    assert same(fitted, loaded) and loaded.origin == fitted.origin and loaded.history.equals(fitted.history)
    assert np.array_equal(twins.transform(fitted, data[0]), twins.transform(loaded, data[0]))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["fit.safetensors"]


def test_a_damaged_file_is_named(fitted, tmp_path):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("gone", "cut", "other", "few")}
    twins.save(fitted, files["cut"])
    few = {name: t for name, t in load_file(files["cut"]).items() if "block7" not in name}
    save_file(
        few,
        files["few"],
        {"origin": '{"backbone": "small", "way": "paper"}', "history": "[]"},
    )
    files["cut"].write_bytes(files["cut"].read_bytes()[:9_000])
    save_file({"a": torch.zeros(1)}, files["other"])
    for name, file in files.items():
        with pytest.raises(
            InputError, match=rf"{name}\.safetensors: not the networks of FuCiTNet, or damaged"
        ):
            twins.load(file)


def test_written_twins_are_a_cohort_of_four_classes(cohort, tmp_path):
    with pytest.raises(InputError, match=r"1 of 3 images have no twins, all others do: .*b\.png"):
        twins.write(simple(), cohort, tmp_path / "out")
    table = read_cohort(tmp_path / "out")
    assert list(table["image_id"]) == ["a/1+", "a/1-", "c+", "c-"]
    assert list(table["label4"]) == ["N+", "N-", "P+", "P-"] and list(table["label"]) == ["N", "N", "P", "P"]
    bright = images.read_gray(table["file"][2])
    assert bright.shape == (32, 32) and bright.min() > 0.85
    assert (tmp_path / "out" / "origin.json").read_text() == '{\n "side": 32\n}\n'
    assert not [file for file in tmp_path.rglob("*") if file.name.endswith(".part")]


def test_twins_never_land_among_their_images(cohort, tmp_path):
    with pytest.raises(InputError, match="could be overwritten"):
        twins.write(simple(), cohort, tmp_path / "in")
