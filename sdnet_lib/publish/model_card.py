"""The page ``book/model_card``: what the models of the package are, and where they look."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sdnet_lib.config import stored_profile
from sdnet_lib.evaluation.render import NONE, Table, interval
from sdnet_lib.publish import lung_card
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import card as cards
from sdnet_lib.studies import published

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
    found = {name: cards.read(cards.find(name)) for name in cards.shipped()}
    stored, origin = published.load("pointing")
    return fill(
        "model_card",
        warning=cards.NO_DEVICE,
        models=[(name, card, stored_profile(card["profile"])) for name, card in found.items()],
        own={name: [*decided(card), *pointed(card)] for name, card in found.items()},
        where=where(stored),
        checks=checks(stored),
        origin=origin,
        lungs=lungs(),
    )


def decided(card: dict) -> list[Table]:
    """Return what each threshold of a card finds, group by group; nothing for a card without thresholds."""
    points = card.get("thresholds", [])
    if not points:
        return []
    groups = points[0]["found"]
    header = [
        "Specificity wanted",
        "P from",
        *(f"{name} ({group['images']})" for name, group in groups.items()),
    ]
    rows = [
        [
            f"{100 * point['specificity']:.0f} %",
            f"{point['threshold']:.3f}",
            *(interval(*group["percent"], 1, 1) for group in point["found"].values()),
        ]
        for point in points
    ]
    return [Table("Called P, in % of the images of a group", header, rows)]


def pointed(card: dict) -> list[Table]:
    """Return what a card's maps are worth, by method and layer; nothing for a card without."""
    rows = [
        [
            row["method"],
            f"`{row['layer']}`, {row['cells']} x {row['cells']}" if row["layer"] else NONE,
            *(interval(*row[value], 0, 1) for value in ("hit_lesions", "energy_lesions")),
        ]
        for row in card.get("maps", [])
    ]
    if not rows:
        return []
    images = card["maps"][0]["images"]
    caption = f"Maps why P of {images} positives with lesions, measured on the crop, in %"
    return [Table(caption, ["Method", "Layer, cells", "Pointing game", "Energy in lesions"], rows)]


def where(stored: pd.DataFrame) -> list[Table]:
    """Return a table per measure, of all levels of severity together."""
    found = []
    everyone = stored[stored["severity"] == "all"]
    for value, caption in VALUES.items():
        part = everyone[everyone["value"] == value]
        if len(part):
            found.append(_table(part, ["cohort", "approach"], f"{caption}, in %"))
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
