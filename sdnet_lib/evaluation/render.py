"""Tables as text: aligned for a terminal, Markdown, LaTeX (booktabs), or CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.files import InputError
from sdnet_lib.models.registry import title
from sdnet_lib.names import csv_text

FORMS = ("text", "markdown", "csv", "latex")
CSV_COLUMNS = [
    "cohort",
    "table",
    "approach",
    "quantity",
    "mean",
    "sd",
    "low",
    "high",
    "runs",
    "undefined",
    "unlearned",
]
PAPER_COLUMNS = ["paper_mean", "paper_sd", "difference"]
HEADINGS = {
    "specificity": "Specificity",
    "precision_N": "Precision N",
    "f1_N": "F1 N",
    "sensitivity": "Sensitivity",
    "precision_P": "Precision P",
    "f1_P": "F1 P",
    "accuracy": "Accuracy",
}
NONE = "–"  # what there is no number for
LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "−": "$-$", "<": "$<$"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}


class Table(NamedTuple):
    """A table ready to be written: all cells are text, and the first column names the row.

    `numbers`, if there are any, is what a program reads instead: one row per number, fractions, with some of
    the columns `CSV_COLUMNS` and `PAPER_COLUMNS`.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: Sequence[str] = ()
    numbers: pd.DataFrame | None = None


class Section(NamedTuple):
    """Tables under one title; `cohort` is "" where it is the one that was cross-validated."""

    title: str
    cohort: str
    tables: list[Table]


def number(value: float, decimals: int = 2, scale: float = 100) -> str:
    """Write a fraction in % with two decimals, or any value times `scale`; NaN is a dash."""
    return NONE if np.isnan(value) else f"{value * scale:.{decimals}f}".replace("-", "−")


def interval(value: float, low: float, high: float, decimals: int = 2, scale: float = 100) -> str:
    """Write ``value [low, high]``; without bounds the value alone."""
    if np.isnan(low) or np.isnan(high):
        return number(value, decimals, scale)
    return "{} [{}, {}]".format(*(number(entry, decimals, scale) for entry in (value, low, high)))


def spread(mean: float, sd: float, undefined: int = 0) -> str:
    """Write ``mean ± sd`` in %, and in brackets how many runs have no value; the mean is of the others."""
    if np.isnan(mean):
        return "undefined"
    text = number(mean) if np.isnan(sd) else f"{number(mean)} ± {number(sd)}"
    return f"{text} [{undefined}]" if undefined else text


def p_value(p: float) -> str:
    """Write a p value with three decimals; NaN is a dash."""
    return "< 0.001" if p < 0.001 else number(p, 3, 1)


def summary_table(table: pd.DataFrame, caption: str) -> Table:
    """Lay out a table of `evaluation.tables.summary`, such as `table_5` or `table_6`, as the paper does.

    Parameters
    ----------
    table : DataFrame
        Columns (measure, mean | sd | runs | undefined | unlearned), fractions.
    caption : str
    """
    measures = list(dict.fromkeys(table.columns.get_level_values(0)))
    rows, undefined = [], False
    for approach in table.index:
        row = table.loc[approach]
        runs, unlearned = int((row[:, "runs"] + row[:, "undefined"]).max()), int(row[:, "unlearned"].max())
        cells = [spread(row[name, "mean"], row[name, "sd"], int(row[name, "undefined"])) for name in measures]
        undefined |= bool(row[:, "undefined"].any())
        rows.append([title(approach), f"{runs}, {unlearned} not learned" if unlearned else f"{runs}", *cells])
    note = "[k] or undefined: k runs, or all, have no value, for nothing was predicted or tested so."
    header = ["", "Runs", *(HEADINGS.get(name, name) for name in measures)]
    return Table(caption, header, rows, [note] * undefined)


