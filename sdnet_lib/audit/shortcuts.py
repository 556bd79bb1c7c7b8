"""Is a data set biased? What its labels can be guessed from without looking at the lungs (chapter 1).

The experiments take away what a radiologist reads and measure what is left. A *shortcut* is what a model is
allowed to see: the image (to compare with), the image with the lungs blanked, its border alone, a tiny
thumbnail, the facts about the file. A frozen ImageNet backbone and a logistic regression judge the image
shortcuts in seconds; chapter 1 also trains the paper's classifier on two of them. All folds keep the images
of a patient together.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from sdnet_lib.data import images
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.data.splits import Split, splits
from sdnet_lib.evaluation import curves
from sdnet_lib.lungs import crop, segmentation

FULL, LUNGS, BOX, BORDER = "full image", "lungs blanked", "lung box blanked", "border only"
THUMBNAIL, FILE, PATIENT = "8 x 8 thumbnail", "file metadata", "sex, age and view"
IMAGE_SHORTCUTS = (FULL, LUNGS, BOX, BORDER)
FRAME = 0.08  # width of the border that "border only" keeps, as a fraction of the image's
RIM = 0.02  # by which a lung mask is widened before it is blanked, so that no rim of lung is left

# Strong regularisation, because there are more features than patients.
LINEAR = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
FOREST = RandomForestClassifier(200, min_samples_leaf=3, random_state=0)

# Where a model that was trained on one cohort meets the same question in another hospital.
EXTERNAL = {
    "phantom-biased": "phantom",
    "covidx-mini": "actualmed",
    "shenzhen": "montgomery",
    "montgomery": "shenzhen",
}


def pair(dataset: str) -> tuple[str, str]:
    """Return the cohort to examine and the one to test its model on, for the parameter of chapter 1.

    ``phantom`` means the synthetic pair. A cohort without a counterpart is its own; then only patients who
    were not trained on are tested.
    """
    dataset = "phantom-biased" if dataset == "phantom" else dataset
    return dataset, EXTERNAL.get(dataset, dataset)


def published(number: int) -> pd.DataFrame:
    """Return Table 1 (images in COVIDx) or Table 2 (published results, in %) as the paper prints it."""
    return pd.read_csv(Path(__file__).parents[1] / "results" / f"paper_table_{number}.csv")


def lung_masks(cohort: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return where the lungs are: the truth in a synthetic cohort, our U-Net's answer in any other.

    Masks that people drew are not used: in some sets having one, or its style, gives the class away.

    Returns
    -------
    bool array, (n, image_size, image_size)
    """
    if "lesion_mask" in cohort:  # only synthetic cohorts know their lesions
        found = {row.image_id: images.read_gray(row.lung_mask) for row in cohort.itertuples()}
    else:
        found = {}
        rows = tqdm(segmentation.segment(cohort), "lungs", len(cohort), disable=None, leave=False)
        for row, image, mask in rows:
            if mask is None:
                raise image  # the error that it is instead
            found[row["image_id"]] = mask.astype(np.float32)
    return np.stack(
        [images.resize(found[name], (image_size, image_size)) > 0.5 for name in cohort["image_id"]]
    )


def blank(pixels: np.ndarray, masks: np.ndarray, shortcut: str) -> np.ndarray:
    """Return copies of images that show only what a shortcut may see; the rest is black.

    The outline of the lungs shrinks with disease, so blanking along it still says something about the lungs.
    The rectangle around them says less, and the border, of the same width for all, nothing. Where no lungs
    were found only the border is kept, so that no lung is shown by mistake.

    Parameters
    ----------
    pixels : uint8 array, (n, image_size, image_size)
    masks : bool array, (n, image_size, image_size)
        Lungs.
    shortcut : str
        One of `IMAGE_SHORTCUTS`.
    """
    image_size = pixels.shape[-1]
    edge = max(1, round(FRAME * image_size))
    inside = np.zeros((image_size, image_size), bool)
    inside[edge:-edge, edge:-edge] = True
    result = pixels.copy()
    for image, mask in zip(result, masks, strict=True):
        box = crop.bounding_box(mask)
        if shortcut == BORDER or (box is None and shortcut != FULL):
            image[inside] = 0
        elif shortcut == LUNGS:
            image[ndimage.binary_dilation(mask, iterations=max(1, round(RIM * image_size)))] = 0
        elif shortcut == BOX:
            left, top, right, bottom = box
            image[top:bottom, left:right] = 0
    return result


def thumbnails(pixels: np.ndarray, image_size: int = 8) -> np.ndarray:
    """Shrink images to `image_size` x `image_size` grey values in [0, 1]: float32, (n, image_size²)."""
    small = [images.resize(image.astype(np.float32) / 255, (image_size, image_size)) for image in pixels]
    return np.stack(small).reshape(len(pixels), -1)


