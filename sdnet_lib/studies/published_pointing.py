"""Where do networks look, on real films and on drawn ones? Stored for chapter 9 and the model card.

Class activation maps are taken from the last layer, everyone's habit. What the maps of the model `synthetic`
are worth, and those of other layers, is in its own card (`synthetic_model.pointing`).

The stored table has one row per measurement: `cohort`, `approach`, `method`, `severity` (``all`` or a level),
`value` (one of `VALUES` and `CHECKS`), `images`, `mean`, `low`, `high` (fractions, with 95 % intervals), and
`code`, a hash of the code that measured. No image is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.audit import shortcuts
from sdnet_lib.code_version import code_version
from sdnet_lib.config import cache_dir, get_profile, one_thread
from sdnet_lib.data import images
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.explain import faithfulness, layers, localisation
from sdnet_lib.lungs.crop import Box, crop_boxes
from sdnet_lib.models import registry
from sdnet_lib.models.predictors import Predictor
from sdnet_lib.studies import crossval
from sdnet_lib.studies.published import kept
from sdnet_lib.studies.study import Run

IMAGE_SIZE = 128  # of what the networks of the real cohorts see, and of all regions
METHODS = ("grad-cam", "grad-cam++", "lrp", "gradient", "integrated-gradients", *localisation.BASELINES)
APPROACHES = ("resnet50", "resnet50-crop")
COHORTS = ("shenzhen", "covidx-mini", "phantom")
COLUMNS = ("cohort", "approach", "method", "severity", "value", "images", "mean", "low", "high", "code")
VALUES = ("energy_lesions", "hit_lesions", "energy_lungs", "energy_outside")
CHECKS = (*(f"alike_{stage}" for stage in faithfulness.STAGES), *faithfulness.KINDS)
CHECKED = 32  # positives with lesions: each is predicted some hundred times


class Tested(NamedTuple):
    """A predictor, images that it has not learned from, as it sees them, and regions of the whole images."""

    predictor: Predictor
    cohort: pd.DataFrame
    pixels: np.ndarray
    regions: dict[str, np.ndarray]
    boxes: list[Box] | None


def compute(data: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    """Train, explain and measure; see `published.store` for what is returned.

    Parameters
    ----------
    data : Path
        The folder that holds the public data sets.
    """
    both = [(name, approach) for name in COHORTS for approach in APPROACHES]
    sources = {(name, approach): partial(trained, name, approach, data) for name, approach in both}
    tables = []
    for (name, approach), get in sources.items():
        found = [_kept(f"{name} {approach}", measured, get)]
        if name == "phantom":  # whose lesions are known
            found.append(_kept(f"{name} {approach} checks", checked, get))
        tables.append(pd.concat(found).assign(cohort=name, approach=approach))
    profile = get_profile("quick")
    origin = {
        "code": code_version(__name__),
        "side": IMAGE_SIZE,
        "folds": profile.folds,
        "backbone": profile.backbone,
    }
    return {"": pd.concat(tables)[list(COLUMNS)]}, origin


def _kept(name: str, look: Callable[[Tested], Iterator[pd.DataFrame]], get: Callable) -> pd.DataFrame:
    """Return what `look` says of what `get` returns, from the cache if the same code was asked before."""
    code = code_version(__name__)
    file = cache_dir() / "pointing" / f"{name}-{code}.parquet"
    return kept(file, lambda: pd.concat(look(get())).assign(code=code))


def regions(cohort: pd.DataFrame, image_size: int) -> dict[str, np.ndarray]:
    """Return lungs (true ones where the cohort has them), true lesions, and what is outside the patient."""
    known = "lung_mask" in cohort and (cohort["lung_mask"] != "").all()
    read = localisation.read_regions
    found = {
        "lungs": read(cohort, "lung_mask", image_size) if known else shortcuts.lung_masks(cohort, image_size)
    }
    if "lesion_mask" in cohort:
        found["lesions"] = read(cohort, "lesion_mask", image_size)
    whole = read_pixels(cohort, image_size)
    return found | {"outside": ~localisation.body(whole)}


def boxes_of(cohort: pd.DataFrame, image_size: int) -> list[Box]:
    """Return where the crops of a cohort's images are, on images squeezed to `image_size` x `image_size`."""
    found = []
    for file, box in zip(cohort["file"], crop_boxes(cohort), strict=True):
        lengths = images.decode(file).pixels.shape[::-1] * 2
        edges = zip(box, lengths, strict=True)
        found.append(tuple(round(edge * image_size / length) for edge, length in edges))
    return found


def trained(name: str, approach: str, data: Path) -> Tested:
    """Train an approach on one fold's training part, and return it with the fold's test part."""
    folder = cache_dir() / "pointing" / name
    study = crossval.study_of(name, folder, changes={"image_size": IMAGE_SIZE}, data=data)
    run, chosen = Run(approach, 0, 0), registry.find(approach)
    with one_thread():
        predictor, _ = chosen.fit(study.task(run))
    return _tested(predictor, *study.tested(run), chosen.crops)


def _tested(predictor: Predictor, cohort: pd.DataFrame, seen: np.ndarray, crops: bool) -> Tested:
    boxes = boxes_of(cohort, IMAGE_SIZE) if crops else None
    return Tested(predictor, cohort, seen, regions(cohort, IMAGE_SIZE), boxes)


def measured(tested: Tested) -> Iterator[pd.DataFrame]:
    """Measure why P on the positives, of all levels together and of each."""
    rows = np.flatnonzero((tested.cohort["label"] == "P").to_numpy())
    boxes = None if tested.boxes is None else [tested.boxes[row] for row in rows]
    found = localisation.table(
        tested.predictor,
        tested.cohort.iloc[rows],
        tested.pixels[rows],
        {name: region[rows] for name, region in tested.regions.items()},
        METHODS,
        layer=layers.last(tested.predictor, IMAGE_SIZE),
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
    methods = [method for method in METHODS if method not in localisation.BASELINES]
    found = faithfulness.checks(
        tested.predictor,
        tested.cohort.iloc[rows],
        tested.pixels[rows],
        methods,
        layer=layers.last(tested.predictor, IMAGE_SIZE),
    )
    yield localisation.summarise(found.assign(severity="all"), ["method", "severity"], CHECKS)