def beside_table(beside: pd.DataFrame, caption: str) -> Table:
    """Lay out `evaluation.tables.beside_paper`: for each approach our row, the paper's, the difference."""
    measures, rows = list(dict.fromkeys(beside["measure"])), []
    for approach, group in beside.groupby("approach", sort=False):
        name, group = title(approach), group.set_index("measure").reindex(measures)
        rows.append([name, "ours", *map(_known, group["mean"], group["sd"])])
        rows.append([name, "paper", *map(_known, group["paper_mean"], group["paper_sd"])])
        rows.append([name, "difference", *map(_signed, group["difference"])])
    notes = ["Differences are ours less the paper's, in points."]
    if "covidnet" in set(beside["approach"]):
        notes.append("The paper's COVID-Net starts from weights that are gone, ours from random ones.")
    return Table(caption, ["", "", *(HEADINGS.get(name, name) for name in measures)], rows, notes)


def _known(mean: float, sd: float) -> str:
    return NONE if np.isnan(mean) else spread(mean, sd)


def _signed(value: float) -> str:
    return NONE if np.isnan(value) else f"{value * 100:+.2f}".replace("-", "−")


def write(table: Table, form: str) -> str:
    """Write a table as ``text``, ``markdown`` or ``latex``; it ends with a newline.

    Raises
    ------
    InputError
        If `form` is another word.
    """
    writers = {"text": _text, "markdown": _markdown, "latex": _latex}
    if form not in writers:
        raise InputError(f"format {form!r}: not one of {', '.join(writers)}")
    return writers[form](table)


def write_sections(sections: Sequence[Section], form: str) -> str:
    """Write sections, each under its title, in one of `FORMS`; a CSV has the `numbers` of their tables only.

    Raises
    ------
    InputError
        If `form` is another word.
    """
    if form == "csv":
        return _csv(sections)
    parts = [part for title, _, tables in sections for part in (title, *tables)]
    return "\n".join(_heading(part, form) if isinstance(part, str) else write(part, form) for part in parts)


def _csv(sections: Sequence[Section]) -> str:
    frames = [
        table.numbers.assign(cohort=section.cohort)
        for section in sections
        for table in section.tables
        if table.numbers is not None
    ]
    rows = pd.DataFrame([row for frame in frames for row in frame.to_dict("records")])
    columns = CSV_COLUMNS + [column for column in PAPER_COLUMNS if column in rows]
    rows = rows.reindex(columns=columns).astype(dict.fromkeys(("runs", "undefined", "unlearned"), "Int64"))
    return csv_text(rows, float_format="%.6f", lineterminator="\n")


def _heading(text: str, form: str) -> str:
    if form == "latex":
        return f"\\section*{{{_escape(text)}}}\n"
    return f"## {text}\n" if form == "markdown" else f"{text}\n{'=' * len(text)}\n"


def _aligned(table: Table) -> list[list[str]]:
    """Pad the cells of each column to one width: the first to the left, the others to the right."""
    lines = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        [cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(pairs)]
        for pairs in (zip(line, widths, strict=True) for line in lines)
    ]


def _text(table: Table) -> str:
    header, *rows = ("  ".join(line).rstrip() for line in _aligned(table))
    rule = "-" * max(map(len, [header, *rows]))
    return "\n".join([table.caption, rule, header, rule, *rows, rule, *table.notes]) + "\n"


def _markdown(table: Table) -> str:
    safe = table._replace(
        header=[cell.replace("|", r"\|") for cell in table.header],
        rows=[[cell.replace("|", r"\|") for cell in row] for row in table.rows],
    )
    header, *rows = (f"| {' | '.join(line)} |" for line in _aligned(safe))
    rule = "|:---|" + "---:|" * (len(table.header) - 1)
    notes = [text for note in table.notes for text in ("", note)]
    above = [f"**{table.caption}**", ""] if table.caption else []
    return "\n".join([*above, header, rule, *rows, *notes]) + "\n"


def _escape(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _latex(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return " & ".join(map(_escape, cells)) + r" \\"

    parts = [
        r"\begin{table}",
        rf"\caption{{{_escape(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        line(table.header),
        r"\midrule",
        *map(line, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par {_escape(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"
