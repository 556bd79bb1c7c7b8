"""The page ``book/results``: every stored cross-validation, all its numbers from the prediction tables.

Only `ABOUT` and the opening are written by hand; they hold no number.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.config import stored_profile
from sdnet_lib.evaluation import curves, statistics, tables
from sdnet_lib.evaluation.metrics import RUN
from sdnet_lib.evaluation.render import NONE, Table, interval, number, summary_table
from sdnet_lib.evaluation.render import write as render
from sdnet_lib.studies import published

HALF = 0.05  # the usual line; a table of p values says more
OPENING = """# Results: the stored cross-validations

Training takes hours on two cores, so the book does not repeat it each time. What was trained lies in the
course as tables of predictions, one row an image that a network was tested on. This page is computed from
these tables, down to the last digit; [chapter 6](../notebooks/06_cross_validation.ipynb) explains every
column.

:::{admonition} Before you compare
:class: warning
- **Not a medical device.** Nothing here says how well anybody's pneumonia, tuberculosis or COVID-19 would be
  found.
- Images are small and training is short: what two cores can do. The paper's networks saw larger images for
  longer.
- The two ResNet-50 rows, FuCiTNet and COVID-SDNet stand for the paper's *methods*. Their trunk is a smaller
  network that has seen ImageNet; each study says which.
- Rivals that start from random numbers may need more than a few epochs. The column *weights at the start*
  says which do; one study is trained longer. A low row is no verdict on the paper that it comes from.
- These are not COVIDGR's patients, so no number here confirms or refutes one of the paper's.
:::
"""
NOTHING = "\nNo study is stored in this copy of the course.\n"


class About(NamedTuple):
    """What is said of a study by hand: its title, what it asks, and how to read its answer."""

    title: str
    text: str


ABOUT = {
    "phantom": About(
        "Synthetic, one hospital",
        "The homogeneous synthetic cohort of the course, with the paper's levels of severity. **What "
        "it means**: the whole protocol runs, and harder levels are harder. Normal-PCR+ is drawn "
        "without any disease, so it is called positive as often as a negative is by mistake, and no "
        "method can do better. **What it does not mean**: opacities that a program draws are not "
        "pneumonia, and an order of methods on drawings need not hold on films.",
    ),
    "phantom-longer": About(
        "Synthetic, one hospital, trained longer",
        "The first study once more, with many more epochs allowed to every classifier, as far as "
        "its own recipe goes (COVIDNet's ends after ten). Generators keep their single epoch, so FuCiTNet's "
        "own row gains nothing. "
        "**What it means**: equal epochs are not a fair comparison, for networks that start from random "
        "numbers need more of them. **What it does not mean**: that this is all that any of them can do; the "
        "images are as small as before.",
    ),
    "phantom-no-pcr": About(
        "Synthetic, one hospital, without Normal-PCR+",
        "The same cohort without the positives whose lungs look normal, in training and in test: the "
        "paper's Tables 7 and 8. **What it means**: how much of an accuracy is decided by who is let "
        "in. **What it does not mean**: that a method got better. A ward cannot leave these patients "
        "out, for nobody knows who they are.",
    ),
    "phantom-biased": About(
        "Synthetic, mixed sources",
        "Positives and negatives come from different imaginary hospitals, as in early public "
        "mixtures; each network is then carried to the homogeneous cohort, which is the situation of "
        "the paper's Table 4. **What it means**: a score at home says nothing about a hospital "
        "elsewhere. **What it does not mean**: that these networks learned a disease well; chapter 1 "
        "shows what they learned.",
    ),
    "shenzhen": About(
        "Tuberculosis, one hospital",
        "Tuberculosis against normal in a hospital of Shenzhen, carried to Montgomery County in "
        "another country. **What it means**: real films, real shift, the same disease in both places. "
        "**What it does not mean**: all of the score is lungs. In chapter 1 the border alone told "
        "much of this label, so read these rows against the border's, not against a coin. "
        "Tuberculosis is not COVID-19 either.",
    ),
    "shenzhen-32px": About(
        "Tuberculosis, one hospital, all approaches on tiny images",
        "The same question put to all approaches once, on images so small that even the dear ones could "
        "be trained. **What it means**: a comparison on equal terms, of what each learns from tiny "
        "images in few epochs. **What it does not mean**: a ranking. Five runs of a cross-validation "
        "can hardly tell two rows apart, and some of these networks were built for images many times "
        "as wide.",
    ),
    "nih-pneumonia": About(
        "Pneumonia, one archive",
        "Pneumonia against no finding inside ChestX-ray8, with as many of each view in both classes. "
        "**What it means**: a cohort of one source, with labels as archives have them. **What it does "
        "not mean**: much about pneumonia. A program took these labels from reports, many are wrong, "
        "and the border leaks here too (chapter 1).",
    ),
    "covidx-mini": About(
        "COVID-19, mixed sources",
        "A mixture as the early papers used: COVID-19 cut out of articles, negatives from an American "
        "archive; carried to Actualmed. **What it means**: the rows look good at home, because the "
        "source gives the label away, and fall elsewhere. Chapter 1 gets far on this mixture without a "
        "lung in the picture. **What it does not mean**: that anything here detects COVID-19. This "
        "section is a warning, not a result.",
    ),
}


def write() -> str:
    """Return the page as Markdown; without stored studies it says so."""
    if not published.stored():
        return OPENING + NOTHING
    parts = [OPENING, render(overview(), "markdown")]
    for name in _order():
        parts += _section(name, *published.load(name))
    return "\n".join(parts)


def _order() -> list[str]:
    names = published.stored()
    return [name for name in ABOUT if name in names] + [name for name in names if name not in ABOUT]


def elsewhere(name: str) -> list[str]:
    """Return the other cohorts that a stored study's networks were tested on."""
    stem = f"{name}-on-"
    return sorted(file.stem.removeprefix(stem) for file in published.PACKED.glob(f"{stem}*.parquet"))


