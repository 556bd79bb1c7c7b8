"""The page ``book/audit``: how to audit a cohort, and how far the verdict can be trusted."""

from __future__ import annotations

import pandas as pd

from sdnet_lib.audit import findings
from sdnet_lib.evaluation.render import NONE, Table, number
from sdnet_lib.publish.templates import fill
from sdnet_lib.studies import published, published_audit


def write() -> str:
    """Return the page as Markdown."""
    table, origin = published.load("audit")
    costs, measured = published.load("audit-cost")
    audited, audits = published.load("audit-public")
    return fill(
        "audit",
        public=public(audited),
        audits=audits,
        costs=cost(costs),
        measured=measured,
        calibration=calibration(table),
        origin=origin,
        today=published_audit.code(),
        planned=len(published_audit.CELLS) * published_audit.SEEDS,
        done=len(table),
        bounds={"every other question": findings.PLAIN} | findings.BOUNDS,
        never=findings.WITH_LUNGS[1],
    )


def calibration(table: pd.DataFrame) -> Table:
    """Return a row for each kind of cohort: how often the audit was right, in %."""
    rows = [
        [
            row.shortcut,
            number(row.strength, 1, 1),
            str(row.images),
            str(row.cohorts),
            *(number(value, 0) for value in (row.named, row.others, row.red, row.green)),
        ]
        for row in published_audit.summary(table).itertuples()
    ]
    header = ["planted", "Strength", "Images", "Cohorts", "Named", "Another named", "Red", "Green"]
    return Table("Cohorts with one shortcut, audited, in %", header, rows)


def public(table: pd.DataFrame) -> Table:
    """Return a row for each cohort: its verdict, and what is red and amber, with the area of each guess."""
    rows = []
    for name, found in table.groupby("cohort", sort=False):
        first = found.iloc[0]
        levels = [_named(found[found["level"] == level]) for level in (findings.RED, findings.AMBER)]
        rows.append([name, f"{first.images:,}", f"{first.verdict}, {first.word}", *levels])
    return Table("What it says", ["Cohort", "Images", "Verdict", "Red", "Amber"], rows)


def _named(found: pd.DataFrame) -> str:
    """List findings: what was asked and how well it guesses the label; last what goes with another cause."""
    said = found["name"] + [f" ({number(auc, 2, 1)})" if pd.notna(auc) else "" for auc in found["auc"]]
    lead = found["goes_with"].fillna("")
    parts = [", ".join(said[lead == ""])]
    parts += [f"goes with {one}: {', '.join(said[lead == one])}" for one in lead[lead != ""].unique()]
    return "; ".join(part for part in parts if part) or NONE


def cost(table: pd.DataFrame) -> Table:
    """Return a row for each cohort whose audit was measured."""
    rows = [
        [
            f"{row.films:,}",
            str(row.size),
            row.lungs,
            *(f"{value:,.0f}" for value in (row.seconds, row.cpu_seconds)),
            f"{1000 * row.cpu_seconds / row.films:,.0f}",
            f"{row.megabytes:,.0f}",
        ]
        for row in table.itertuples()
    ]
    header = ["Films", "Pixels", "Lungs", "Seconds", "CPU seconds", "CPU ms a film", "MB"]
    return Table("What `sdnet audit` took", header, rows)
