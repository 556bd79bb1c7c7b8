"""The page ``book/builder``: what `sdnet build` does with an archive, and how well."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from sdnet_lib import plots
from sdnet_lib.evaluation.render import Table, number
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import published

FIGURE = "images/builder_flow.png"  # beside the page
GOAL = 20  # minutes that 2,000 studies may take
KINDS = {
    "hide": "names, ids, addresses and free text: gone",
    "uid": "UIDs: another, everywhere the same",
    "date": "dates: earlier by the same days for a patient",
    "keep": "what science needs: as it was",
    "all": "all",
}
WORDS = {
    "words": "all words",
    "contrast": "contrast, as a fraction of the grey scale",
    "height": "height of letters in pixels",
    "font": "font",
    "grey": "grey, 0 black to 1 white",
    "place": "place",
}


def write() -> str:
    """Return the page as Markdown."""
    table, origin = published.load("build")
    rules = pd.DataFrame(origin["built"]["flow"]).itertuples()
    return fill(
        "builder",
        figure=FIGURE,
        flow=", then ".join(
            f"{row.left} {'' if row.Index == 0 else 'left after '}“{row.rule}”" for row in rules
        ),
        headers=headers(table),
        words=words(table),
        markers=_rows(table, "markers"),
        false_finds=_rows(table, "false")[0],
        goal=GOAL,
        origin=origin,
    )


def figures() -> dict[str, Figure]:
    """Draw who was left out of the simulated archive, and why; by file name."""
    built = published.load("build")[1]["built"]
    return {FIGURE: plots.flow_diagram(pd.DataFrame(built["flow"]), built["images"])}


def headers(table: pd.DataFrame) -> Table:
    """Return right actions by kind."""
    found = {row.name: row for row in _rows(table, "headers")}
    rows = [
        [what, f"{found[kind].right:,}", f"{found[kind].total:,}", _percent(found[kind], 2)]
        for kind, what in KINDS.items()
    ]
    return Table("Right actions in headers", ["what was planted", "Right", "Of", "%"], rows)


def words(table: pd.DataFrame) -> Table:
    """Return how many planted words are masked, by how they are written."""
    rows = [
        [f"{what}: {row.name}" if name != "words" else what, str(row.right), str(row.total), _percent(row, 1)]
        for name, what in WORDS.items()
        for row in _rows(table, name)
    ]
    return Table("Planted words that are masked", ["words", "Masked", "Of", "%"], rows)


def _rows(table: pd.DataFrame, name: str) -> list[tuple]:
    return list(table[table["table"] == name].itertuples(index=False, name="Row"))


def _percent(row: tuple, decimals: int) -> str:
    return number(row.right / row.total, decimals)
