"""The refreshers: pages of one idea each, with one figure and one example that is computed here.

The words are templates in ``book/templates/refreshers``. Each function below is a page: it returns the
numbers that its template names, and its figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from fastai.torch_core import no_random
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import binary_erosion
from torch import nn

from sdnet_lib import plots
from sdnet_lib.config import get_profile
from sdnet_lib.data.splits import splits
from sdnet_lib.evaluation import curves
from sdnet_lib.files import write_text
from sdnet_lib.models import classifier
from sdnet_lib.models.batches import training_loader
from sdnet_lib.models.fucitnet.generators import generator
from sdnet_lib.models.training_config import UNCHANGED, TrainingConfig
from sdnet_lib.phantom.radiograph import Phantom, radiograph
from sdnet_lib.publish.templates import fill

SEED = 20  # the first synthetic patient of every page, and the one of the front page
KERNEL = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]])
CHANGES, CHANCE = 5, 0.7  # of `training_config.augmentations`: kinds of change, and how likely each is
ILL, HEALTHY = (0.92, 0.81, 0.66, 0.47, 0.35), (0.72, 0.41, 0.30, 0.19, 0.08)  # ten invented answers
RAISED = 0.45  # what a better network answers to the last one who is ill
LOOKS = 20  # at how many tables somebody looks who finds something at last


class Refresher(NamedTuple):
    """What a page is made of: the values that its template names, and its figure."""

    values: dict[str, object]
    figure: Figure


def write(folder: Path) -> None:
    """Write all pages of `PAGES` into `folder`, each as Markdown with its figure beside it."""
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        values, figure = page()
        figure.savefig(folder / f"{name}.png")
        write_text(folder / f"{name}.md", fill(f"refreshers/{name}", **values))


def convolution() -> Refresher:
    """Lay one kernel over the sharpest edge in the lungs of a synthetic patient."""
    made = radiograph(SEED, size=128)
    grey = np.rint(255 * made.image).astype(int)
    answers = (sliding_window_view(grey, KERNEL.shape) * KERNEL).sum((2, 3))
    inside = binary_erosion(made.lung_mask, iterations=6)[1:-1, 1:-1]  # of ribs, not of the lungs
    row, column = np.unravel_index(np.where(inside, answers, answers.min()).argmax(), answers.shape)
    patch = grey[row - 1 : row + 4, column - 1 : column + 4]
    values = {
        "kernel": KERNEL.tolist(),
        "above": patch[1, 1:4].tolist(),
        "below": patch[3, 1:4].tolist(),
        "answer": int(answers[row, column]),
        "edge": len(grey),
        "weights": KERNEL.size,
        "all_to_all": grey.size**2,
    }
    return Refresher(values, plots.rib_edge(made.image, answers, patch, (row, column)))


def transfer_learning() -> Refresher:
    """Count what two classifiers bring along from ImageNet, and what is new in them."""
    paper, ours = (_parts(get_profile(name).backbone) for name in ("paper", "quick"))
    values = {
        "features": paper["features"],
        "units": paper["units"],
        "classes": 2,
        "first": paper["first"],
        "second": paper["second"],
        "new": paper["first"] + paper["second"],
        "brought": paper["brought"],
        "part": (paper["first"] + paper["second"]) / (paper["first"] + paper["second"] + paper["brought"]),
        "our_new": ours["first"] + ours["second"],
        "our_brought": ours["brought"],
    }
    return Refresher(values, plots.kept_and_new(paper["stages"], values["new"]))


def _parts(backbone: str) -> dict:
    """Count the parameters of the paper's classifier on a backbone, in its stages and in its new layers."""
    network, *_ = classifier.network(backbone, weights="none")
    body, head = network
    first, _, second = head
    return {
        "stages": _stages(body),
        "brought": _parameters(body),
        "features": first.in_features,
        "units": first.out_features,
        "first": _parameters(first),
        "second": _parameters(second),
    }


def _stages(body: nn.Module) -> dict[str, int]:
    """Count the parameters of a ResNet's layers 1 to 4, and of all before them."""
    stages: dict[str, int] = {}
    for name, part in body.named_children():
        stage = f"stage {name[-1]}" if name.startswith("layer") else "stem"
        stages[stage] = stages.get(stage, 0) + _parameters(part)
    return stages


def _parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def gan() -> Refresher:
    """Let a judge and a forger gain on each other, and the networks of FuCiTNet with each other."""
    real, before, after = 0.8, 0.3, 0.6
    values = {
        "real": real,
        "before": before,
        "after": after,
        "judge": [-math.log(real) - math.log(1 - made) for made in (before, after)],
        "forger": [-math.log(made) for made in (before, after)],
        "coin": -2 * math.log(0.5),
        "generators": 2 * _parameters(generator()),
    }
    return Refresher(values, plots.two_games(before, after))


def augmentation() -> Refresher:
    """Change one film five times, as training does, and say how seldom nothing changes."""
    film = np.rint(255 * radiograph(SEED, size=256).image).astype(np.uint8)
    copies = np.stack([film] * CHANGES)
    with no_random(SEED):
        served = training_loader(copies, np.zeros(len(copies), int), UNCHANGED, TrainingConfig())
        versions = served.one_batch()[0][:, 0].cpu().numpy()
    profile = get_profile("quick")
    values = {
        "changes": CHANGES,
        "chance": CHANCE,
        "untouched": (1 - CHANCE) ** CHANGES,
        "images": profile.images,
        "epochs": profile.epochs,
        "shown": profile.images * profile.epochs,
    }
    return Refresher(values, plots.augmented(film / 255, versions))


