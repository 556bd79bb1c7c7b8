"""The paper's tables from our predictions: read the runs, average them, set them beside the printed numbers.

A table has one row per approach and, for each measure, the columns ``mean``, ``sd`` (ddof 1), ``runs`` (how
many it is defined in), ``undefined`` (the other runs that have learned) and ``unlearned`` (those that have
not, see `evaluation.learned`; they are in no mean). All numbers are fractions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from sdnet_lib.data.cohort import LABELS, SEVERITIES
from sdnet_lib.evaluation.learned import count, only_learned
from sdnet_lib.evaluation.metrics import RUN, by_severity, per_run
from sdnet_lib.evaluation.origins import origin
from sdnet_lib.files import InputError, one_line
from sdnet_lib.models.registry import ORDER

REQUIRED = (*RUN, "image_id", "patient_id", "label", "severity", "prob_N", "prob_P")
ROUNDING = 1e-3  # by which two probabilities in half precision may miss the sum of 1
RESULTS = Path(__file__).parents[1] / "results"
PAPER_IMAGES = 852  # COVIDGR-1.0, to which the printed numbers belong


def place(approach: str) -> int:
    """Return where an approach's row comes: in the paper's order, and others after it."""
    return ORDER.index(approach) if approach in ORDER else len(ORDER)


def read_runs(folder: str | Path) -> pd.DataFrame:
    """Read the answers of a study; as `read_rows`, without the images that a model gave no number for."""
    return answered(read_rows(folder))


def answered(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have an answer: no number is neither N nor P."""
    return predictions[predictions["prob_P"].notna()].reset_index(drop=True)


def read_rows(folder: str | Path) -> pd.DataFrame:
    """Read the predictions of a study: ``FOLDER/<approach>/r<repeat>f<fold>.parquet``.

    Folders named ``on-*`` (other cohorts, see `other_cohorts`), hidden ones and files of other names, such as
    one that is still being written, are skipped.

    Returns
    -------
    DataFrame
        A prediction table (see `evaluation.metrics`): approaches in the paper's order, then repeat and fold.

    Raises
    ------
    InputError
        If there are no runs, a file is damaged, cannot be read, lacks a column, is not the run that its name
        says, tests an image twice, or has a row with a bad label, severity or probability. It names the file.
    """
    files = sorted(run_files(Path(folder)), key=lambda run: (place(run[0]), *run[:3]))
    if not files:
        there = Path(folder).is_dir()
        raise InputError(f"{folder}: {'no runs (APPROACH/r0f0.parquet)' if there else 'no such folder'}")
    tables = [_read(file) for *_, file in files]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(f"{folder}: the runs differ in the types of columns ({one_line(error)})") from None
    predictions = whole.to_pandas()
    names = pd.DataFrame(files, columns=[*RUN, "file"])
    names = names.loc[names.index.repeat([len(table) for table in tables])].reset_index(drop=True)
    _check(predictions, names)
    return predictions


def other_cohorts(folder: str | Path) -> dict[str, Path]:
    """Return the folders ``on-<cohort>`` by cohort: runs of the same networks on other images."""
    return {path.name[3:]: path for path in sorted(Path(folder).glob("on-*")) if path.is_dir()}


def run_files(folder: Path) -> Iterator[tuple[str, int, int, Path]]:
    """Yield approach, repeat, fold and file of each run in a folder; see `read_runs`."""
    for file in folder.glob("*/*.parquet"):
        name, approach = re.fullmatch(r"r(\d+)f(\d+)\.parquet", file.name), file.parent.name
        if name and not approach.startswith((".", "on-")):
            yield approach, int(name[1]), int(name[2]), file


