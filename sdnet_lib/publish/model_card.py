"""The page ``book/model_card``: what the models of the package are, and where they look."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdnet_lib.config import stored_profile
from sdnet_lib.data.cohort import SEVERITIES
from sdnet_lib.evaluation import tables
from sdnet_lib.evaluation.render import NONE, Table, interval
from sdnet_lib.evaluation.render import write as render
from sdnet_lib.lungs import unet
from sdnet_lib.studies import model_file, published_pointing

OPENING = f"""# Model card

:::{{admonition}} Not a medical device
:class: warning
{model_file.NO_DEVICE}
:::

The course comes with small models, so that `sdnet predict` works at once after installation. This page is
computed from the cards in their files and from stored measurements;
[chapter 7](../notebooks/07_gradcam.ipynb) explains the measures.

## What they are for

To learn on: to see how a prediction, its uncertainty and its heat maps look, and to catch a model cheating.
They are for no patient. They do not tell COVID-19 from any other disease, have seen no side views and no film
of your hospital, and their probabilities hold for cohorts with as many positives as theirs.
"""
WHERE = """
## Where networks look

Shares of the energy of the map *why positive*, on positives that the network has not learned from, measured
on the whole image; 95 % intervals from samples of patients. Maps that know no model, `uniform` and `edges`,
are there to compare with: on a crop, even a uniform map has more of its energy in the lungs. Integrated
gradients are missing where they would have had to pass through generators: too dear for two cores.
"""
CHECKS = """
## Are the maps about the model?

On positives whose lesions are known. *Likeness* is the rank correlation of a map with the one that the same
method draws after the network's last layer, last third of the layers, or all layers have got random
weights: an explanation should become another picture, so a large value is bad. A map that becomes flat
counts as zero. *Deletion* and *insertion* are the areas under the probability of P while pixels are
blurred, or come back, in the order of the map: deletion should be small, insertion large, and both better
than in random order.
"""
CHECKED = {
    "alike_last": "last layer",
    "alike_third": "last third",
    "alike_all": "all layers",
    "deletion": "deletion",
    "insertion": "insertion",
}
VALUES = {
    "energy_lungs": "Energy in the lungs",
    "energy_outside": "Energy outside the patient",
    "energy_lesions": "Energy in lesions",
    "hit_lesions": "Pointing game: brightest pixel in a lesion",
}


def write() -> str:
    """Return the page as Markdown."""
    parts = [OPENING]
    for name in model_file.shipped():
        parts += _model(name, model_file.read_card(model_file.SHIPPED / f"{name}.safetensors"))
    stored, origin = published_pointing.load()
    parts += [WHERE, *(render(table, "markdown") for table in where(stored))]
    parts += [CHECKS, *(render(table, "markdown") for table in checks(stored))]
    parts.append(
        f"\nNetworks of `{origin['backbone']}` at {origin['side']} pixels. Command: `{origin['command']}`\n"
    )
    parts.append("## The lung U-Nets\n\n" + lungs())
    return "\n".join(parts)


def _model(name: str, card: dict) -> list[str]:
    """Return the section about one model."""
    cohort, found, profile = card["cohort"], card["cross_validation"], stored_profile(card["profile"])
    accuracy, auc = (interval(*found[key], digits, 1) for key, digits in (("accuracy", 1), ("auc", 3)))
    part = "the lungs" if card["crops"] else "all"
    facts = {
        "approach": f"{tables.title(card['approach'])} (`{card['approach']}`), trunk `{profile['backbone']}`",
        "trained on": f"{', '.join(cohort['sources'])}: {cohort['images']} images of {cohort['patients']} "
        f"patients, {cohort['N']} N and {cohort['P']} P",
        "reads": f"{part} of an image, {profile['image_size']} x {profile['image_size']} pixels",
        "cross-validation": f"{found['runs']} runs: accuracy {accuracy} %, area under the ROC curve {auc}, "
        f"sensitivity {found['sensitivity']:.1f} %, specificity {found['specificity']:.1f} %",
    }
    if "severity" in found:
        levels = (f"{level} {value:.1f}" for level, value in found["severity"].items())
        facts["accuracy by severity, in %"] = ", ".join(levels)
    facts["made by"] = f"`{card['command']}`, code {card['code']['hash']}, torch {card['versions']['torch']}"
    lines = [f"- *{key}*: {text}" for key, text in facts.items()]
    return [f"## `{name}`\n", *lines, "\nLimits:\n", *(f"- {limit}" for limit in card["limits"]), ""]


def where(stored: pd.DataFrame) -> list[Table]:
    """Return a table a measure, of all levels of severity together, and one by severity for the model."""
    found = []
    everyone = stored[stored["severity"] == "all"]
    for value, caption in VALUES.items():
        part = everyone[everyone["value"] == value]
        if len(part):
            found.append(_table(part, ["cohort", "approach"], f"{caption}, in %"))
    levels = stored[stored["approach"].str.startswith("model ") & stored["severity"].isin(SEVERITIES)]
    levels = levels.sort_values("severity", key=lambda names: names.map(SEVERITIES.index), kind="stable")
    for value in ("energy_lesions", "hit_lesions"):
        part = levels[(levels["value"] == value) & levels["mean"].notna()]
        if len(part):
            found.append(_table(part, ["approach", "severity"], f"{VALUES[value]}, by severity, in %"))
    return found


def checks(stored: pd.DataFrame) -> list[Table]:
    """Return a table a network of what `pointing.checks` found: a row a method."""
    found, part = [], stored[stored["value"].isin(CHECKED)]
    for (cohort, approach), group in part.groupby(["cohort", "approach"], sort=False):
        rows = []
        for method, own in group.groupby("method", sort=False):
            by_value = own.set_index("value")
            rows.append([method, *(_cell(by_value.loc[value], 2, 1) for value in CHECKED)])
        images = int(group["images"].max())
        header = ["", *CHECKED.values()]
        found.append(Table(f"{cohort} {approach}, {images} images: likeness and areas", header, rows))
    return found


def _table(part: pd.DataFrame, keys: list[str], caption: str) -> Table:
    methods = list(dict.fromkeys(part["method"]))
    rows = []
    for key, group in part.groupby(keys, sort=False):
        by_method = group.set_index("method")
        cells = [_cell(by_method.loc[method]) if method in by_method.index else NONE for method in methods]
        rows.append([" ".join(key), str(int(group["images"].max())), *cells])
    return Table(caption, ["", "Images", *methods], rows)


def _cell(row: pd.Series, digits: int = 0, factor: int = 100) -> str:
    known = not np.isnan(row["mean"])
    return interval(row["mean"], row["low"], row["high"], digits, factor) if known else NONE


def lungs() -> str:
    """Return the card of the lung U-Nets, without its own title, one level deeper."""
    text = (unet.WEIGHTS / "lungs.md").read_text()
    return text.split("\n", 1)[1].strip().replace("\n## ", "\n### ") + "\n"
