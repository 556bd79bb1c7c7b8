"""Convert the published weights of COVID-CAPS, Keras files in HDF5, to safetensors, and load either.

``python -m sdnet_lib.models.baselines.covidcaps_weights FILE.h5 -o FILE.safetensors``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from sdnet_lib.files import InputError
from sdnet_lib.models.baselines.covidcaps import CovidCaps, network

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


def convert(file: str | Path) -> dict[str, torch.Tensor]:
    """Read a Keras file of COVID-CAPS.

    Parameters
    ----------
    file : str or Path
        ``weights-improvement-binary-86.h5``, ``weights-improvement-binary-after-44.h5``, ``pre-train.h5``, or
        one of the same layout. The number of classes is read off its last capsule layer.

    Returns
    -------
    dict of float32 tensors
        The state of a `covidcaps.CovidCaps`.

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
        Published weights, see `convert`, or what the command made of them, ``.safetensors``.
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
        As `convert`.
    """
    file, result = Path(file), network(classes)
    state = _read(file) if file.suffix == ".safetensors" else convert(file)
    if state["last.kernel"].shape[1] != classes:
        state["last.kernel"] = result.last.kernel.detach()
    result.load_state_dict(state)
    result.weights = file.stem
    return result


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        state = load_file(file)
        CovidCaps(state["last.kernel"].shape[1]).load_state_dict(state)
    except Exception as error:  # no such file, not a safetensors file, other tensors: each says so in its way
        raise InputError(f"{file}: not converted weights of COVID-CAPS") from error
    return state


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert a file; what is wrong with it is said in one line."""
    parser = argparse.ArgumentParser(
        prog="python -m sdnet_lib.models.baselines.covidcaps_weights",
        description="Convert weights of COVID-CAPS.",
    )
    parser.add_argument("file", type=Path, help="published weights, .h5")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write, .safetensors")
    options = parser.parse_args(arguments)
    try:
        state = convert(options.file)
    except InputError as error:
        sys.exit(f"covidcaps_weights: {error}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, options.output)
    print(f"{options.output}: COVID-CAPS with {state['last.kernel'].shape[1]} classes")


if __name__ == "__main__":
    main()