def provenance(predictions: pd.DataFrame, origin: dict) -> dict[str, str]:
    """Say in words where a stored study comes from, for a reader of its numbers."""
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
        "side": f"{profile['image_size']} pixels",
        "epochs": f"at most {profile['epochs']}, patience {profile['patience']}",
        "trunk": f"{profile['backbone']} (generators: {profile['generator_backbone']})",
        "device": f"{origin['device']}, {origin['threads']} thread",
        "computing": f"{origin['hours_of_computing']:.1f} hours in all",
        "code": ", ".join(origin["code"]) + f", torch {origin['versions']['torch']}",
    }


def overview() -> Table:
    """Return one row a stored study, those in `ABOUT` first and in its order."""
    rows = []
    for name in _order():
        predictions, origin = published.load(name)
        said = provenance(predictions, origin)
        best = tables.table_5(predictions)["accuracy"]["mean"]
        found = f"{number(best.min())} to {number(best.max())}"
        approaches = str(predictions["approach"].nunique())
        rows.append([_title(name), said["images"], said["patients"], approaches, said["protocol"], found])
    header = ["Study", "Images", "Patients", "Approaches", "Protocol", "Accuracy, lowest to highest row"]
    return Table("What is stored", header, rows)


def _title(name: str) -> str:
    return ABOUT[name].title if name in ABOUT else name


def _section(name: str, predictions: pd.DataFrame, origin: dict) -> list[str]:
    facts = [f"- *{key}*: {value}" for key, value in provenance(predictions, origin).items()]
    found = [f"## {_title(name)}\n", f"{ABOUT[name].text}\n" if name in ABOUT else ""]
    found += [*facts, f"- *command*: `{origin['command']}`\n"]
    made = [_training(origin), *_summaries(predictions)]
    made += [_areas(predictions, tables.table_5(predictions)["accuracy"])]
    found += [render(table, "markdown") for table in made]
    found += _folded(pairs(predictions))
    for other in elsewhere(name):
        away, _ = published.load(name, other)
        found += [f"### Carried to `{other}`\n", render(carried(predictions, away), "markdown")]
    return found


def _folded(table: Table) -> list[str]:
    """Return a table in a box that opens on a click, under its own caption."""
    _, *lines = render(table, "markdown").split("\n")
    return [f"::::{{dropdown}} {table.caption}", *lines, "::::\n"]


def _training(origin: dict) -> Table:
    runs = pd.DataFrame(origin["runs"]).groupby("approach", sort=False)
    rows = []
    for approach in sorted(runs.groups, key=_place):
        group = runs.get_group(approach)
        weights = sorted({text for said in group["training"] for text in _weights(said)})
        cells = [str(len(group)), ", ".join(weights) or NONE, f"{group['seconds'].mean():.0f}"]
        rows.append([tables.title(approach), *cells])
    header = ["", "Runs", "Weights at the start", "Seconds a run"]
    note = "Seconds were taken while other programs ran on the same cores."
    return Table("How the rows were trained", header, rows, [note])


def _place(approach: str) -> int:
    names = list(tables.NAMES)
    return names.index(approach) if approach in names else len(names)


def _weights(said: dict) -> list[str]:
    """Return what a run's provenance says about its weights, at any depth.

    The generators' says it of the classifier and of the perceptual network that they were trained with.
    """
    found = [said[key] for key in ("weights", "classifier", "perceptual") if isinstance(said.get(key), str)]
    return found + [text for part in said.values() if isinstance(part, dict) for text in _weights(part)]


