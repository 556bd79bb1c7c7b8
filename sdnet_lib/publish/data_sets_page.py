"""The page ``book/data_sets``: every public set that the library knows, and what was run on real files."""

from __future__ import annotations

from textwrap import wrap

from data_scripts import registry
from data_scripts.covidx_rules import CLASSES, VERSIONS
from sdnet_lib.evaluation.render import Table
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import published

WIDTH = 79  # letters of a line that a page shows whole


def write() -> str:
    """Return the page as Markdown: sets from the registry, runs from the stored record."""
    table, origin = published.load("data-sets")
    runs = {name: list(lines) for name, lines in table.groupby("data_set")["line"]}
    shown = {
        name: [part for line in lines for part in wrap(line, WIDTH, subsequent_indent="  ")]
        for name, lines in runs.items()
    }
    return fill(
        "data_sets",
        sets=registry.PUBLIC.values(),
        runs=shown,
        overview=_overview(runs),
        covidx=_beside_the_paper(origin["covidx"]),
        reasons={VERSIONS[name].paper: VERSIONS[name].why for name in origin["covidx"]},
        normal=(
            origin["covidx"]["covidx2"]["listed"]["normal"],
            registry.PUBLIC["rsna-pneumonia"].published["N"],
        ),
        origin=origin,
    )


def _overview(runs: dict[str, list[str]]) -> Table:
    rows = [
        [
            f"[{one.name}](#set-{one.name})",
            ", ".join(f"{count:,} {label}" for label, count in one.published.items()) or "see its table",
            runs[one.name][0] if one.name in runs else "never run on real files: not at hand",
        ]
        for one in registry.PUBLIC.values()
    ]
    return Table("", ["data set", "Published", "Read here"], rows)


def _beside_the_paper(counts: dict[str, dict[str, dict[str, int]]]) -> Table:
    rows = [
        [f"{VERSIONS[name].paper}, {what}", *(f"{found[key][one]:,}" for one in CLASSES)]
        for name, found in counts.items()
        for key, what in (("paper", "Table 1 of the paper"), ("listed", "its lists"))
    ]
    return Table("", ["images", *CLASSES], rows)
