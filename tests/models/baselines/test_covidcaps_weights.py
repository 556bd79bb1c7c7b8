from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import covidcaps_weights
from sdnet_lib.models.baselines.covidcaps_network import CovidCaps

REAL = Path(__file__).parents[4] / "shared" / "data" / "covidcaps"
# What an independent implementation in double precision says to `pattern` of that size.
VECTORS = {
    "weights-improvement-binary-86": {
        32: (0.187447, 0.167789),
        64: (0.184489, 0.170625),
        224: (0.179776, 0.175703),
    },
    "weights-improvement-binary-after-44": {
        32: (0.004499, 0.015307),
        64: (0.707083, 0.426829),
        224: (0.880206, 0.606935),
    },
    "pre-train": {
        32: (0.016156, 0.011085, 0.068886, 0.010749, 0.005674),
        64: (0.021945, 0.061873, 0.857618, 0.120322, 0.277540),
        224: (0.042323, 0.141772, 0.894692, 0.190044, 0.414422),
    },
}
SHAPES = {
    "conv2d/conv2d/kernel:0": (3, 3, 3, 64),
    "conv2d/conv2d/bias:0": (64,),
    **{
        f"batch_normalization/batch_normalization/{name}:0": (64,)
        for name in ("gamma", "beta", "moving_mean")
    },
    "batch_normalization/batch_normalization/moving_variance:0": (64,),
    "conv2d_1/conv2d_1/kernel:0": (3, 3, 64, 64),
    "conv2d_1/conv2d_1/bias:0": (64,),
    "conv2d_2/conv2d_2/kernel:0": (3, 3, 64, 128),
    "conv2d_2/conv2d_2/bias:0": (128,),
    "conv2d_3/conv2d_3/kernel:0": (3, 3, 128, 128),
    "conv2d_3/conv2d_3/bias:0": (128,),
    "capsule/capsule/capsule_kernel:0": (1, 128, 256),
    "capsule_1/capsule_1/capsule_kernel:0": (1, 8, 256),
    "capsule_2/capsule_2/capsule_kernel:0": (1, 8, 32),
}
LAST = "capsule_2/capsule_2/capsule_kernel:0"


def write(file: Path, prefix="model_weights/", **changes) -> dict[str, np.ndarray]:
    """Write random weights in Keras's layout; `changes` replaces shapes, None leaves a tensor out."""
    rng = np.random.default_rng(0)
    shapes = SHAPES | {name.replace("__", "/") + ":0": shape for name, shape in changes.items()}
    arrays = {
        name: rng.uniform(0.1, 1, shape).astype("f") for name, shape in shapes.items() if shape is not None
    }
    with h5py.File(file, "w") as content:
        for name, array in arrays.items():
            content[prefix + name] = array
        content.require_group(prefix + "input_1")
    return arrays


def pattern(image_size: int) -> torch.Tensor:
    row, column, channel = np.ogrid[:image_size, :image_size, :3]
    image = ((7 * row + 13 * column + 29 * channel) % 256) / 255
    return torch.from_numpy(image).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize("prefix", ["", "model_weights/"])
def test_each_tensor_finds_its_place(tmp_path, prefix):
    arrays = write(tmp_path / "weights.h5", prefix)
    network = covidcaps_weights.load(tmp_path / "weights.h5")
    assert network.weights == "weights" and network.last.kernel.shape == (8, 2, 16)
    kernel = arrays["conv2d_2/conv2d_2/kernel:0"]
    assert network.features[6].weight[5, 7, 0, 2].item() == kernel[0, 2, 7, 5]
    assert network.first.kernel[9, 3, 4].item() == arrays["capsule/capsule/capsule_kernel:0"][0, 9, 3 * 8 + 4]
    for theirs, ours in (("gamma", "weight"), ("beta", "bias"), ("moving_variance", "running_var")):
        array = arrays[f"batch_normalization/batch_normalization/{theirs}:0"]
        assert np.array_equal(getattr(network.features[2], ours).detach(), array)


