"""Do the maps point where the disease is? Measures of explanations, each image by image and with intervals.

A map that looks right may still be wrong: here it must hit lesions that are known, stay inside the patient,
die with the weights of its network, and name the pixels that the answer hangs on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from fastai.torch_core import no_random
from scipy import ndimage, stats
from torch import nn

from sdnet_lib.data import images
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.evaluation import bootstrap
from sdnet_lib.explain import saliency
from sdnet_lib.explain.uncertainty import probabilities
from sdnet_lib.files import InputError
from sdnet_lib.lungs import crop
from sdnet_lib.models.predictors import Predictor

KINDS = ("deletion", "insertion")
STEPS = 10  # of a deletion or insertion curve
BLUR = 1 / 8  # of the side: what a deleted pixel shows instead
DARK = 0.1  # of the brightest: what is darker everywhere around is air
BASELINES = ("uniform", "edges")  # maps that know no model
# shares of the layers that forget, from the last backwards
STAGES = {"last": 0.01, "third": 0.33, "all": 1.0}
RANDOM = "random order"  # of pixels, which deletion and insertion have to beat


def measure(maps: np.ndarray, regions: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Say of each map where its weight and its peak are.

    Parameters
    ----------
    maps : float array, (n, image_size, image_size)
        At least zero.
    regions : dict of str to bool array, (n, image_size, image_size)
        Lesions, lungs and so on.

    Returns
    -------
    DataFrame
        A row a map; `energy_R`, the share of the map's sum inside region R, and `hit_R`, 1 if its highest
        pixel is there and 0 if not (the pointing game of Zhang et al., ECCV 2016, without tolerance); of
        several highest pixels, the share that is there. NaN where a map is zero or the image has no such
        region.
    """
    flat = maps.reshape(len(maps), -1).astype(float)
    total, highest = flat.sum(1), flat == flat.max(1, keepdims=True)
    rows = {}
    for name, region in regions.items():
        inside = region.reshape(len(maps), -1)
        known = (total > 0) & inside.any(1)
        share = np.divide((flat * inside).sum(1), total, where=total > 0, out=np.zeros(len(maps)))
        rows[f"energy_{name}"] = np.where(known, share, np.nan)
        hits = (highest & inside).sum(1) / highest.sum(1)
        rows[f"hit_{name}"] = np.where(known, hits, np.nan)
    return pd.DataFrame(rows)


def summarise(
    table: pd.DataFrame, by: Sequence[str], values: Sequence[str], patients: str = "patient_id", seed: int = 0
) -> pd.DataFrame:
    """Return means with 95 % intervals from samples of patients, drawn with replacement.

    Parameters
    ----------
    table : DataFrame
        A row an image, with the columns `by`, `values` and `patients`.
    by, values : sequence of str
        What to group by, and what to average; NaN is left out.
    patients : str
        The column of patients.
    seed : int
        Draws the samples.

    Returns
    -------
    DataFrame
        The columns `by`, `value`, `images`, `mean`, `low`, `high`, a row a group and value.
    """
    rows = []
    for key, part in table.groupby(list(by), sort=False):
        for value in values:
            known = part.dropna(subset=[value])
            row = dict(zip(by, key, strict=True)) | {"value": value, "images": len(known)}
            rows.append(row | _mean(known[patients], known[value].to_numpy(float), seed))
    return pd.DataFrame(rows)


def _mean(patients: pd.Series, values: np.ndarray, seed: int) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("mean", "low", "high"), np.nan)

    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(axis=1)

    low, high = bootstrap.interval(patients, mean, seed=seed)
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def baseline(name: str, pixels: np.ndarray) -> np.ndarray:
    """Return maps that no model had a part in, to compare with: float (n, image_size, image_size) in [0, 1].

    Parameters
    ----------
    name : str
        ``uniform``: the same everywhere. ``edges``: the slope of the image itself.
    pixels : uint8 array, (n, image_size, image_size)
    """
    if name not in BASELINES:
        raise InputError(f"unknown baseline {name!r}: choose from {', '.join(BASELINES)}")
    if name == "uniform":
        return np.ones(pixels.shape, np.float32)
    slopes = [ndimage.gaussian_gradient_magnitude(image.astype(np.float32), 1) for image in pixels]
    return np.stack([slope / max(slope.max(), 1e-9) for slope in slopes])


