"""The page ``book/model_card``: what the models of the package are, and where they look."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdnet_lib.config import stored_profile
from sdnet_lib.data.cohort import SEVERITIES
from sdnet_lib.evaluation.render import NONE, Table, interval
from sdnet_lib.publish import lung_card
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import model_file, published

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
    cards = {
        name: model_file.read_card(model_file.SHIPPED / f"{name}.safetensors")
        for name in model_file.shipped()
    }
    stored, origin = published.load("pointing")
    return fill(
        "model_card",
        warning=model_file.NO_DEVICE,
        models=[(name, card, stored_profile(card["profile"])) for name, card in cards.items()],
        where=where(stored),
        checks=checks(stored),
        origin=origin,
        lungs=lungs(),
    )


def where(stored: pd.DataFrame) -> list[Table]:
    """Return a table per measure, of all levels of severity together, and one by severity for the model."""
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
    """Return a table per network of what `explain.faithfulness.checks` found: a row per method."""
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
    return lung_card.card().split("\n", 1)[1].strip().replace("\n## ", "\n### ")