def _read(file: Path) -> pa.Table:
    origin(file)
    try:
        with file.open("rb") as content, parquet.ParquetFile(content) as opened:
            run = opened.read(use_threads=False).replace_schema_metadata()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file}: not a readable parquet file ({one_line(error)})") from None
    missing = [column for column in REQUIRED if column not in run.column_names]
    if missing:
        raise InputError(f"{file}: no column {', '.join(missing)}")
    if not len(run):
        raise InputError(f"{file}: no rows")
    for column in ("prob_N", "prob_P"):
        if not pa.types.is_floating(run.schema.field(column).type):
            raise InputError(f"{file}: {column} is {run.schema.field(column).type}, not a float")
    return run


def _check(predictions: pd.DataFrame, names: pd.DataFrame) -> None:
    """Check all rows at once; of the first bad one name the file and the row, of which the first is 1.

    `names` says, row for row, the file and which run it is by its name.
    """
    both = predictions[["prob_N", "prob_P"]].astype(float)
    missing, ids = both.isna(), predictions[["image_id", "patient_id"]]
    problems = {
        "approach, repeat or fold is not what the file's name says": (
            predictions[list(RUN)] != names[list(RUN)]
        ).any(axis=1),
        "a probability is missing": missing.any(axis=1) & ~missing.all(axis=1),
        "a probability is not between 0 and 1": ((both < 0) | (both > 1)).any(axis=1),
        "prob_N and prob_P do not sum to 1": (both.sum(axis=1, skipna=False) - 1).abs() > ROUNDING,
        f"the label is not one of {', '.join(LABELS)}": ~predictions["label"].isin(LABELS),
        f"the severity is not one of {', '.join(SEVERITIES)}, or empty": ~predictions["severity"].isin(
            ["", *SEVERITIES]
        ),
        "image_id or patient_id is empty": (ids.isna() | (ids == "")).any(axis=1),
        "the image has been tested before in this run": predictions.duplicated([*RUN, "image_id"]),
    }
    for problem, bad in problems.items():
        if bad.any():
            row = int(bad.to_numpy().argmax())
            file = names.at[row, "file"]
            within = row - int((names["file"] == file).to_numpy().argmax()) + 1
            raise InputError(f"{file}, row {within} ({predictions.at[row, 'image_id']}): {problem}")


