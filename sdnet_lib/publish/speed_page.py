"""The page ``book/how_fast``: what stored files of ``sdnet bench`` say, and what nobody has measured."""

from __future__ import annotations

from pathlib import Path

from sdnet_lib.evaluation.render import NONE, Table, number
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import bench
from sdnet_lib.studies.budget import DEVICES

HEADER = ["stage", "Images/s", "of FLOP/s", "of bytes/s", "Memory", "Plain", "Ratio", "The plain reference"]
UNITS = {"minutes": "at most", "waits": "at most", "images/s": "at least", "times": "at least"}


def write(folder: Path = bench.STORED) -> str:
    """Return the page as Markdown, from the files in a folder; each gets a section."""
    found = bench.read(folder)
    return fill(
        "how_fast",
        machines=[_section(one) for one in found],
        gpu=any(one["device"] == "cuda" for one in found),
        without=[name for name in DEVICES if not any(name in one["machine"] for one in found)],
    )


def _section(found: dict) -> dict:
    """Return a machine's facts, its tables, and what its file does not hold."""
    parts = found.get("parts", {})
    return found | {
        "table": stages(found),
        "goals_table": goals(found["goals"]) if found.get("goals") else None,
        "lacks": [name for name in bench.NAMES if name not in found["stages"]],
        "unfinished": {name: one["ended"] for name, one in parts.items() if one["ended"] != "done"},
    }


def stages(found: dict) -> Table:
    """Return a row for each stage of a file."""
    rows = []
    for name, row in found["stages"].items():
        moved = NONE if row["of_bytes"] is None else _percent(row["of_bytes"])
        memory, ratio = f"{row['memory'] / 2**20:,.0f} MiB", number(row["ratio"], 1, 1)
        speeds = [f"{row[side]:,.1f}" for side in ("images_per_second", "plain")]
        cells = [speeds[0], _percent(row["of_flops"]), moved, memory, speeds[1], ratio, row["plain_title"]]
        rows.append([f"`{name}`: {row['title']}", *cells])
    return Table("", HEADER, rows)


def goals(found: list[dict]) -> Table:
    """Return a row for each goal that a GPU was measured against."""
    rows = [
        [
            row["what"],
            f"{row['reached']:,.1f}",
            f"{UNITS[row['unit']]} {row['wanted']:,g}",
            row["unit"],
            row["note"],
        ]
        for row in found
    ]
    return Table("", ["goal", "Reached", "Wanted", "Unit", "How"], rows)


def _percent(fraction: float) -> str:
    return f"{fraction:.0%}" if fraction >= 0.01 or not fraction else "< 1%"
