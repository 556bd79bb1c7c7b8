"""Where do networks look, on real films and on drawn ones? ``python -m sdnet_lib.studies.published_pointing --data DIR``.

The numbers are stored in `results/pointing.csv`, for chapter 7 and the model card; no image is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_scripts.registry import load_cohort
from sdnet_lib.audit import shortcuts
from sdnet_lib.config import cache_dir, get_profile
from sdnet_lib.explain import faithfulness, localisation
from sdnet_lib.files import code_hash, write_json, write_text
from sdnet_lib.lungs.crop import Box
from sdnet_lib.models.predictors import Predictor, Single
from sdnet_lib.models.registry import find
from sdnet_lib.models.task import Task
from sdnet_lib.studies import crossval, model_file

RESULTS = Path(__file__).parents[1] / "results"
IMAGE_SIZE = 128  # of what the networks of the real cohorts see, and of all regions
METHODS = ("grad-cam", "grad-cam++", "lrp", "gradient", "integrated-gradients", *localisation.BASELINES)
# Integrated gradients pass through the generators sixteen times there and back: too dear for two cores.
THROUGH_GENERATORS = tuple(method for method in METHODS if method != "integrated-gradients")
APPROACHES = ("resnet50", "resnet50-crop")
COHORTS = ("shenzhen", "covidx-mini", "phantom")
FRESH = 1000  # seed of drawn patients whom no model has seen
COLUMNS = ("cohort", "approach", "method", "severity", "value", "images", "mean", "low", "high", "code")
VALUES = ("energy_lesions", "hit_lesions", "energy_lungs", "energy_outside")
CHECKS = (*(f"alike_{stage}" for stage in faithfulness.STAGES), *faithfulness.KINDS)
CHECKED = 32  # positives with lesions: each is predicted some hundred times


class Tested(NamedTuple):
    """A reader and images that it has not learned from, as it sees them, with the whole images' regions."""

    predictor: Predictor
    cohort: pd.DataFrame
    pixels: np.ndarray
    regions: dict[str, np.ndarray]
    boxes: list[Box] | None


def load() -> tuple[pd.DataFrame, dict]:
    """Return the stored table and where it comes from.

    Returns
    -------
    DataFrame
        `cohort`, `approach`, `method`, `severity` (``all`` or a level), `value` (one of `VALUES` and
        `CHECKS`), `images`, `mean`, `low`, `high`: shares, with 95 % intervals; `code`: a hash of the code
        that measured.
    dict
    """
    return _read(RESULTS / "pointing.csv"), json.loads((RESULTS / "pointing.json").read_text())


def regions(cohort: pd.DataFrame, image_size: int) -> dict[str, np.ndarray]:
    """Return lungs (true ones where the cohort has them), true lesions, and what is outside the patient."""
    known = "lung_mask" in cohort and (cohort["lung_mask"] != "").all()
    read = localisation.read_regions
    found = {
        "lungs": read(cohort, "lung_mask", image_size) if known else shortcuts.lung_masks(cohort, image_size)
    }
    if "lesion_mask" in cohort:
        found["lesions"] = read(cohort, "lesion_mask", image_size)
    pixels = find("resnet50").read(cohort, image_size)
    return found | {"outside": ~localisation.body(pixels)}


def boxes_of(cohort: pd.DataFrame, image_size: int) -> list[Box]:
    """Return where the crops of a cohort's images are, on images squeezed to `image_size` x `image_size`."""
    from PIL import Image

    found = []
    for file, box in zip(cohort["file"], crossval.boxes(cohort), strict=True):
        with Image.open(file) as image:
            lengths = image.size * 2
        found.append(
            tuple(round(edge * image_size / length) for edge, length in zip(box, lengths, strict=True))
        )
    return found


def trained(name: str, approach: str, data: Path | None) -> Tested:
    """Train an approach on one fold's training part, and return it with the fold's test part."""
    profile = dataclasses.replace(get_profile("quick"), image_size=IMAGE_SIZE)
    asked = crossval.study_of(
        name, cache_dir() / "pointing" / name, changes={"image_size": IMAGE_SIZE}, data=data
    )
    part, chosen = crossval.parts(asked)[0, 0], find(approach)
    seen = np.concatenate([part.train, part.valid])
    pixels = crossval.pixels_of(asked.cohort, chosen, IMAGE_SIZE)
    task = Task(
        cohort=asked.cohort.iloc[seen].reset_index(drop=True),
        pixels=pixels[seen],
        train=np.arange(len(part.train)),
        valid=np.arange(len(part.train), len(seen)),
        profile=profile,
        seed=0,
        shared=asked.folder / "r0f0",
        data=data,
    )
    with crossval.one_thread():
        predictor, _ = chosen.fit(task)
    tested = asked.cohort.iloc[part.test].reset_index(drop=True)
    boxes = boxes_of(tested, IMAGE_SIZE) if chosen.crops else None
    return Tested(predictor, tested, pixels[part.test], regions(tested, IMAGE_SIZE), boxes)


