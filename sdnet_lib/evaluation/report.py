"""The tables that a study's predictions make: for ``sdnet tables RUNS`` and for the results page of the book.

Each folder ``RUNS/on-<cohort>`` is the same networks on other images and has a section of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sdnet_lib.config import OWN_RECIPE
from sdnet_lib.evaluation import gains, learned, origins, tables, trained, uncertainty
from sdnet_lib.evaluation.metrics import PER, confusion
from sdnet_lib.evaluation.render import (
    FORMS,
    PAPER_COLUMNS,
    Section,
    Table,
    beside_table,
    summary_table,
    write_sections,
)
from sdnet_lib.files import InputError, write_text
from sdnet_lib.models.registry import title

ALL_NEGATIVES = "table_7_all_negatives"  # which is not how the paper made its Table 7


def report(
    runs: str | Path,
    form: str = "text",
    per: str = "repeat",
    paper: bool = False,
    output: str | Path | None = None,
) -> str:
    """Return the report of a study, and write it to a file if asked.

    Parameters
    ----------
    runs : path
        A folder as for `evaluation.tables.read_runs`.
    form : str
        ``text``, ``markdown`` or ``latex`` for people; ``csv`` for programs: one row per number, fractions,
        the summary tables and the areas only.
    per : str
        ``repeat`` or ``fold``: over what the accuracy by severity is averaged.
    paper : bool
        Whether to set the paper's numbers beside.
    output : path, optional
        File to write, in UTF-8.

    Raises
    ------
    InputError
        If the runs cannot be read or an option is not one of its words.
    """
    if form not in FORMS:
        raise InputError(f"--format {form!r}: not one of {', '.join(FORMS)}")
    if per not in PER:
        raise InputError(f"--per {per!r}: not one of {', '.join(PER)}")
    first = cross_validation(tables.read_rows(runs), per, paper)
    remarks = origins.remarks(file for *_, file in sorted(tables.run_files(Path(runs))))
    counts, *others = first.tables
    counts, training = counts._replace(notes=[*counts.notes, *remarks]), trained.read_origins(runs)
    if training:
        others.insert(0, trained.table(training, training[0]["profile"].get("budget", OWN_RECIPE)))
    sections = [first._replace(tables=[counts, *others])]
    for cohort, folder in tables.other_cohorts(runs).items():
        sections.append(external(cohort, tables.read_rows(folder)))
    text = write_sections(sections, form)
    if output is not None:
        write_text(Path(output), text)
    return text


def cross_validation(predictions: pd.DataFrame, per: str = "repeat", paper: bool = False) -> Section:
    """Return all tables of a cohort that was cross-validated; see `report` for the options."""
    counts, predictions = tested(predictions), tables.answered(predictions)
    found = [
        counts,
        *summaries(predictions, per, paper),
        uncertainty.intervals(predictions),
        *_gains(predictions),
        uncertainty.pairs(predictions),
        uncertainty.probabilities(predictions),
        uncertainty.predictive_values(predictions),
    ]
    return Section("Cross-validation", "", found)


def _gains(predictions: pd.DataFrame) -> list[Table]:
    """Compare COVID-SDNet with its controls, if any were run."""
    found = gains.differences(predictions)
    return [gains.table(found)] if len(found) else []


def external(cohort: str, predictions: pd.DataFrame) -> Section:
    """Return the tables of another cohort, all of whose images every network was tested on."""
    caption = "Layout of Table 5: mean ± sd over networks, which all see all images, in %"
    counts, predictions = tested(predictions), tables.answered(predictions)
    summary = tables.table_5(predictions)
    measures = summary_table(summary, caption)._replace(numbers=_numbers("table_5", summary))
    found = [counts, measures, uncertainty.probabilities(predictions)]
    return Section(f"The same networks on {cohort}", cohort, found)


def tested(predictions: pd.DataFrame) -> Table:
    """Count what was tested, and say what is missing."""
    rows, runs = [], learned.count(predictions)
    for approach, group in predictions.groupby("approach", sort=False):
        image = group.drop_duplicates("image_id")
        counts = [
            *runs.loc[approach],
            group["repeat"].nunique(),
            len(image),
            image["patient_id"].nunique(),
            int((image["label"] == "N").sum()),
            int((image["label"] == "P").sum()),
        ]
        rows.append([title(approach), *map(str, counts)])
    missing: dict[str, list[str]] = {}
    for approach, repeat, fold in tables.missing_runs(predictions):
        missing.setdefault(approach, []).append(f"r{repeat}f{fold}")
    notes = [f"Incomplete: {title(name)} lacks {', '.join(runs)}." for name, runs in missing.items()]
    for approach, group in predictions[predictions["prob_P"].isna()].groupby("approach", sort=False):
        files = ", ".join(dict.fromkeys(f"r{row.repeat}f{row.fold}" for row in group.itertuples()))
        notes.append(
            f"No answer: {title(approach)} gave no number {len(group)} times ({files}); these count nowhere."
        )
    if (runs["learned"] < runs["runs"]).any():
        notes.append(learned.NOTE)
        notes += [] if learned.says_so(predictions) else [learned.STORED_NOTE]
    header = ["", "Runs", "Learned", "Repetitions", "Images", "Patients", "N", "P"]
    return Table("What was tested", header, rows, notes)


def summaries(predictions: pd.DataFrame, per: str = "repeat", paper: bool = False) -> list[Table]:
    """Return the tables in the layout of Tables 5 and 6, or 7 and 8, each beside the paper's if asked."""
    found, images = [], predictions["image_id"].nunique()
    for name, key, summary in _summaries(predictions, per):
        beside = _beside_paper(summary, key) if paper and name != ALL_NEGATIVES else None
        table = summary_table(summary, _caption(name, key, per))
        found.append(table._replace(numbers=_numbers(name, summary, beside)))
        if beside is not None:
            found.append(_beside(beside, key, images))
    return [*found, *_named(predictions)]


