"""Where do networks look, on real films and on drawn ones? Stored for chapter 7 and the model card.

The stored table has one row per measurement: `cohort`, `approach`, `method`, `severity` (``all`` or a level),
`value` (one of `VALUES` and `CHECKS`), `images`, `mean`, `low`, `high` (fractions, with 95 % intervals), and
`code`, a hash of the code that measured. No image is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from data_scripts.registry import load_cohort
from sdnet_lib.audit import shortcuts
from sdnet_lib.config import cache_dir, get_profile
from sdnet_lib.explain import faithfulness, localisation
from sdnet_lib.files import code_hash
from sdnet_lib.lungs.crop import Box, crop_boxes
from sdnet_lib.models import registry
from sdnet_lib.models.predictors import Predictor, Single
from sdnet_lib.studies import crossval, model_file
from sdnet_lib.studies.published import kept
from sdnet_lib.studies.study import Run, pixels

IMAGE_SIZE = 128  # of what the networks of the real cohorts see, and of all regions
METHODS = ("grad-cam", "grad-cam++", "lrp", "gradient", "integrated-gradients", *localisation.BASELINES)
# Integrated gradients pass through the generators sixteen times there and back: too slow for two cores.
THROUGH_GENERATORS = tuple(method for method in METHODS if method != "integrated-gradients")
APPROACHES = ("resnet50", "resnet50-crop")
COHORTS = ("shenzhen", "covidx-mini", "phantom")
UNSEEN = 1000  # seed of drawn patients whom no model has seen
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
    sources["phantom", f"model {model_file.DEFAULT}"] = partial(shipped, model_file.DEFAULT)
    tables = []
    for (name, approach), get in sources.items():
        found = [_kept(f"{name} {approach}", measured, get)]
        if name == "phantom":  # whose lesions are known
            found.append(_kept(f"{name} {approach} checks", checked, get))
        tables.append(pd.concat(found).assign(cohort=name, approach=approach))
    profile = get_profile("quick")
    origin = {
        "side": IMAGE_SIZE,
        "folds": profile.folds,
        "backbone": profile.backbone,
        "fresh_seed": UNSEEN,
    }
    return {"": pd.concat(tables)[list(COLUMNS)]}, origin


def _kept(name: str, look: Callable[[Tested], Iterator[pd.DataFrame]], get: Callable) -> pd.DataFrame:
    """Return what `look` says of what `get` returns, from the cache if it was asked before."""
    file = cache_dir() / "pointing" / f"{name}.joblib"
    return kept(file, lambda: pd.concat(look(get())).assign(code=code_hash()))


def regions(cohort: pd.DataFrame, image_size: int) -> dict[str, np.ndarray]:
    """Return lungs (true ones where the cohort has them), true lesions, and what is outside the patient."""
    known = "lung_mask" in cohort and (cohort["lung_mask"] != "").all()
    read = localisation.read_regions
    found = {
        "lungs": read(cohort, "lung_mask", image_size) if known else shortcuts.lung_masks(cohort, image_size)
    }
    if "lesion_mask" in cohort:
        found["lesions"] = read(cohort, "lesion_mask", image_size)
    whole = registry.find("resnet50").read(cohort, image_size)
    return found | {"outside": ~localisation.body(whole)}


def boxes_of(cohort: pd.DataFrame, image_size: int) -> list[Box]:
    """Return where the crops of a cohort's images are, on images squeezed to `image_size` x `image_size`."""
    found = []
    for file, box in zip(cohort["file"], crop_boxes(cohort), strict=True):
        with Image.open(file) as image:
            lengths = image.size * 2
        edges = zip(box, lengths, strict=True)
        found.append(tuple(round(edge * image_size / length) for edge, length in edges))
    return found


def trained(name: str, approach: str, data: Path) -> Tested:
    """Train an approach on one fold's training part, and return it with the fold's test part."""
    folder = cache_dir() / "pointing" / name
    study = crossval.study_of(name, folder, changes={"image_size": IMAGE_SIZE}, data=data)
    run, chosen = Run(approach, 0, 0), registry.find(approach)
    with crossval.one_thread():
        predictor, _ = chosen.fit(study.task(run))
    return _tested(predictor, *study.tested(run), chosen.crops)


def shipped(name: str) -> Tested:
    """Return a model of the package with freshly drawn patients, as it sees them."""
    model = model_file.read(name)
    cohort = load_cohort("phantom", profile="quick", seed=UNSEEN)
    seen = pixels(cohort, model.approach, model.image_size)
    return _tested(model.predictor, cohort, seen, model.approach.crops)


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
