"""The page ``book/results``: every stored cross-validation, all its numbers from the prediction tables.

What is said about a study is in ``book/templates/studies``.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from sdnet_lib import plots
from sdnet_lib.config import stored_profile
from sdnet_lib.evaluation import gains, learned, metrics, report, statistics, tables, trained, uncertainty
from sdnet_lib.evaluation.origins import mixed
from sdnet_lib.evaluation.render import Table, interval, number
from sdnet_lib.files import InputError
from sdnet_lib.models.registry import title
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import published, published_experiments

CARRIED = ("resnet50", "resnet50-crop")  # rows of the table of falls
RUNS, GAINS = "images/runs_{}.png", "images/gains_{}.png"  # beside the page, by study
LEVEL = 0.05  # the usual line; a table of p values says more
LIKE_THE_PAPER = ("phantom", "phantom-no-pcr")  # one hospital and severities: only shapes can be compared
TITLES = {
    "phantom": "Synthetic, one hospital",
    "phantom-controls": "Synthetic, one hospital, COVID-SDNet and its controls",
    "phantom-longer": "Synthetic, one hospital, trained longer",
    "phantom-third-class": "Synthetic, one hospital, COVID-Net with its third class",
    "phantom-no-pcr": "Synthetic, one hospital, without Normal-PCR+",
    "phantom-biased": "Synthetic, mixed sources",
    "shenzhen": "Tuberculosis, one hospital",
    "shenzhen-32px": "Tuberculosis, one hospital, all approaches on tiny images",
    "shenzhen-today": "Tuberculosis, one hospital, beside a frozen encoder",
    "nih-pneumonia": "Pneumonia, one archive",
    "covidx-mini": "COVID-19, mixed sources",
    "covidx-mini-third-class": "COVID-19, mixed sources, COVID-Net with its third class",
}


def write() -> str:
    """Return the page as Markdown; without stored studies it says so."""
    studies = [_study(name) for name in _order()]
    stored = published.stored()
    missing = [TITLES.get(name, name) for name in published_experiments.STUDIES if name not in stored]
    return fill("results", overview=overview(), falls=falls(), studies=studies, missing=missing)


def figures() -> dict[str, Figure]:
    """Draw the runs of each study, and where its gain comes from if it can tell; by file name."""
    found = {}
    for name in _order():
        predictions, _ = published.load(name)
        every = metrics.per_run(predictions).index  # a row stays where no run has learned
        runs = metrics.per_run(learned.only_learned(predictions)).reindex(every)
        ends = statistics.intervals(predictions)
        found[RUNS.format(name)] = plots.run_spread(runs, baseline=larger(predictions), intervals=ends)
        if len(table := gains.differences(gains.with_decisions(predictions))):
            found[GAINS.format(name)] = plots.gains(table)
    return found


def larger(predictions: pd.DataFrame) -> float:
    """Return the accuracy of always naming the larger class."""
    return float(predictions.drop_duplicates("image_id")["label"].value_counts(normalize=True).max())


def falls() -> Table:
    """Compare areas under the ROC curve at home and away, of the rows that all carried studies can have."""
    rows = []
    for name in _order():
        cohorts = external(name)
        home = _carried_scores(name) if cohorts else {}
        for cohort in cohorts:
            away = _carried_scores(name, cohort)
            for approach in (one for one in CARRIED if one in home and one in away):
                pair = home[approach], away[approach]
                areas = [interval(*(one[f"auc{end}"] for end in ("", "_low", "_high")), 3, 1) for one in pair]
                less = number(pair[1]["auc"] - pair[0]["auc"], 3, 1)
                rows.append([f"{name} to {cohort}", title(approach), *areas, less])
    header = ["From and to", "Approach", "AUC home [95 %]", "AUC away [95 %]", "Away less home"]
    return Table("Ours", header, rows)


def _carried_scores(*study: str) -> dict[str, dict[str, float]]:
    predictions, _ = published.load(*study)
    return uncertainty.scores(predictions[predictions["approach"].isin(CARRIED)])


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
        "figure": RUNS.format(name),
        "seen": _seen(predictions),
        "provenance": provenance(predictions, origin),
        "command": origin["command"],
        "tables": [
            trained.table(origin["runs"], stored_profile(origin["profile"])["budget"]),
            *_summaries(predictions),
            uncertainty.accuracies_and_areas(predictions),
        ],
        "beside": report.beside_paper(predictions) if name in LIKE_THE_PAPER else [],
        "gains": _gains(name, predictions),
        "pairs": uncertainty.pairs(predictions),
        "differ": _differing(predictions),
        "level": LEVEL,
        "carried": {cohort: uncertainty.carried(predictions, away) for cohort, away in carried.items()},
    }


def _differing(predictions: pd.DataFrame) -> int:
    """Count the pairs of approaches that differ in accuracy; none where nothing can be compared."""
    try:
        return int((statistics.pairwise(predictions)["p_holm"] < LEVEL).sum())
    except InputError:
        return 0


def _seen(predictions: pd.DataFrame) -> str:
    """Say in words what the figure of a study shows."""
    means = statistics.intervals(predictions)["mean"]
    return "; ".join(
        f"no run of {title(approach)} has learned"
        if pd.isna(mean)
        else f"{title(approach)} {number(mean, 1)} %"
        for approach, mean in means.items()
    )


def _gains(name: str, predictions: pd.DataFrame) -> dict | None:
    """Return where COVID-SDNet's gain comes from in a study: figure, table and words; None without it."""
    found = gains.differences(gains.with_decisions(predictions))
    if found.empty:
        return None
    return {
        "figure": GAINS.format(name),
        "table": gains.table(found),
        "sentences": gains.sentences(found),
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
        "code": f"{_code(origin)}, torch {origin['versions']['torch']}",
    }


def _code(origin: dict) -> str:
    """Say which versions of the code made a study, and whether they mix."""
    if "shared_code" not in origin:
        return ", ".join(origin["code"]) + " (early hashes of the whole package)"
    runs = [{"approach": run["approach"], **run["code"]} for run in origin["runs"]]
    shared = f"{', '.join(origin['shared_code'])}, with each approach's own {', '.join(origin['code'])}"
    return " ".join([shared, *(f"({line.rstrip('.')})" for line in mixed(runs))])


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
    early = [TITLES.get(name, name) for name in _order() if "shared_code" not in published.load(name)[1]]
    note = "Made by an early version, whose runs do not say which code each is of: " + "; ".join(early) + "."
    return Table("What is stored", header, rows, [note] if early else [])


def _summaries(predictions: pd.DataFrame) -> list[Table]:
    """Return the tables in the paper's layouts; a balanced cohort has only one Table 7."""
    found = report.summaries(predictions)
    return [table for number, table in enumerate(found) if not number or table.rows != found[number - 1].rows]