def _named(predictions: pd.DataFrame) -> list[Table]:
    """Count what was named, if a network has ever named its third class."""
    outcomes = confusion(learned.only_learned(predictions)).groupby("approach", sort=False).sum()
    outcomes = outcomes[outcomes[["N_other", "P_other"]].any(axis=1)]
    if outcomes.empty:
        return []
    header = ["", "N called N", "called P", "called pneumonia", "P called N", "called P", "called pneumonia"]
    order = ["TN", "FP", "N_other", "FN", "TP", "P_other"]
    rows = [[title(name), *map(str, row)] for name, row in outcomes[order].iterrows()]
    note = "Nobody tested has pneumonia: to name it is an error for N and for P."
    return [Table("What was named, images of the runs that have learned", header, rows, [note])]


def beside_paper(predictions: pd.DataFrame) -> list[Table]:
    """Return the paper's tables of this layout beside ours."""
    images = predictions["image_id"].nunique()
    return [
        _beside(_beside_paper(summary, key), key, images)
        for name, key, summary in _summaries(predictions, "repeat")
        if name != ALL_NEGATIVES
    ]


def _summaries(predictions: pd.DataFrame, per: str) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Yield the name, the number in the paper, and the table, for each summary that can be made."""
    main, levels = tables.table_numbers(predictions)
    if main == 7:
        yield "table_7", 7, tables.table_5(tables.match_negatives(predictions))
        yield ALL_NEGATIVES, 7, tables.table_5(predictions)
    else:
        yield "table_5", 5, tables.table_5(predictions)
    if levels:
        yield f"table_{levels}", levels, tables.table_6(predictions, per)


def _caption(name: str, key: int, per: str) -> str:
    if key in (6, 8):
        over = "repetitions, the folds of each pooled" if per == "repeat" else "folds"
        return f"Layout of Table {key}: accuracy by severity, mean ± sd over {over}, in %"
    detail = {
        "table_7": " without Normal-PCR+, as many negatives as positives",
        ALL_NEGATIVES: " without Normal-PCR+, all negatives",
    }
    return f"Layout of Table {key}{detail.get(name, '')}: mean ± sd over runs, in %"


def _numbers(name: str, summary: pd.DataFrame, beside: pd.DataFrame | None = None) -> pd.DataFrame:
    """Turn a summary table into one row per approach and measure."""
    rows = [
        {"table": name, "approach": approach, "quantity": measure} | summary.loc[approach, measure].to_dict()
        for approach in summary.index
        for measure in dict.fromkeys(summary.columns.get_level_values(0))
    ]
    found, keys = pd.DataFrame(rows), ["approach", "quantity"]
    if beside is None:
        return found
    return found.merge(beside.rename(columns={"measure": "quantity"})[keys + PAPER_COLUMNS], "left", keys)


def _beside_paper(summary: pd.DataFrame, key: int) -> pd.DataFrame:
    """Return our numbers beside a table of the paper; what Table 5 lacks and Table 4 has comes with it."""
    found = tables.beside_paper(summary, key)
    if key == 5:
        only_in_4 = tables.beside_paper(summary.drop(index=tables.paper(5).index, errors="ignore"), 4)
        if len(only_in_4):
            return pd.concat([found, only_in_4] if len(found) else [only_in_4], ignore_index=True)
    return found


def _beside(beside: pd.DataFrame, key: int, images: int) -> Table:
    caption = f"Beside {'Tables 4 and 5' if key == 5 else f'Table {key}'} of the paper, in %"
    if beside.empty:
        return Table(caption, ["", "Approaches"], [["in both", "none"]])
    note = f"The paper's cohort is COVIDGR-1.0, {tables.PAPER_IMAGES} images; this one has {images}."
    table = beside_table(beside, caption)
    return table._replace(notes=[*table.notes, note])
