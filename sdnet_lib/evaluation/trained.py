"""How the rows of a study were trained: what was equal and what differed, by the provenance of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sdnet_lib.evaluation.render import NONE, Table
from sdnet_lib.evaluation.tables import place
from sdnet_lib.files import InputError
from sdnet_lib.models.registry import APPROACHES, title

WEIGHTS = ("weights", "classifier", "perceptual")  # keys of a provenance that name weights
OTHER_START = "none (its paper: imagenet)"
STOPPING = {
    "best": "when validation stalls, best kept",
    "best of all": "after all steps, best kept",
    "last": "after all steps, last kept",
}
BUDGETS = {
    "equal-steps": "Budget equal-steps: all rows have the same data and the same number of optimiser steps, "
    "look at the validation part equally often, and keep the best look.",
    "own-recipe": "Budget own-recipe: all rows have the same data; start, steps and stopping are each "
    "recipe's own, and differ where the columns differ.",
}


def read_origins(folder: str | Path) -> list[dict]:
    """Return the provenance of all runs in a study's folder; none where only predictions are kept.

    Raises
    ------
    InputError
        If a file is damaged.
    """
    found = []
    for file in sorted(Path(folder).glob("[!.]*/r*f*.json")):
        try:
            found.append(json.loads(file.read_text()))
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: cannot be read ({error})") from error
    return [origin for origin in found if "training" in origin]


def starts(training: dict) -> list[str]:
    """Return what the provenance of a training says about the weights that it started from, at any depth.

    The generators' says it of the classifier and of the perceptual network that they were trained with.
    """
    found = (part.get(key) for part in _parts(training) for key in WEIGHTS)
    return sorted({text for text in found if isinstance(text, str)})


def table(origins: Sequence[dict], budget: str = "own-recipe") -> Table:
    """Return a row per approach: runs, start, optimiser steps, images a step, optimiser, stopping, seconds.

    Parameters
    ----------
    origins : sequence of dict
        Per run `approach`, `seconds` and `training`.
    budget : str
        One of `config.BUDGETS`.
    """
    runs = pd.DataFrame(origins).groupby("approach", sort=False)
    rows = []
    for approach in sorted(runs.groups, key=place):
        group = runs.get_group(approach)
        cells = _cells(approach, list(group["training"]))
        rows.append([title(approach), str(len(group)), *cells, f"{group['seconds'].mean():.0f}"])
    header = ["", "Runs", "Weights at the start", "Optimiser steps (kept)", "Images a step", "Optimiser"]
    notes = [
        BUDGETS[budget],
        "Optimiser steps are those of the network that decides, mean over runs; in brackets those after "
        "which it was kept. Generators make theirs besides.",
        "Seconds were taken while other programs ran on the same cores.",
    ]
    with_third = sorted({title(one["approach"]) for one in origins if one["training"].get("third_class")})
    if with_third:
        notes.append(f"Learned images of pneumonia besides, as a third class: {', '.join(with_third)}.")
    return Table("How the rows were trained", [*header, "Stops", "Seconds a run"], rows, notes)


def _cells(approach: str, recipes: list[dict]) -> list[str]:
    """Return start, steps, images a step, optimiser and stopping of a row; a dash for what is not said."""
    weights = {text for recipe in recipes for text in starts(recipe)}
    if "none" in weights and approach in APPROACHES and not APPROACHES[approach].from_scratch:
        weights = weights - {"none"} | {OTHER_START}
    known = [part for recipe in recipes for part in _parts(recipe, generators=False) if "steps" in part]
    steps = _mean(known, "steps")
    kept = _mean(known, "steps_kept")
    return [
        ", ".join(sorted(weights)) or NONE,
        f"{steps} ({kept})" if kept != NONE else steps,
        _each(f"{part['batch']} x {part.get('views', 1)}" for part in known),
        _each(_optimiser(part) for part in (*known, *recipes) if {"optimiser", "trained"} & set(part)),
        _each(STOPPING[part["stopping"]] for part in known if "stopping" in part),
    ]


def _optimiser(part: dict) -> str:
    """Return how a network was trained, or what was in its place."""
    return part.get("trained") or f"{part['optimiser']} {part['lr']:g}, {part['schedule']}"


def _mean(parts: list[dict], key: str) -> str:
    found = [part[key] for part in parts if key in part]
    return f"{np.mean(found):.0f}" if found else NONE


def _each(texts: Iterator[str]) -> str:
    return "; ".join(dict.fromkeys(texts)) or NONE


def _parts(recipe: dict, generators: bool = True) -> Iterator[dict]:
    """Yield a provenance and those within it: of ensembles their members, of twins their generators."""
    yield recipe
    for key, part in recipe.items():
        if isinstance(part, dict) and (generators or key != "generators"):
            yield from _parts(part, generators)
