"""Prediction tables made by hand or by chance, for the tests of what is computed from them."""

from pathlib import Path

import numpy as np
import pandas as pd

from sdnet_lib.checksums import write_seal
from sdnet_lib.files import write_parquet

LEVELS = ("Normal-PCR+", "Mild", "Moderate", "Severe")


def one_run(labels: str, called: str, approach="a", repeat=0, fold=0, severity=None) -> pd.DataFrame:
    """A run from strings of N and P: the truth, and what was predicted."""
    prob_P = np.array([0.8 if name == "P" else 0.2 for name in called])
    ids = [f"i{number}" for number in range(len(labels))]
    return pd.DataFrame(
        {
            "approach": approach,
            "repeat": repeat,
            "fold": fold,
            "image_id": ids,
            "patient_id": ids,
            "label": list(labels),
            "severity": severity or [""] * len(labels),
            "prob_N": 1 - prob_P,
            "prob_P": prob_P,
        }
    )


def study(
    approaches=("covid-sdnet", "resnet50", "mine"),  # in no order, least of all the alphabet's
    n=120,
    repeats=2,
    folds=5,
    levels=LEVELS,
    seed=0,
    everybody=False,
) -> pd.DataFrame:
    """A cross-validation by chance, two images per patient; later approaches are better.

    With `everybody` each fold tests all images, as networks do on another cohort.
    """
    rng = np.random.default_rng(seed)
    label = np.array(["N", "P"])[np.arange(n) % 4 // 2]
    level = np.where(label == "P", np.array(levels, object)[rng.integers(len(levels), size=n)], "")
    runs = []
    for repeat in range(repeats):
        order = rng.permutation(n)
        for fold in range(folds):
            tested = np.sort(order if everybody else order[fold::folds])
            for skill, approach in enumerate(approaches, start=1):
                score = rng.normal(size=len(tested)) + skill * (label[tested] == "P") - skill / 2
                prob_P = 1 / (1 + np.exp(-score))
                columns = {
                    "approach": approach,
                    "repeat": repeat,
                    "fold": fold,
                    "image_id": [f"i{number:04}" for number in tested],
                    "patient_id": [f"p{number // 2}" for number in tested],
                    "label": label[tested],
                    "severity": level[tested],
                    "prob_N": 1 - prob_P,
                    "prob_P": prob_P,
                }
                runs.append(pd.DataFrame(columns))
    return pd.concat(runs, ignore_index=True)


def images_of(labels: str, prob_P: list[float], patients=None) -> pd.DataFrame:
    """An image table from a string of N and P."""
    ids = [f"i{number}" for number in range(len(labels))]
    return pd.DataFrame(
        {
            "image_id": ids,
            "patient_id": patients or ids,
            "label": list(labels),
            "prob_P": prob_P,
            "called_P": [float(value >= 0.5) for value in prob_P],
        }
    )


def by_chance(seed: int, n: int = 150, steps: int = 30) -> pd.DataFrame:
    """Scores with ties; a third positive."""
    rng = np.random.default_rng(seed)
    labels = "".join(rng.choice(["N", "P"], n, p=[2 / 3, 1 / 3]))
    score = rng.normal(size=n) + 1.0 * (np.array(list(labels)) == "P")
    return images_of(labels, list(np.round(steps / (1 + np.exp(-score))) / steps))


def write(predictions: pd.DataFrame, folder: Path) -> Path:
    """Write a study as `sdnet_lib.studies.crossval` does; ``on-COHORT`` shares the seals of its study."""
    study = folder.parent if folder.name.startswith("on-") else folder
    for (approach, repeat, fold), run in predictions.groupby(["approach", "repeat", "fold"]):
        file = folder / approach / f"r{repeat}f{fold}.parquet"
        write_parquet(file, run)
        seal(study / approach / file.name)
    return folder


def seal(run: Path) -> None:
    """Seal a run as it is now, with its predictions for other cohorts."""
    study, approach = run.parents[1], run.parent.name
    files = [file for file in (run, *study.glob(f"on-*/{approach}/{run.name}")) if file.exists()]
    write_seal(run.with_suffix(".json"), {"code": {"shared": "ab", "hash": f"ab {approach}"}}, *files)