def shipped(name: str) -> Tested:
    """Return a model of the package with freshly drawn patients, as it sees them."""
    model = model_file.read(name)
    cohort = load_cohort("phantom", profile="quick", seed=FRESH)
    pixels = crossval.pixels_of(cohort, model.approach, model.image_size)
    boxes = boxes_of(cohort, IMAGE_SIZE) if model.approach.crops else None
    return Tested(model.predictor, cohort, pixels, regions(cohort, IMAGE_SIZE), boxes)


def measured(tested: Tested) -> Iterator[pd.DataFrame]:
    """Measure why P on the positives, of all levels together and of each."""
    rows = np.flatnonzero((tested.cohort["label"] == "P").to_numpy())
    boxes = None if tested.boxes is None else [tested.boxes[row] for row in rows]
    found = localisation.table(
        tested.predictor,
        tested.cohort.iloc[rows],
        tested.pixels[rows],
        {name: region[rows] for name, region in tested.regions.items()},
        _methods(tested.predictor),
        boxes=boxes,
    )
    values = [value for value in VALUES if value in found]
    yield localisation.summarise(found.assign(severity="all"), ["method", "severity"], values)
    levels = found[found["severity"] != ""]
    if len(levels):
        yield localisation.summarise(levels, ["method", "severity"], values)


def checked(tested: Tested) -> Iterator[pd.DataFrame]:
    """Check why P on a few positives that have lesions."""
    rows = np.flatnonzero(tested.regions["lesions"].any((1, 2)))[:CHECKED]
    methods = [method for method in _methods(tested.predictor) if method not in localisation.BASELINES]
    found = faithfulness.checks(tested.predictor, tested.cohort.iloc[rows], tested.pixels[rows], methods)
    yield localisation.summarise(found.assign(severity="all"), ["method", "severity"], CHECKS)


def _methods(predictor: Predictor) -> Sequence[str]:
    return METHODS if isinstance(predictor, Single) else THROUGH_GENERATORS


def _kept(name: str, look: Callable, make: Callable[..., Tested], *given: object) -> pd.DataFrame:
    """Return what `look` says, from the cache if it was asked before; `code` says by which code."""
    file = cache_dir() / "pointing" / f"{name}.csv"
    if not file.exists():
        table = pd.concat(look(make(*given))).assign(code=code_hash())
        write_text(file, table.to_csv(index=False))
    return _read(file)


def _read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, keep_default_na=False, na_values=["nan", ""], dtype={"code": str})


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, explain and measure; write the table and its origin."""
    parser = argparse.ArgumentParser(
        prog="python -m sdnet_lib.studies.published_pointing", description=main.__doc__
    )
    parser.add_argument("--data", required=True, type=Path, help="folder that holds the public data sets")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write")
    given = parser.parse_args(arguments)
    both = [(name, approach) for name in COHORTS for approach in APPROACHES]
    jobs = {(name, approach): (trained, name, approach, given.data) for name, approach in both}
    jobs["phantom", f"model {model_file.DEFAULT}"] = (shipped, model_file.DEFAULT)
    parts = []
    for (name, approach), job in jobs.items():
        found = [_kept(f"{name} {approach}", measured, *job)]
        if name == "phantom":  # whose lesions are known
            found.append(_kept(f"{name} {approach} checks", checked, *job))
        parts.append(pd.concat(found).assign(cohort=name, approach=approach))
    table = pd.concat(parts)[list(COLUMNS)]
    origin = {
        "command": "python -m sdnet_lib.studies.published_pointing --data DIR",
        "side": IMAGE_SIZE,
        "folds": get_profile("quick").folds,
        "backbone": get_profile("quick").backbone,
        "fresh_seed": FRESH,
    }
    write_text(given.out / "pointing.csv", table.to_csv(index=False, float_format="%.4f"))
    write_json(given.out / "pointing.json", origin)


if __name__ == "__main__":
    main()