def missing_runs(predictions: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Return which (approach, repeat, fold) lack, if each approach was to have all repeats and folds seen."""
    there = set(predictions[list(RUN)].drop_duplicates().itertuples(index=False, name=None))
    seen = {column: predictions[column].unique().tolist() for column in RUN}
    return [
        (approach, repeat, fold)
        for approach in seen["approach"]
        for repeat in sorted(seen["repeat"])
        for fold in sorted(seen["fold"])
        if (approach, repeat, fold) not in there
    ]


def summary(values: pd.DataFrame, unlearned: pd.Series) -> pd.DataFrame:
    """Average over runs.

    Parameters
    ----------
    values : DataFrame
        One row per run that has learned, one column per measure; ``approach`` is a level of the index. NaN
        means undefined.
    unlearned : Series of int
        By approach, how many runs have not learned and are not in `values`.

    Returns
    -------
    DataFrame
        Indexed by approach as in `unlearned`; columns (measure, mean | sd | runs | undefined | unlearned).
        The mean is over the runs where the measure is defined; the sd of one run is NaN.
    """
    groups, rows = values.groupby("approach", sort=False), unlearned.index
    mean, sd = groups.mean().reindex(rows), groups.std().reindex(rows)
    runs = groups.count().reindex(rows, fill_value=0)
    size = groups.size().reindex(rows, fill_value=0)
    columns = {
        (measure, statistic): column
        for measure in values
        for statistic, column in (
            ("mean", mean[measure]),
            ("sd", sd[measure]),
            ("runs", runs[measure]),
            ("undefined", size - runs[measure]),
            ("unlearned", unlearned),
        )
    }
    return pd.DataFrame(columns)


def table_5(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the seven measures over the runs, in the layout of Tables 5 and 7, of which 4 is a part."""
    return summary(per_run(only_learned(predictions)), _unlearned(predictions))


def table_6(predictions: pd.DataFrame, per: str = "repeat") -> pd.DataFrame:
    """Return the accuracy by severity, in the layout of Tables 6 and 8.

    Mean and sd are over repetitions, as in the paper, or over folds; see `evaluation.metrics.by_severity`.
    """
    return summary(by_severity(only_learned(predictions), per), _unlearned(predictions))


def _unlearned(predictions: pd.DataFrame) -> pd.Series:
    counts = count(predictions)
    return counts["runs"] - counts["learned"]


def table_numbers(predictions: pd.DataFrame) -> tuple[int, int | None]:
    """Return which tables of the paper these predictions make: by approach, and by severity if it is known.

    (5, 6) with all levels and (7, 8) if positives have levels but none is Normal-PCR+: that level was left
    out.
    """
    levels = set(predictions["severity"]) - {""}
    if not levels:
        return 5, None
    return (5, 6) if SEVERITIES[0] in levels else (7, 8)


def match_negatives(predictions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Leave out negatives at random until a repetition has as many as positives.

    Table 7 was made so, though the paper does not say it: with Normal-PCR+ removed there are 350 positives,
    and the printed accuracies are plain means of the two recalls.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table.
    seed : int
        Each repetition draws anew; within it the same images are dropped for every approach.

    Returns
    -------
    DataFrame
        The rows kept, in order.
    """
    dropped = pd.Series(False, index=predictions.index)
    images = (
        predictions[["repeat", "image_id", "label"]].drop_duplicates().sort_values(["repeat", "image_id"])
    )
    for repeat, group in images.groupby("repeat"):
        names, truth = group["image_id"].to_numpy(), (group["label"] == "P").to_numpy()
        surplus = max(0, int((~truth).sum() - truth.sum()))
        out = np.random.default_rng([seed, int(repeat)]).choice(names[~truth], surplus, replace=False)
        dropped |= (predictions["repeat"] == repeat) & predictions["image_id"].isin(out)
    return predictions[~dropped].reset_index(drop=True)


def printed(number: int) -> pd.DataFrame:
    """Return Table 4, 5, 6, 7 or 8 as the paper prints it: text, in %, indexed by our name of the approach.

    Columns: ``model`` as the paper calls it, and for each measure its mean and, as ``<measure>_sd``, its
    standard deviation ("" where none is printed).
    """
    file = RESULTS / f"paper_table_{number}.csv"
    if number not in range(4, 9):
        raise InputError(f"table {number}: the paper's results are Tables 4 to 8")
    return pd.read_csv(file, index_col="approach", dtype=str, keep_default_na=False)


def paper(number: int) -> pd.DataFrame:
    """Return Table 4, 5, 6, 7 or 8 of the paper in our form: fractions, columns (measure, mean | sd)."""
    text = printed(number)
    measures = [column for column in text if f"{column}_sd" in text]
    columns = {
        (measure, statistic): pd.to_numeric(text[column]) / 100
        for measure in measures
        for statistic, column in (("mean", measure), ("sd", f"{measure}_sd"))
    }
    return pd.DataFrame(columns)


def beside_paper(table: pd.DataFrame, number: int) -> pd.DataFrame:
    """Set our table beside the paper's.

    Returns
    -------
    DataFrame
        One row for each approach and measure that both have: ``approach, measure, mean, sd, paper_mean,
        paper_sd, difference`` (ours less the paper's), fractions.
    """
    theirs = paper(number)
    shared = [measure for measure in dict.fromkeys(theirs.columns.get_level_values(0)) if measure in table]
    rows = [
        {
            "approach": approach,
            "measure": measure,
            "mean": table.at[approach, (measure, "mean")],
            "sd": table.at[approach, (measure, "sd")],
            "paper_mean": theirs.at[approach, (measure, "mean")],
            "paper_sd": theirs.at[approach, (measure, "sd")],
        }
        for approach in table.index
        if approach in theirs.index
        for measure in shared
    ]
    found = pd.DataFrame(rows, columns=["approach", "measure", "mean", "sd", "paper_mean", "paper_sd"])
    return found.assign(difference=found["mean"] - found["paper_mean"])