def _summaries(predictions: pd.DataFrame) -> list[Table]:
    """Return the tables in the layout of Tables 5 and 6, or 7 and 8."""
    main, levels = tables.table_numbers(predictions)
    over = "mean ± sd over runs, in %"
    if main == 7:
        matched = tables.match_negatives(predictions)
        caption = f"Layout of Table 7, as many negatives as positives: {over}"
        found = [summary_table(tables.table_5(matched), caption)]
        if len(matched) < len(predictions):
            found += [summary_table(tables.table_5(predictions), f"The same with all negatives: {over}")]
    else:
        found = [summary_table(tables.table_5(predictions), f"Layout of Table 5: {over}")]
    if levels:
        caption = f"Layout of Table {levels}, accuracy by severity: mean ± sd over repetitions, in %"
        found += [summary_table(tables.table_6(predictions), caption)]
    return found


def _single(predictions: pd.DataFrame) -> dict[str, str]:
    """Return mean, lowest and highest area of single networks, by approach."""
    areas = curves.areas_of_runs(predictions).groupby("approach", sort=False)
    found = areas.agg(["mean", "min", "max"])
    return {
        row.Index: f"{number(row.mean, 3, 1)} ({number(row.min, 3, 1)} to {number(row.max, 3, 1)})"
        for row in found.itertuples()
    }


def _area(images: pd.DataFrame) -> str:
    if images["label"].nunique() < 2:
        return NONE
    found = curves.areas(images)
    return interval(found["auc"], found["auc_low"], found["auc_high"], 3, 1)


def _areas(predictions: pd.DataFrame, accuracy: pd.DataFrame) -> Table:
    single, bounds = _single(predictions), statistics.intervals(predictions)
    rows = []
    for approach, images in curves.per_image(predictions).items():
        mean = interval(*bounds.loc[approach])
        rows.append([tables.title(approach), mean, _area(images), single[approach]])
    header = ["", "Accuracy [95 %]", "AUC [95 %]", "AUC of single networks"]
    notes = [
        "Accuracy: interval over runs, with Nadeau and Bengio's variance. AUC: an image's probabilities are "
        f"averaged over the networks that tested it; interval from {curves.DRAWS} samples of patients. "
        "Single networks: mean (lowest to highest)."
    ]
    return Table("With their uncertainty", header, rows, notes)


def pairs(predictions: pd.DataFrame) -> Table:
    """Compare all pairs of approaches, each on the runs that both have; Holm over all of them."""
    rows, values = [], []
    folds = statistics.folds_of(predictions)
    for first, second in combinations(predictions["approach"].unique(), 2):
        both = common_runs(predictions[predictions["approach"].isin([first, second])])
        runs = len(both[list(RUN[1:])].drop_duplicates())
        name = f"{tables.title(first)} − {tables.title(second)}"
        if runs < 2:
            rows.append([name, str(runs), NONE, NONE])
            values.append(np.nan)
            continue
        test = statistics.pairwise(both, folds=folds).iloc[0]
        rows.append([name, str(runs), interval(test["mean"], test["low"], test["high"]), _p(test["p"])])
        values.append(test["p"])
    known = ~np.isnan(values)
    adjusted = np.full(len(values), np.nan)
    adjusted[known] = statistics.holm(np.array(values)[known])
    table = [[*row, _p(p)] for row, p in zip(rows, adjusted, strict=True)]
    few = int((adjusted < HALF).sum())
    caption = f"Pairs of approaches: {few} of {len(table)} differ in accuracy (p after Holm below {HALF})"
    header = ["", "Runs", "Difference in points [95 %]", "p", "p (Holm)"]
    return Table(caption, header, table, ["Corrected resampled t-test on the runs that both have."])


def _p(value: float) -> str:
    return NONE if np.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def common_runs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs (repeat, fold) that every approach has."""
    runs = predictions[list(RUN)].drop_duplicates().groupby(list(RUN[1:])).size()
    shared = runs.index[runs == predictions["approach"].nunique()]
    return predictions[pd.MultiIndex.from_frame(predictions[list(RUN[1:])]).isin(shared)]


def carried(home: pd.DataFrame, away: pd.DataFrame) -> Table:
    """Set the same networks at home and elsewhere side by side."""
    before, after = (tables.table_5(table) for table in (home, away))
    there, single = curves.per_image(away), _single(away)
    at_home = curves.per_image(home)
    rows = []
    for approach in after.index:
        recalls = [
            number(table.at[approach, (measure, "mean")])
            for measure in ("specificity", "sensitivity", "accuracy")
            for table in (before, after)
        ]
        areas = [_area(at_home[approach]), _area(there[approach]), single[approach]]
        rows.append([tables.title(approach), *recalls, *areas])
    names = [f"{name} {place}" for name in ("Spec.", "Sens.", "Acc.") for place in ("home", "away")]
    header = ["", *names, "AUC home [95 %]", "AUC away [95 %]", "AUC away, single networks"]
    images = away.drop_duplicates("image_id")
    share = number((images["label"] == "P").mean())
    note = (
        f"Away: {len(images)} images of {images['patient_id'].nunique()} patients, {share} % positive; every "
        "network tests all of them. Home: each image is tested by networks that were not trained on it."
    )
    return Table("The same networks at home and away, in % (AUC as a fraction)", header, rows, [note])