def read_regions(cohort: pd.DataFrame, column: str, image_size: int) -> np.ndarray:
    """Return the true masks in a column of a cohort, bool (n, image_size, image_size); else False."""
    found = np.zeros((len(cohort), image_size, image_size), bool)
    for row, (file, mask) in enumerate(zip(cohort["file"], cohort[column], strict=True)):
        if mask:
            whole = crop.read_mask(mask, images.read_gray(file).shape)
            found[row] = images.resize(whole.astype(np.float32), (image_size, image_size)) >= 0.5
    return found


def body(pixels: np.ndarray) -> np.ndarray:
    """Return where the patient is: the largest thing that is not dark, without its holes.

    Bool (n, image_size, image_size). A guess from grey levels. Letters and markers beside the patient are not
    part of it; a bright frame that touches the patient would be.
    """
    found = np.zeros(pixels.shape, bool)
    for row, image in enumerate(pixels):
        parts, _ = ndimage.label(ndimage.median_filter(image, 3) > DARK * np.quantile(image, 0.99))
        areas = np.bincount(parts.ravel())
        areas[0] = 0
        found[row] = ndimage.binary_fill_holes(parts == areas.argmax())
    return found


def randomised(predictor: Predictor, share: float, seed: int = 0) -> Predictor:
    """Return a copy whose last layers, a share of all that learn, have random weights again.

    For the sanity check of Adebayo et al. (NeurIPS 2018): if the map survives, it never was about the model.

    Parameters
    ----------
    predictor : Reader
    share : float
        From above zero (the last layer alone, at least) to 1 (the whole network).
    seed : int
        Draws the weights.
    """
    copied = copy.deepcopy(predictor)
    learning = [layer for layer in copied.network.modules() if hasattr(layer, "reset_parameters")]
    count = max(1, round(share * len(learning)))
    with no_random(seed):
        for layer in learning[-count:]:
            layer.reset_parameters()
            if isinstance(layer, nn.Linear):  # torch's own start leaves a deep network's answers all alike
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    return copied


def likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two maps of each image, (n,); NaN where one of them is flat."""
    found = np.full(len(first), np.nan)
    for row, (one, two) in enumerate(zip(first, second, strict=True)):
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            found[row] = stats.spearmanr(one.ravel(), two.ravel()).statistic
    return found


def curve(predictor: Predictor, pixels: np.ndarray, maps: np.ndarray, label: str, kind: str) -> np.ndarray:
    """Watch an answer while pixels vanish or appear in the order of a map (Petsiuk et al., BMVC 2018).

    Parameters
    ----------
    predictor : Reader
    pixels : uint8 array, (n, image_size, image_size)
    maps : float array, (n, image_size, image_size)
    label : str
        ``N`` or ``P``: whose probability is watched.
    kind : str
        ``deletion``: highest pixels are blurred first. ``insertion``: in a blurred image they come back
        first.

    Returns
    -------
    float array, (n, `STEPS` + 1)
        Probabilities while 0, 1/`STEPS`, ... 1 of the pixels are changed. A map that names what matters falls
        early in a deletion and rises early in an insertion.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of curve {kind!r}: choose {' or '.join(KINDS)}")
    soft = np.stack([ndimage.gaussian_filter(image, BLUR * image.shape[-1]) for image in pixels])
    before, after = (pixels, soft) if kind == "deletion" else (soft, pixels)
    order = (-maps).reshape(len(maps), -1).argsort(1, kind="stable").argsort(1).reshape(maps.shape)
    told = []
    for step in range(STEPS + 1):
        changed = order < step / STEPS * maps[0].size
        answers = probabilities(predictor.predict(np.where(changed, after, before)))
        told.append(answers[:, LABELS.index(label)])
    return np.stack(told, 1)