def file_facts(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return what a file manager knows: width, height and aspect, bytes a pixel, colour mode and format."""

    def facts(file: str) -> dict:
        film = images.decode(file)
        height, width = film.pixels.shape
        size = Path(file).stat().st_size
        return {
            "width": width,
            "height": height,
            "aspect": width / height,
            "bytes_per_pixel": size / width / height,
            "mode": film.mode,
            "format": Path(file).suffix.lower(),
        }

    return pd.get_dummies(pd.DataFrame([facts(file) for file in cohort["file"]]), dtype=float)


def patient_facts(cohort: pd.DataFrame) -> pd.DataFrame | None:
    """Return sex, age and view, and where they are blank; None if they are the same for everybody."""
    known = cohort.reindex(columns=["sex", "age", "view"])
    age = pd.to_numeric(known["age"], errors="coerce")
    facts = pd.get_dummies(known[["sex", "view"]].fillna("").astype(str), dtype=float)
    facts = facts.assign(age=age.fillna(-1), no_age=age.isna().astype(float))
    return facts if (facts.nunique() > 1).any() else None


def predictions(cohort: pd.DataFrame, prob_P: np.ndarray, fold: int | np.ndarray = 0) -> pd.DataFrame:
    """Join probabilities to their images: image_id, patient_id, label, severity, fold, prob_P."""
    tested = cohort[["image_id", "patient_id", "label", "severity"]].reset_index(drop=True)
    return tested.assign(fold=fold, prob_P=np.asarray(prob_P, float))


def cross_validate(
    cohort: pd.DataFrame, features: np.ndarray, parts: list[Split], model: ClassifierMixin = LINEAR
) -> pd.DataFrame:
    """Predict each image by a model fitted to the other folds; return `predictions`, a row per image.

    Parameters
    ----------
    cohort : DataFrame
        Its `label` is what is to be guessed.
    features : array, (n, features)
        Row for row what the model may see.
    parts : list of Split
        From `data.splits.splits`; the validation part is fitted too, since nothing here needs stopping.
    model : scikit-learn classifier
        Copied for each fold.
    """
    truth, tested = (cohort["label"] == "P").to_numpy(), []
    for part in parts:
        seen = np.concatenate([part.train, part.valid])
        fitted = clone(model).fit(np.asarray(features)[seen], truth[seen])
        guess = fitted.predict_proba(np.asarray(features)[part.test])[:, 1]
        tested.append(predictions(cohort.iloc[part.test], guess, part.fold))
    return pd.concat(tested, ignore_index=True)


def scores(table: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """Score predictions at the threshold one half, with a 95 % interval over patients.

    Parameters
    ----------
    table : DataFrame
        From `predictions` or `cross_validate`.
    seed : int
        Of the bootstrap over patients.

    Returns
    -------
    dict
        images, patients, positives, majority (accuracy of always naming the larger class), accuracy,
        accuracy_sd (over folds; NaN for one), sensitivity, specificity, auc, auc_low, auc_high.
    """
    truth = table["label"] == "P"
    right = (table["prob_P"] > 0.5) == truth
    found = {
        "majority": max(truth.mean(), 1 - truth.mean()),
        "accuracy": right.mean(),
        "accuracy_sd": right.groupby(table["fold"]).mean().std(),
        "sensitivity": right[truth].mean(),
        "specificity": right[~truth].mean(),
    }
    areas = curves.areas(table, seed=seed) if truth.nunique() == 2 else {}
    found |= {name: areas.get(name, np.nan) for name in ("auc", "auc_low", "auc_high")}
    counts = {
        "images": len(table),
        "patients": table["patient_id"].nunique(),
        "positives": int(truth.sum()),
    }
    return counts | {name: float(value) for name, value in found.items()}


def embed(pixels: np.ndarray) -> np.ndarray:
    """Return what a frozen ImageNet backbone sees, see `classifier.embed`: float32, (n, features)."""
    from sdnet_lib.models import classifier  # `sdnet audit` asks no network: a quarter of a gigabyte less

    return classifier.embed(pixels)


def features(
    cohort: pd.DataFrame, image_size: int, look: Callable[[np.ndarray], np.ndarray] = embed
) -> dict[str, tuple[np.ndarray, ClassifierMixin]]:
    """Return, for each shortcut, the features that show it and the model that judges them.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort.
    image_size : int
        Of the images that the backbone sees, in pixels.
    look : callable
        Turns uint8 images (n, image_size, image_size) into features (n, k).
    """
    pixels, masks = read_pixels(cohort, image_size), lung_masks(cohort, image_size)
    result = {name: (look(blank(pixels, masks, name)), LINEAR) for name in IMAGE_SHORTCUTS}
    result[THUMBNAIL] = thumbnails(pixels), LINEAR
    result[FILE] = file_facts(cohort).to_numpy(), FOREST
    patient = patient_facts(cohort)
    return result if patient is None else result | {PATIENT: (patient.to_numpy(), FOREST)}


def audit(
    cohort: pd.DataFrame,
    *,
    image_size: int = 128,
    folds: int = 5,
    seed: int = 0,
    look: Callable[[np.ndarray], np.ndarray] = embed,
) -> pd.DataFrame:
    """Measure how well each shortcut gives the label away; one row each, with the columns of `scores`.

    In a clean set the full image may score high, and everything else should be near one half.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort.
    image_size : int
        Of what the backbone sees, in pixels.
    folds, seed : int
        Of the cross-validation, patients kept together.
    look : callable
        See `features`.

    Raises
    ------
    InputError
        If an image cannot be read or a class has too few patients for the folds.
    """
    parts = splits(cohort, 1, folds, seed)
    rows = [
        {"shortcut": name} | scores(cross_validate(cohort, shown, parts, model), seed)
        for name, (shown, model) in features(cohort, image_size, look).items()
    ]
    return pd.DataFrame(rows)


def unseen(cohort: pd.DataFrame, trained_on: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a cohort whose patients a model has not been trained on, as a table of their own."""
    return cohort[~cohort["patient_id"].isin(trained_on["patient_id"])].reset_index(drop=True)