def test_the_fine_tuned_file_s_last_layer_has_another_name(tmp_path):
    arrays = write(
        tmp_path / "after.h5",
        capsule_2__capsule_2__capsule_kernel=None,
        capsule_3__capsule_3__capsule_kernel=(1, 8, 32),
    )
    state = covidcaps_weights.read_keras(tmp_path / "after.h5")
    found = arrays["capsule_3/capsule_3/capsule_kernel:0"]
    assert np.array_equal(state["last.kernel"].reshape(1, 8, 32), found)


def test_five_classes_are_replaced_by_two(tmp_path):
    write(tmp_path / "pre.h5", "", capsule_2__capsule_2__capsule_kernel=(1, 8, 80))
    five = covidcaps_weights.load(tmp_path / "pre.h5", 5)
    two = covidcaps_weights.load(tmp_path / "pre.h5")
    assert (five.last.kernel.shape, two.last.kernel.shape) == ((8, 5, 16), (8, 2, 16))
    assert torch.equal(five.first.kernel, two.first.kernel)


def test_what_is_converted_can_be_loaded(tmp_path):
    write(tmp_path / "a.h5")
    output = tmp_path / "new" / "a.safetensors"
    state = covidcaps_weights.convert(tmp_path / "a.h5", output)
    assert state["last.kernel"].shape[1] == 2
    direct, converted = (covidcaps_weights.load(file).state_dict() for file in (tmp_path / "a.h5", output))
    assert all(torch.equal(direct[name], converted[name]) for name in direct)


def test_a_file_that_is_missing_is_named_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"gone\.h5: no such file"):
        covidcaps_weights.convert(tmp_path / "gone.h5", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv2d_1__conv2d_1__bias": None}, "no tensor conv2d_1/conv2d_1/bias:0"),
        ({"capsule_2__capsule_2__capsule_kernel": None}, "no tensor capsule_2/capsule_2/capsule_kernel:0"),
        ({"conv2d__conv2d__kernel": (5, 5, 3, 64)}, r"features.0.weight has shape \(64, 3, 5, 5\)"),
        ({"conv2d__conv2d__kernel": (3, 64)}, r"features.0.weight has shape \(3, 64\)"),
        ({"capsule__capsule__capsule_kernel": (1, 64, 256)}, r"first.kernel has shape \(1, 64, 256\)"),
        ({"capsule_2__capsule_2__capsule_kernel": (1, 8, 33)}, r"last.kernel has shape \(1, 8, 33\)"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path, changes, message):
    write(tmp_path / "other.h5", **changes)
    with pytest.raises(InputError, match=rf"other\.h5: .*{message}"):
        covidcaps_weights.read_keras(tmp_path / "other.h5")


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_not_hdf5_is_refused(tmp_path, content):
    (tmp_path / "bad.h5").write_bytes(content)
    with pytest.raises(InputError, match="not an HDF5 file, or a damaged one"):
        covidcaps_weights.read_keras(tmp_path / "bad.h5")


def test_a_group_in_place_of_a_tensor_is_refused(tmp_path):
    write(tmp_path / "odd.h5", conv2d__conv2d__bias=None)
    with h5py.File(tmp_path / "odd.h5", "a") as content:
        content.create_group("model_weights/conv2d/conv2d/bias:0")
    with pytest.raises(InputError, match="no tensor conv2d/conv2d/bias:0"):
        covidcaps_weights.read_keras(tmp_path / "odd.h5")


def test_safetensors_of_another_network_are_refused(tmp_path):
    save_file({"last.kernel": torch.zeros(8, 2, 16)}, tmp_path / "other.safetensors")
    for name in ("other", "gone"):
        with pytest.raises(InputError, match=rf"{name}\.safetensors: not converted weights"):
            covidcaps_weights.load(tmp_path / f"{name}.safetensors")


@pytest.mark.skipif(not REAL.exists(), reason="the published weights of COVID-CAPS are not at hand")
@pytest.mark.parametrize("name", VECTORS)
def test_the_published_weights_give_the_known_lengths(name):
    state = covidcaps_weights.read_keras(REAL / f"{name}.h5")
    network = CovidCaps(state["last.kernel"].shape[1]).eval()
    network.load_state_dict(state)
    for image_size, expected in VECTORS[name].items():
        with torch.no_grad():
            assert network(pattern(image_size))[0].tolist() == pytest.approx(expected, abs=1e-4)