def area(curves: np.ndarray) -> np.ndarray:
    """Return the area under each curve of `curve`, (n,), in [0, 1]."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def checks(
    predictor: Predictor,
    cohort: pd.DataFrame,
    pixels: np.ndarray,
    methods: Sequence[str],
    label: str = "P",
    seed: int = 0,
) -> pd.DataFrame:
    """Ask of each map whether it outlives its network's weights, and whether the answer hangs on its pixels.

    Parameters
    ----------
    predictor, cohort, pixels, label
        As in `table`.
    methods : sequence of str
        From `explain.METHODS`.
    seed : int
        Draws the weights, and the order of `RANDOM`.

    Returns
    -------
    DataFrame
        A row an image and method: `alike_last`, `alike_third` and `alike_all`, the `likeness` to the map
        after these layers have forgotten (zero where that is flat), and `deletion` and `insertion`, the
        `area` under each `curve`. Then the areas for the order of the image's edges and for a random one.
    """
    column = LABELS.index(label)
    maps = {method: saliency.pair(predictor, pixels, method)[:, column] for method in methods}
    alike = {method: {} for method in methods}
    for stage, share in STAGES.items():
        forgetful = randomised(predictor, share, seed)
        for method in methods:
            again = saliency.pair(forgetful, pixels, method)[:, column]
            alike[method][f"alike_{stage}"] = np.nan_to_num(likeness(maps[method], again))
    orders = maps | {
        "edges": baseline("edges", pixels),
        RANDOM: np.random.default_rng(seed).random(pixels.shape),
    }
    facts, parts = _facts(cohort), []
    for method, order in orders.items():
        found = {kind: area(curve(predictor, pixels, order, label, kind)) for kind in KINDS}
        parts.append(facts.assign(**alike.get(method, {}), **found, method=method))
    return pd.concat(parts, ignore_index=True)


def table(
    predictor: Predictor,
    cohort: pd.DataFrame,
    pixels: np.ndarray,
    regions: Mapping[str, np.ndarray],
    methods: Sequence[str],
    label: str = "P",
    layer: str | None = None,
    boxes: Sequence[crop.Box] | None = None,
) -> pd.DataFrame:
    """Explain a cohort's images by several methods and by the baselines, and measure each map.

    Parameters
    ----------
    predictor : Reader
    cohort : DataFrame
        `image_id`, `patient_id`, `label` and `severity` are carried over.
    pixels, regions
        Its images, as the reader sees them, and regions of the same size.
    methods : sequence of str
        From `explain.METHODS` and `BASELINES`.
    label : str
        Whose map is measured.
    layer : str, optional
        See `explain.explained`.
    boxes : sequence of Box, optional
        Where each image was cut out of a larger one, in pixels of `regions`, which then are of the larger
        one: maps are put back before they are measured.

    Returns
    -------
    DataFrame
        A row an image and method: the columns of `measure`, and `method`.
    """
    found = {}
    for method in methods:
        if method in BASELINES:
            maps = baseline(method, pixels)
        else:
            at = layer if "cam" in method else None
            maps = saliency.explained(predictor, pixels, method, at)[1][:, LABELS.index(label)]
        if boxes is not None:
            shape = next(iter(regions.values())).shape[1:]
            maps = np.stack([saliency.place(one, box, shape) for one, box in zip(maps, boxes, strict=True)])
        found[method] = maps
    return measure_all(cohort, found, regions)


def measure_all(
    cohort: pd.DataFrame, maps: Mapping[str, np.ndarray], regions: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Measure the maps of several methods for the images of a cohort; see `table` for the result."""
    facts = _facts(cohort)
    parts = [facts.join(measure(each, regions)).assign(method=method) for method, each in maps.items()]
    return pd.concat(parts, ignore_index=True)


def _facts(cohort: pd.DataFrame) -> pd.DataFrame:
    return cohort[["image_id", "patient_id", "label", "severity"]].reset_index(drop=True)
