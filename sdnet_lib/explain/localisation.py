"""Do the maps point where the disease is? Weight and peak of each map in known regions, with intervals.

A map that looks right may still be wrong: here it must hit lesions that are known and stay inside the
patient. What else is asked of a map is in `faithfulness`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from sdnet_lib.data import images
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.evaluation import bootstrap
from sdnet_lib.explain import saliency
from sdnet_lib.files import InputError
from sdnet_lib.lungs import crop
from sdnet_lib.models.predictors import Predictor

DARK = 0.1  # of the brightest: what is darker everywhere around is air
BASELINES = ("uniform", "edges")  # maps that know no model
WHOM = ["image_id", "patient_id", "label", "severity"]  # columns that go with each measured map


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
        One row per map: `energy_R`, fraction of the map's sum inside region R, and `hit_R`, 1 if its highest
        pixel is there and 0 if not (the pointing game of Zhang et al., ECCV 2016, without tolerance); of
        several highest pixels, the fraction that is there. NaN where a map is zero or the image has no such
        region.
    """
    flat = maps.reshape(len(maps), -1).astype(float)
    total, highest = flat.sum(1), flat == flat.max(1, keepdims=True)
    rows = {}
    for name, region in regions.items():
        inside = region.reshape(len(maps), -1)
        known = (total > 0) & inside.any(1)
        fraction = np.divide((flat * inside).sum(1), total, where=total > 0, out=np.zeros(len(maps)))
        rows[f"energy_{name}"] = np.where(known, fraction, np.nan)
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
        A row per image, with the columns `by`, `values` and `patients`.
    by, values : sequence of str
        What to group by, and what to average; NaN is left out.
    patients : str
        The column of patients.
    seed : int
        Draws the samples.

    Returns
    -------
    DataFrame
        The columns `by`, `value`, `images`, `mean`, `low`, `high`, a row per group and value.
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


def less_baselines(
    table: pd.DataFrame, values: Sequence[str], patients: str = "patient_id", seed: int = 0
) -> pd.DataFrame:
    """Return how far each method is above each of the `BASELINES`, image by image, with 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        From `table` or `measure_all`, with both baselines among its methods. A map without anything points
        nowhere: what is not a number counts as zero.
    values, patients, seed
        As in `summarise`.

    Returns
    -------
    DataFrame
        `method, baseline, value, images, mean, low, high`: where `low` is above zero, the method is better.
    """
    parts = []
    for value in values:
        wide = table.fillna({value: 0.0}).pivot(index="image_id", columns="method", values=value)
        of = table.drop_duplicates("image_id").set_index("image_id")[patients].loc[wide.index]
        for method in [name for name in table["method"].unique() if name not in BASELINES]:
            for name in BASELINES:
                difference = (wide[method] - wide[name]).to_numpy(float)
                row = {"method": method, "baseline": name, "value": value, "images": len(wide)}
                parts.append(row | _mean(of, difference, seed))
    return pd.DataFrame(parts)


def less_another(
    table: pd.DataFrame,
    other: pd.DataFrame,
    values: Sequence[str],
    patients: str = "patient_id",
    seed: int = 0,
) -> pd.DataFrame:
    """Return how far each method is above itself on another network, image by image, with 95 % intervals.

    Parameters
    ----------
    table, other : DataFrame
        From `table` or `measure_all`, of the same images and methods. A map without anything points nowhere:
        what is not a number counts as zero.
    values, patients, seed
        As in `summarise`.

    Returns
    -------
    DataFrame
        `method, value, images, mean, low, high`: where `low` is above zero, the first network has more.
    """
    same = ["image_id", "method"]
    first, second = (each.fillna(dict.fromkeys(values, 0.0)).set_index(same) for each in (table, other))
    less = first.assign(**{value: first[value] - second[value] for value in values}).reset_index()
    return summarise(less, ["method"], values, patients, seed)


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
    """Return the true masks in a column of a cohort: bool (n, image_size, image_size); else False."""
    found = np.zeros((len(cohort), image_size, image_size), bool)
    for row, (file, mask) in enumerate(zip(cohort["file"], cohort[column], strict=True)):
        if mask:
            whole = images.read_mask(mask, images.read_gray(file).shape)
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
    predictor : Predictor
    cohort : DataFrame
        `image_id`, `patient_id`, `label` and `severity` are carried over.
    pixels, regions
        Its images, as the predictor sees them, and regions of the same size.
    methods : sequence of str
        From `saliency.METHODS` and `BASELINES`.
    label : str
        Whose map is measured.
    layer : str, optional
        See `saliency.explained`.
    boxes : sequence of Box, optional
        Where each image was cut out of a larger one, in pixels of `regions`, which then are of the larger
        one: maps are put back before they are measured.

    Returns
    -------
    DataFrame
        A row per image and method: the columns of `measure`, and `method`.
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
    facts = cohort[WHOM].reset_index(drop=True)
    parts = [facts.join(measure(each, regions)).assign(method=method) for method, each in maps.items()]
    return pd.concat(parts, ignore_index=True)
