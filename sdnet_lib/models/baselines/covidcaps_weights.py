"""Convert the published weights of COVID-CAPS, Keras files in HDF5, to safetensors, and load either."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import load_file

from sdnet_lib.checksums import check_stamp, write_tensors
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.covidcaps_network import CovidCaps

PUBLISHED = "weights-improvement-binary-86.h5"  # trained on COVIDx alone, the start that is recommended

# From the layers of the Keras file to the modules of ours.
_CONVOLUTIONS = {"conv2d": 0, "conv2d_1": 3, "conv2d_2": 6, "conv2d_3": 8}
_NORMALISATION = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_LAST = ("capsule_3", "capsule_2")  # fine-tuning replaced capsule_2 by capsule_3
_LAST_SIZE = 16  # dimensions of a capsule of a class


def convert(file: str | Path, out: str | Path) -> dict[str, torch.Tensor]:
    """Write the weights of a Keras file as safetensors, whole or not at all.

    Parameters
    ----------
    file : str or Path
        See `read_keras`.
    out : str or Path
        File to write; its folder is made if need be.

    Returns
    -------
    dict of float32 tensors
        What is in it.

    Raises
    ------
    InputError
        As `read_keras`.
    """
    state = read_keras(file)
    write_tensors(out, state, {})
    return state


def read_keras(file: str | Path) -> dict[str, torch.Tensor]:
    """Read a Keras file of COVID-CAPS.

    Parameters
    ----------
    file : str or Path
        ``weights-improvement-binary-86.h5``, ``weights-improvement-binary-after-44.h5``, ``pre-train.h5``, or
        one of the same layout. The number of classes is read off its last capsule layer.

    Returns
    -------
    dict of float32 tensors
        The state of a `covidcaps_network.CovidCaps`.

    Raises
    ------
    InputError
        If there is no such file, it is not HDF5, or a tensor is missing or of another shape.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        with h5py.File(file) as content:
            return _convert(file, content)
    except OSError as error:
        raise InputError(f"{file}: not an HDF5 file, or a damaged one") from error


def _convert(file: Path, content: h5py.File) -> dict[str, torch.Tensor]:
    layers = content.get("model_weights", content)

    def read(layer: str, tensor: str) -> np.ndarray:
        name = f"{layer}/{layer}/{tensor}:0"
        try:
            return layers[name][()]
        except (KeyError, TypeError, AttributeError) as error:  # nothing there, or a group of tensors
            raise InputError(f"{file}: no tensor {name}, so not weights of COVID-CAPS") from error

    last = next((layer for layer in _LAST if layer in layers), _LAST[-1])
    found = {}
    for layer, number in _CONVOLUTIONS.items():
        kernel = read(layer, "kernel")
        found[f"features.{number}.weight"] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel
        found[f"features.{number}.bias"] = read(layer, "bias")
    for theirs, ours in _NORMALISATION.items():
        found[f"features.2.{ours}"] = read("batch_normalization", theirs)
    for module, layer in (("first", "capsule"), ("second", "capsule_1"), ("last", last)):
        found[f"{module}.kernel"] = read(layer, "capsule_kernel")
    return _check(file, found)


def _check(file: Path, found: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Bring each tensor to the shape that the network has, or say which one does not fit."""
    classes = max(1, found["last.kernel"].size // (8 * _LAST_SIZE))
    state = CovidCaps(classes).state_dict()  # its counter of batches is not in the file
    for name, array in found.items():
        shape = tuple(state[name].shape)
        flat = (1, shape[0], shape[1] * shape[2]) if name.endswith("kernel") else shape
        if array.shape != flat:
            raise InputError(f"{file}: tensor for {name} has shape {array.shape}, COVID-CAPS needs {flat}")
        state[name] = torch.from_numpy(np.ascontiguousarray(array, np.float32)).reshape(shape)
    return state


def load(file: str | Path, classes: int = 2) -> CovidCaps:
    """Return a COVID-CAPS with weights from a file.

    Parameters
    ----------
    file : str or Path
        Published weights, see `read_keras`, or what `convert` made of them, ``.safetensors``.
    classes : int
        If the file has another number of them, as the pre-trained network has five, the last capsules start
        at random, as when the authors fine-tune it.

    Returns
    -------
    CovidCaps
        Its `weights` is the stem of the file's name.

    Raises
    ------
    InputError
        As `read_keras`.
    """
    file, result = Path(file), CovidCaps(classes)
    state = _read(file) if file.suffix == ".safetensors" else read_keras(file)
    if state["last.kernel"].shape[1] != classes:
        state["last.kernel"] = result.last.kernel.detach()
    result.load_state_dict(state)
    result.weights = file.stem
    return result


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        check_stamp(file)
        state = load_file(file)
        CovidCaps(state["last.kernel"].shape[1]).load_state_dict(state)
    except Exception as error:  # no such file, not a safetensors file, or other tensors
        raise InputError(f"{file}: not converted weights of COVID-CAPS") from error
    return state
