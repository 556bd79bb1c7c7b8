"""The page ``book/results``: every stored cross-validation, all its numbers from the prediction tables.

What is said about a study is in ``book/templates/studies``.
"""

from __future__ import annotations

import pandas as pd

from sdnet_lib.config import stored_profile
from sdnet_lib.evaluation import report, statistics, tables, uncertainty
from sdnet_lib.evaluation.render import NONE, Table, number
from sdnet_lib.models.registry import title
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import published

LEVEL = 0.05  # the usual line; a table of p values says more
TITLES = {
    "phantom": "Synthetic, one hospital",
    "phantom-longer": "Synthetic, one hospital, trained longer",
    "phantom-no-pcr": "Synthetic, one hospital, without Normal-PCR+",
    "phantom-biased": "Synthetic, mixed sources",
    "shenzhen": "Tuberculosis, one hospital",
    "shenzhen-32px": "Tuberculosis, one hospital, all approaches on tiny images",
    "nih-pneumonia": "Pneumonia, one archive",
    "covidx-mini": "COVID-19, mixed sources",
}


def write() -> str:
    """Return the page as Markdown; without stored studies it says so."""
    return fill("results", overview=overview(), studies=[_study(name) for name in _order()])


def _order() -> list[str]:
    names = published.stored()
    return [name for name in TITLES if name in names] + [name for name in names if name not in TITLES]


def _study(name: str) -> dict:
    """Return what the template says about one study."""
    predictions, origin = published.load(name)
    carried = {cohort: published.load(name, cohort)[0] for cohort in external(name)}
    return {
        "name": name,
        "title": TITLES.get(name, name),
        "provenance": provenance(predictions, origin),
        "command": origin["command"],
        "tables": [
            _training(origin),
            *_summaries(predictions),
            uncertainty.accuracies_and_areas(predictions),
        ],
        "pairs": uncertainty.pairs(predictions),
        "differ": int((statistics.pairwise(predictions)["p_holm"] < LEVEL).sum()),
        "level": LEVEL,
        "carried": {cohort: uncertainty.carried(predictions, away) for cohort, away in carried.items()},
    }


def external(name: str) -> list[str]:
    """Return the other cohorts that a stored study's networks were tested on."""
    stem = f"{name}-on-"
    return sorted(file.stem.removeprefix(stem) for file in published.PACKED.glob(f"{stem}*.parquet"))


def provenance(predictions: pd.DataFrame, origin: dict) -> dict[str, str]:
    """Say in words where a stored study comes from: cohort, protocol, sizes, computing."""
    profile, cohort = stored_profile(origin["profile"]), origin["cohort"]
    repeats = predictions.groupby("approach", sort=False)["repeat"].nunique()
    few, most = repeats.min(), repeats.max()
    times = f"{few}" if few == most else f"{few} to {most}"
    images = predictions.drop_duplicates("image_id")
    counts = images["label"].value_counts()
    return {
        "cohort": ", ".join(cohort["sources"]),
        "images": f"{len(images)} ({counts.get('N', 0)} N, {counts.get('P', 0)} P)",
        "patients": f"{images['patient_id'].nunique()}",
        "protocol": f"{times} times {profile['folds']} folds, seed {origin['seed']}",
        "image size": f"{profile['image_size']} pixels",
        "epochs": f"at most {profile['epochs']}, patience {profile['patience']}",
        "backbone": f"{profile['backbone']} (generators: {profile['generator_backbone']})",
        "device": f"{origin['device']}, {origin['threads']} thread",
        "computing": f"{origin['hours_of_computing']:.1f} hours in all",
        "code": ", ".join(origin["code"]) + f", torch {origin['versions']['torch']}",
    }


def overview() -> Table:
    """Return one row per stored study, those in `TITLES` first and in its order."""
    rows = []
    for name in _order():
        predictions, origin = published.load(name)
        found = provenance(predictions, origin)
        accuracy = tables.table_5(predictions)["accuracy"]["mean"]
        extremes = f"{number(accuracy.min())} to {number(accuracy.max())}"
        approaches = str(predictions["approach"].nunique())
        facts = [found["images"], found["patients"], approaches, found["protocol"]]
        rows.append([TITLES.get(name, name), *facts, extremes])
    header = ["Study", "Images", "Patients", "Approaches", "Protocol", "Accuracy, lowest to highest row"]
    return Table("What is stored", header, rows)


def _training(origin: dict) -> Table:
    runs = pd.DataFrame(origin["runs"]).groupby("approach", sort=False)
    rows = []
    for approach in sorted(runs.groups, key=tables.place):
        group = runs.get_group(approach)
        weights = sorted({text for recipe in group["training"] for text in _weights(recipe)})
        cells = [str(len(group)), ", ".join(weights) or NONE, f"{group['seconds'].mean():.0f}"]
        rows.append([title(approach), *cells])
    header = ["", "Runs", "Weights at the start", "Seconds a run"]
    note = "Seconds were taken while other programs ran on the same cores."
    return Table("How the rows were trained", header, rows, [note])


def _weights(recipe: dict) -> list[str]:
    """Return what a run's provenance says about its weights, at any depth.

    The generators' says it of the classifier and of the perceptual network that they were trained with.
    """
    keys = ("weights", "classifier", "perceptual")
    found = [recipe[key] for key in keys if isinstance(recipe.get(key), str)]
    return found + [text for part in recipe.values() if isinstance(part, dict) for text in _weights(part)]


def _summaries(predictions: pd.DataFrame) -> list[Table]:
    """Return the tables in the paper's layouts; a balanced cohort has only one Table 7."""
    found = report.summaries(predictions)
    return [table for number, table in enumerate(found) if not number or table.rows != found[number - 1].rows]
