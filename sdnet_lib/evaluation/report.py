"""The report of a study, ``sdnet tables RUNS``: every table that its predictions make.

Each folder ``RUNS/on-<cohort>`` is the same networks on other images and has a section of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from sdnet_lib.evaluation import curves, decisions, statistics, tables
from sdnet_lib.evaluation.metrics import PER, RUN
from sdnet_lib.evaluation.render import (
    FORMS,
    NONE,
    Table,
    beside_table,
    heading,
    interval,
    number,
    summary_table,
    write,
)
from sdnet_lib.evaluation.tables import title
from sdnet_lib.files import InputError

Names = Mapping[str, str] | None
CSV_COLUMNS = ["cohort", "table", "approach", "quantity", "mean", "sd", "low", "high", "runs", "undefined"]
ALL_NEGATIVES = "table_7_all_negatives"  # which is not how the paper made its Table 7
PAPER_COLUMNS = ["paper_mean", "paper_sd", "difference"]


def report(
    runs: str | Path,
    form: str = "text",
    per: str = "repeat",
    paper: bool = False,
    output: str | Path | None = None,
    names: Names = None,
) -> str:
    """Return the report of a study, and write it to a file if asked.

    Parameters
    ----------
    runs : path
        A folder as for `evaluation.tables.read_runs`.
    form : str
        ``text``, ``markdown`` or ``latex`` for readers; ``csv`` for programs: one row a number, fractions,
        the summary tables and the areas only.
    per : str
        ``repeat`` or ``fold``: over what the accuracy by severity is averaged.
    paper : bool
        Whether to set the paper's numbers beside.
    output : path, optional
        File to write, in UTF-8.
    names : dict of str to str, optional
        Titles of approaches.

    Raises
    ------
    InputError
        If the runs cannot be read or an option is not one of its words.
    """
    if form not in FORMS:
        raise InputError(f"--format {form!r}: not one of {', '.join(FORMS)}")
    if per not in PER:
        raise InputError(f"--per {per!r}: not one of {', '.join(PER)}")
    predictions = tables.read_runs(runs)
    others = {name: tables.read_runs(folder) for name, folder in tables.other_cohorts(runs).items()}
    if form == "csv":
        text = _csv(predictions, others, per, paper)
    else:
        parts = [*_study(predictions, per, paper, names)]
        for name, found in others.items():
            parts += [f"The same networks on {name}", *_elsewhere(found, names)]
        text = "\n".join(
            heading(part, form) if isinstance(part, str) else write(part, form) for part in parts
        )
    if output is not None:
        Path(output).write_text(text, encoding="utf-8", newline="\n")
    return text


def _study(predictions: pd.DataFrame, per: str, paper: bool, names: Names) -> Iterator[str | Table]:
    """Yield headings (text) and tables of the cohort that was cross-validated."""
    yield "Cross-validation"
    yield _tested(predictions, names)
    for name, key, table in _summaries(predictions, per):
        yield summary_table(table, _caption(name, key, per), names)
        if paper and name != ALL_NEGATIVES:
            yield _beside(table, key, predictions, names)
    yield _intervals(predictions, names)
    yield _pairs(predictions, names)
    images = curves.per_image(predictions)
    yield _probabilities(predictions, images, names)
    yield _predictive(images, names)


def _elsewhere(predictions: pd.DataFrame, names: Names) -> Iterator[Table]:
    yield _tested(predictions, names)
    caption = "Layout of Table 5: mean ± sd over networks, which all see all images, in %"
    yield summary_table(tables.table_5(predictions), caption, names)
    yield _probabilities(predictions, curves.per_image(predictions), names)


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


def _tested(predictions: pd.DataFrame, names: Names) -> Table:
    """Count what was tested, and say what is missing."""
    rows = []
    for approach, group in predictions.groupby("approach", sort=False):
        image = group.drop_duplicates("image_id")
        counts = [
            len(group[["repeat", "fold"]].drop_duplicates()),
            group["repeat"].nunique(),
            len(image),
            image["patient_id"].nunique(),
            int((image["label"] == "N").sum()),
            int((image["label"] == "P").sum()),
        ]
        rows.append([title(approach, names), *map(str, counts)])
    lacking: dict[str, list[str]] = {}
    for approach, repeat, fold in tables.missing_runs(predictions):
        lacking.setdefault(approach, []).append(f"r{repeat}f{fold}")
    notes = [f"Incomplete: {title(name, names)} lacks {', '.join(runs)}." for name, runs in lacking.items()]
    header = ["", "Runs", "Repetitions", "Images", "Patients", "N", "P"]
    return Table("What was tested", header, rows, notes)


def _beside_frame(table: pd.DataFrame, key: int) -> pd.DataFrame:
    """Return our numbers beside a table of the paper; what Table 5 lacks and Table 4 has comes with it."""
    found = tables.beside_paper(table, key)
    if key == 5:
        only_in_4 = tables.beside_paper(table.drop(index=tables.paper(5).index, errors="ignore"), 4)
        if len(only_in_4):
            return pd.concat([found, only_in_4] if len(found) else [only_in_4], ignore_index=True)
    return found


def _beside(table: pd.DataFrame, key: int, predictions: pd.DataFrame, names: Names) -> Table:
    beside = _beside_frame(table, key)
    caption = f"Beside {'Tables 4 and 5' if key == 5 else f'Table {key}'} of the paper, in %"
    if beside.empty:
        return Table(caption, ["", "Approaches"], [["in both", "none"]])
    images = predictions["image_id"].nunique()
    note = f"The paper's cohort is COVIDGR-1.0, {tables.PAPER_IMAGES} images; this one has {images}."
    written = beside_table(beside, caption, names)
    return written._replace(notes=[*written.notes, note])


def _intervals(predictions: pd.DataFrame, names: Names) -> Table:
    rows = [
        [title(row.Index, names), interval(row.mean, row.low, row.high)]
        for row in statistics.intervals(predictions).itertuples()
    ]
    note = "95 % intervals with Nadeau and Bengio's variance, for runs share their training images."
    return Table("Accuracy, in %", ["", "Mean [95 % interval]"], rows, [note])


def _pairs(predictions: pd.DataFrame, names: Names) -> Table:
    """Compare the approaches that have the most runs; say why not, if they cannot be compared."""
    caption = "Differences of accuracy, in points: corrected resampled t-test, p after Holm"
    header = ["", "Difference [95 % interval]", "t", "p", "p (Holm)"]
    runs = predictions[list(RUN)].drop_duplicates()["approach"].value_counts(sort=False)
    fewer = runs.index[runs < runs.max()]
    notes = [f"Left out, for runs are missing: {title(name, names)}." for name in fewer]
    try:
        found = statistics.pairwise(predictions[~predictions["approach"].isin(fewer)])
    except InputError as error:
        return Table(caption, header, [[NONE] * len(header)], [f"No test: {error}.", *notes])
    rows = [
        [
            f"{title(row.first, names)} − {title(row.second, names)}",
            interval(row.mean, row.low, row.high),
            number(row.t, 2, 1),
            _p_value(row.p),
            _p_value(row.p_holm),
        ]
        for row in found.itertuples()
    ]
    return Table(caption, header, rows, notes)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _scores(predictions: pd.DataFrame, images: dict[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Return areas, calibration and the spread of the area over single networks, by approach."""
    single, found = curves.areas_of_runs(predictions).groupby("approach", sort=False), {}
    middle, lowest, highest = single.mean(), single.min(), single.max()
    for approach, table in images.items():
        if table["label"].nunique() < 2:
            continue
        found[approach] = curves.areas(table) | {
            "single": middle[approach],
            "single_low": lowest[approach],
            "single_high": highest[approach],
            "calibration_error": decisions.calibration_error(table),
            "brier_score": decisions.brier_score(table),
        }
    return found


