"""What the library computes, written down: ``python -m tests.golden.record [FOLDER [PART...]]``.

`test_golden.py` calls this and compares the result with the folder `stored`, which is the default FOLDER.
Write `stored` anew only in a commit that means to change a number, and say there which number and why.

Its pictures are drawn by `sdnet phantom` and show nobody; two are JPEG, because a site of the biased cohort
writes JPEG.

Everything goes through the command line, so that a module can move without a change here; only Grad-CAM needs
the library. ``covid-caps-published`` and ``covid-caps-retrained`` are left out: their authors' weights do not
come with the course (`tests/models/baselines/test_covidcaps_weights.py` checks how they are read).
"""

import os

# Before torch and numpy are imported: with the instructions that all x86 processors since 2013 have, and with
# MKL's path that is the same for all makers, they round alike and sum in the same order. With whatever each
# processor has, rounding grows during training to 1e-2 of a probability.
os.environ |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
os.environ |= {"OPENBLAS_CORETYPE": "Haswell"}
os.environ |= {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"}

import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

import sdnet_lib
from sdnet_lib.cli.main import app
from tests.evaluation.made_predictions import write

STORED = Path(__file__).parent / "stored"
RUNS = Path(sdnet_lib.__file__).parent / "results" / "runs"
MODELS = ("synthetic", "biased-demo")
FORMATS = ("text", "markdown", "csv", "latex")
# One epoch for all, and five, with early stopping and a choice of lambda, for the paper's own systems. Of the
# large ones, and after five epochs, no tensors.
QUICK = ("resnet50", "resnet50-crop", "fucitnet", "covid-sdnet")
SMOKE = ("covidnet-b", "covidnet-c", "covid-caps", "darkcovidnet", "deepcovidexplainer", "mobilenet")
LARGE = ("covidnet", "covidnet-balanced", "covidnet-small", "covidnet-large", "bayesian-resnet50v2")
GROUPS = (
    ("quick", QUICK),
    ("smoke", (*QUICK, *SMOKE), "--keep-models"),
    ("smoke", LARGE),
)


def sdnet(*arguments: object) -> str:
    """Run a command in this process and return what it prints."""
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def phantoms() -> None:
    """Images, lung masks, lesion masks and cohort.csv of both synthetic cohorts."""
    sdnet("phantom", "--n", 4, "--seed", 3, "--size", 128, "-o", "phantoms/homogeneous")
    sdnet("phantom", "--n", 4, "--seed", 3, "--size", 128, "--biased", "-o", "phantoms/biased")


def crops() -> None:
    """Crops, predicted lung masks and boxes.csv of these phantoms."""
    for name in ("homogeneous", "biased"):
        sdnet("crop", f"phantoms/{name}", "--masks", "-o", f"crops/{name}")


def predict() -> None:
    """predictions.csv of both shipped models, and the pixel sizes of the panels."""
    films = [f"phantoms/{name}/images" for name in ("homogeneous", "biased")]
    for model in MODELS:
        out = Path("predict") / model
        said = sdnet("predict", *films, "--model", model, "-o", out)
        (out / "said.txt").write_text(said)
        panels = sorted(out.glob("*.png"))
        sizes = [Image.open(panel).size for panel in panels]
        for panel in panels:
            panel.unlink()
        names = [panel.name for panel in panels]
        pd.DataFrame(sizes, names, ["width", "height"]).to_csv(out / "panels.csv", index_label="panel")


def grad_cam() -> None:
    """Why N and why P: the maps of one film by each shipped model."""
    from sdnet_lib.explain import saliency
    from sdnet_lib.studies import model_file

    film = Image.open(next(Path("crops/homogeneous/images").glob("*1.png"))).convert("L")
    Path("grad_cam").mkdir()
    maps = {}
    for name in MODELS:
        model = model_file.read(name)
        pixels = np.array(film.resize((model.image_size, model.image_size)))[None]
        maps[name] = saliency.pair(model.predictor, pixels)
    np.savez_compressed("grad_cam/maps.npz", **maps)


def tables() -> None:
    """Every stored study in all formats; one of them with the paper's numbers and per fold too."""
    Path("tables").mkdir()
    with tempfile.TemporaryDirectory() as unpacked:
        for card in sorted(RUNS.glob("*.json")):
            study = Path(unpacked) / card.stem
            write(pd.read_parquet(RUNS / f"{card.stem}.parquet"), study)
            for other in RUNS.glob(f"{card.stem}-on-*.parquet"):
                write(pd.read_parquet(other), study / other.stem.removeprefix(f"{card.stem}-"))
            for form in FORMATS:
                sdnet("tables", study, "--format", form, "-o", f"tables/{card.stem}.{form}")
        sdnet("tables", f"{unpacked}/phantom", "--paper", "--per", "fold", "-o", "tables/phantom-paper.text")


def runs() -> None:
    """Predictions of all approaches, and the size of each tensor of the first model of each.

    A network that has trained so little may give all images the same answer; its tensors tell more.
    """
    Path("runs").mkdir()
    Path("runs/approaches.txt").write_text(sdnet("approaches", "--profile", "full"))
    predictions, tensors = [], []
    with tempfile.TemporaryDirectory() as folder:
        sdnet("phantom", "--n", 40, "--seed", 1, "--size", 64, "-o", f"{folder}/films")
        for profile, names, *more in GROUPS:
            sizes = ("--profile", profile, "--folds", 2, "--side", 32, "--jobs", 1)
            chosen = ("--approach", ",".join(names), *sizes, *more)
            sdnet("cv", f"{folder}/films", *chosen, "-o", f"{folder}/{profile}")
        for file in sorted(Path(folder).glob("*/*/r0f?.parquet")):
            predictions.append(pd.read_parquet(file).assign(profile=file.parent.parent.name))
        for file in sorted(Path(folder).glob("*/*/r0f0.safetensors")):
            for name, tensor in load_file(file).items():
                row = {"approach": file.parent.name, "tensor": name, "shape": str(tensor.shape)}
                tensors.append(row | {"rms": np.sqrt(np.square(tensor, dtype=np.float64).mean())})
    pd.concat(predictions, ignore_index=True).to_parquet("runs/predictions.parquet", index=False)
    pd.DataFrame(tensors).to_parquet("runs/tensors.parquet", index=False)


PARTS = {part.__name__: part for part in (phantoms, crops, predict, grad_cam, tables, runs)}


def main(folder: Path, parts: Iterable[str] = PARTS) -> None:
    """Write parts into a folder, what was there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SDNET_CACHE"] = cache
        for part in parts:
            PARTS[part]()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else STORED, sys.argv[2:] or PARTS)