def leakage(patients: int = 40) -> Refresher:
    """Ask the nearest film for a diagnosis, with and without another film of the same patient."""
    first, second = ([_patient(number, shot) for number in range(patients)] for shot in (0, 1))
    known, tested = (np.stack([one.image.ravel() for one in films]) for films in (first, second))
    labels = np.array([one.label for one in first])
    far = 255 * np.sqrt(np.square(tested[:, None] - known).mean(2))
    leaking = far.argmin(1)
    apart = np.where(np.eye(patients, dtype=bool), np.inf, far).argmin(1)
    # one whom the leak makes right, to look at
    shown = int(np.flatnonzero((leaking == np.arange(patients)) & (labels[apart] != labels))[0])
    values = {
        "patients": patients,
        "own": int((leaking == np.arange(patients)).sum()),
        "leaking": int((labels[leaking] == labels).sum()),
        "apart": int((labels[apart] == labels).sum()),
        "own_distance": float(far[shown, shown]),
        "other_distance": float(far[shown, apart[shown]]),
    }
    return Refresher(values, plots.nearest_films(second[shown], first[shown], first[apart[shown]]))


def _patient(number: int, shot: int = 0) -> Phantom:
    """Return a film of one of many synthetic patients: even numbers are N, odd ones P with moderate signs."""
    ill = number % 2 == 1
    label, severity = ("P", "Moderate") if ill else ("N", "")
    return radiograph(100 + number, size=64, label=label, severity=severity, shot=shot)


def cross_validation() -> Refresher:
    """Deal ten patients to five folds, five times, and see how much any two runs share."""
    names = [f"patient {letter}" for letter in "ABCDEFGHIJ"]
    cohort = pd.DataFrame({"image_id": names, "patient_id": names})
    cohort["label"] = np.where(cohort.index < 5, "P", "N")
    cohort["severity"] = np.where(cohort.index < 5, "Mild", "")
    dealt = splits(cohort, repeats=5, folds=5, seed=SEED)
    fold = np.zeros((5, len(names)), int)
    for one in dealt:
        fold[one.repeat, one.test] = one.fold + 1
    learnt = [set(range(len(names))) - set(one.test) for one in dealt[:2]]
    values = {
        "patients": len(names),
        "runs": len(dealt),
        "tested": len(dealt[0].test),
        "rest": len(learnt[0]),
        "first": fold[:, 0].tolist(),
        "together": int((fold[:, 0] == fold[:, -1]).sum()),
        "shared": len(learnt[0] & learnt[1]),
    }
    return Refresher(values, plots.dealt_patients(fold, cohort["label"]))


def roc() -> Refresher:
    """Count the pairs of an ill and a healthy patient that ten answers put in the right order."""
    table = pd.DataFrame({"prob_P": [*ILL, *HEALTHY], "label": ["P"] * len(ILL) + ["N"] * len(HEALTHY)})
    table["patient_id"] = table.index.astype(str)
    wins = [sum(ill > healthy for healthy in HEALTHY) for ill in ILL]
    values = {
        "ill": [f"{one:.2f}" for one in ILL],
        "healthy": [f"{one:.2f}" for one in HEALTHY],
        "wins": wins,
        "won": sum(wins),
        "pairs": len(ILL) * len(HEALTHY),
        "auc": sum(wins) / (len(ILL) * len(HEALTHY)),
        "found": sum(ill >= 0.5 for ill in ILL),
        "spared": sum(healthy < 0.5 for healthy in HEALTHY),
        "raised": RAISED,
        "better": sum(ILL[-1] < healthy < RAISED for healthy in HEALTHY),
    }
    return Refresher(values, plots.ten_patients(table, curves.roc(table, draws=2)))


def p_value() -> Refresher:
    """Deal the brightness of sixteen lungs into two groups in all possible ways."""
    healthy, ill = _brightness(SEED)
    differences = _all_deals(healthy, ill)
    found = float(np.mean(ill) - np.mean(healthy))
    values = {
        "healthy": healthy,
        "ill": ill,
        "difference": found,
        "deals": len(differences),
        "extreme": _at_least(differences, found),
        "p": _at_least(differences, found) / len(differences),
        "looks": LOOKS,
        "by_chance": 1 - 0.95**LOOKS,
    }
    others = _brightness(0)
    other_deals, other = _all_deals(*others), float(np.mean(others[1]) - np.mean(others[0]))
    values |= {"other": other, "other_p": _at_least(other_deals, other) / len(other_deals)}
    return Refresher(values, plots.shuffled_differences(differences, found))


def _brightness(first: int) -> tuple[list[int], list[int]]:
    """Return the mean grey level, 0 to 255, of the lungs of eight healthy and of eight ill patients."""
    groups = [("N", "", range(first, first + 16, 2)), ("P", "Moderate", range(first + 1, first + 17, 2))]
    films = [
        [radiograph(number, size=64, label=label, severity=severity) for number in numbers]
        for label, severity, numbers in groups
    ]
    return tuple([round(255 * float(one.image[one.lung_mask].mean())) for one in group] for group in films)


def _all_deals(healthy: list[int], ill: list[int]) -> np.ndarray:
    """Return the difference of means, ill less healthy, for every way to deal the values."""
    total, size = sum(healthy) + sum(ill), len(ill)
    sums = np.array([sum(deal) for deal in combinations([*healthy, *ill], size)])
    return sums / size - (total - sums) / len(healthy)


def _at_least(differences: np.ndarray, found: float) -> int:
    """Count the differences that are as far from zero as the one `found`: eighths, so nothing is rounded."""
    return int((np.abs(differences) >= abs(found)).sum())


PAGES: dict[str, Callable[[], Refresher]] = {
    "convolution": convolution,
    "transfer_learning": transfer_learning,
    "gan": gan,
    "augmentation": augmentation,
    "leakage": leakage,
    "cross_validation": cross_validation,
    "roc": roc,
    "p_value": p_value,
}