def _probabilities(predictions: pd.DataFrame, images: dict[str, pd.DataFrame], names: Names) -> Table:
    rows = []
    for approach, found in _scores(predictions, images).items():
        areas = [
            interval(found[name], found[f"{name}_low"], found[f"{name}_high"], 3, 1) for name in curves.AREAS
        ]
        single = f"{number(found['single'], 3, 1)} ({number(found['single_low'], 3, 1)} to "
        single += f"{number(found['single_high'], 3, 1)})"
        rest = [number(found[name], 3, 1) for name in ("calibration_error", "brier_score")]
        rows.append([title(approach, names), *areas, single, *rest])
    header = ["", "AUC [95 %]", "Average precision [95 %]", "AUC of single networks", "ECE", "Brier"]
    notes = [
        f"The probabilities of an image are averaged over the networks that tested it; intervals from "
        f"{curves.DRAWS} bootstrap samples of patients.",
        "Single networks: mean (lowest to highest).",
    ]
    if not rows:
        header, rows, notes = ["", "AUC"], [[NONE, NONE]], ["A class is missing: no areas."]
    return Table("Probabilities", header, rows, notes)


def _predictive(images: dict[str, pd.DataFrame], names: Names) -> Table:
    rows = []
    for approach, table in images.items():
        for row in decisions.predictive_table(table).itertuples():
            values = [
                interval(row.ppv, row.ppv_low, row.ppv_high),
                interval(row.npv, row.npv_low, row.npv_high),
            ]
            rows.append([title(approach, names), number(row.prevalence, 0), *values])
    header = ["", "Prevalence", "PPV [95 %]", "NPV [95 %]"]
    note = "From sensitivity and specificity, means over the networks; intervals by bootstrap over patients."
    return Table("Predictive values by prevalence, in %", header, rows, [note])


def _long(cohort: str, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Turn a summary table into one row an approach and measure."""
    rows = [
        {"cohort": cohort, "table": name, "approach": approach, "quantity": measure}
        | table.loc[approach, measure].to_dict()
        for approach in table.index
        for measure in dict.fromkeys(table.columns.get_level_values(0))
    ]
    return pd.DataFrame(rows)


def _long_scores(cohort: str, predictions: pd.DataFrame) -> pd.DataFrame:
    """Turn areas and calibration into rows of the same columns."""
    rows = []
    for approach, found in _scores(predictions, curves.per_image(predictions)).items():
        for name in (*curves.AREAS, "calibration_error", "brier_score"):
            value = {"mean": found[name], "low": found.get(f"{name}_low"), "high": found.get(f"{name}_high")}
            rows.append(
                {"cohort": cohort, "table": "probabilities", "approach": approach, "quantity": name} | value
            )
    return pd.DataFrame(rows)


def _csv(predictions: pd.DataFrame, others: dict[str, pd.DataFrame], per: str, paper: bool) -> str:
    frames = []
    for name, key, table in _summaries(predictions, per):
        frame = _long("", name, table)
        if paper and name != ALL_NEGATIVES:
            beside = _beside_frame(table, key).rename(columns={"measure": "quantity"})
            keys = ["approach", "quantity"]
            frame = frame.merge(beside[keys + PAPER_COLUMNS], how="left", on=keys)
        frames.append(frame)
    frames.append(_long_scores("", predictions))
    for cohort, found in others.items():
        frames += [_long(cohort, "table_5", tables.table_5(found)), _long_scores(cohort, found)]
    columns = CSV_COLUMNS + PAPER_COLUMNS * paper
    whole = pd.concat([frame.reindex(columns=columns) for frame in frames], ignore_index=True)
    whole[["runs", "undefined"]] = whole[["runs", "undefined"]].astype("Int64")
    return whole.to_csv(index=False, float_format="%.6f", lineterminator="\n")
