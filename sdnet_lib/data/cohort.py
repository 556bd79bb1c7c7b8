"""The cohort: one table, one row per image, that every data set becomes and everything else starts from.

The schema is checked once, at the door; an error names the file, the row (the header is row 1) and the
column.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path

import pandas as pd

from sdnet_lib.data.duplicates import same_size
from sdnet_lib.files import InputError, content_hash, digest, one_line, write_text

LABELS = ("N", "P")
SEVERITIES = ("Normal-PCR+", "Mild", "Moderate", "Severe")
REQUIRED = ("image_id", "file", "label")
COLUMNS = (*REQUIRED, "severity", "patient_id", "source", "view")  # of every cohort, in this order
TEXT = (*COLUMNS, "lung_mask", "lesion_mask")
PATHS = ("file", "lung_mask", "lesion_mask")


class CohortError(InputError):
    """A cohort that cannot be used; the message names its file, row and column."""


def read_cohort(source: str | Path, *, check_files: bool = True) -> pd.DataFrame:
    """Read a cohort and check it; `data_scripts.registry.load_cohort` also knows data sets by name.

    Parameters
    ----------
    source : str or pathlib.Path
        A CSV file or a folder with ``cohort.csv``.
    check_files : bool
        Whether to look for each file and to compare their contents.

    Returns
    -------
    pandas.DataFrame
        Columns `image_id`, `file` (absolute), `label`, `severity`, `patient_id`, `source`, `view` and
        whatever else there is. Blank text is ``""``, a blank number NaN. Where patients are unknown, each
        image is one.

    Raises
    ------
    CohortError
        If there is no such file or it breaks a rule of `check_cohort`.
    """
    path = Path(source)
    table = path / "cohort.csv" if path.is_dir() else path
    if not table.exists():
        raise CohortError(f"{source}: no such file or folder")
    cohort = complete(read_table(table, REQUIRED), path.stem if path.is_file() else path.resolve().name)
    for column in PATHS:
        if column in cohort:
            cohort[column] = [_absolute(table.parent, name) for name in cohort[column]]
    return check_cohort(cohort, str(table), check_files=check_files).reset_index(drop=True)


def write_cohort(cohort: pd.DataFrame, folder: str | Path) -> Path:
    """Write ``folder/cohort.csv`` with paths relative to the folder, atomically; images stay where they are.

    Returns
    -------
    pathlib.Path
        The CSV file.
    """
    folder = Path(os.path.abspath(folder))
    table = cohort.copy()
    for column in PATHS:
        if column in table:
            table[column] = [os.path.relpath(name, folder) if name else "" for name in table[column]]
    write_text(folder / "cohort.csv", table.to_csv(index=False))
    return folder / "cohort.csv"


def check_cohort(cohort: pd.DataFrame, name: str = "cohort", *, check_files: bool = True) -> pd.DataFrame:
    """Check the schema of a cohort and return it as it is.

    Parameters
    ----------
    cohort : pandas.DataFrame
        The table; its index counts the rows of the CSV file from 0, the header not counted, or is text that
        names them in another way.
    name : str
        What an error calls it: the CSV file.
    check_files : bool
        Whether to look for each file and to compare their contents.

    Raises
    ------
    CohortError
        A missing column, no rows, an empty or repeated `image_id`, an unknown label or severity, a severity
        on a negative, an empty `patient_id`, a missing file, or the same picture under both labels.
    """
    import pandera.pandas as pa

    missing = [column for column in COLUMNS if column not in cohort]
    if missing:
        raise CohortError(f"{name}: no column {', '.join(missing)}")
    if cohort.empty:
        raise CohortError(f"{name}: no rows")
    on_negative = pa.Check(
        lambda table: (table["label"] != "N") | (table["severity"] == ""), error="severity on a negative"
    )
    try:
        _schema(pa, on_negative).validate(cohort, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise CohortError(_explain(error.failure_cases, cohort, name)) from None
    if check_files:
        _check_files(cohort, name)
    return cohort


def fingerprint(cohort: pd.DataFrame) -> str:
    """Return 16 hex digits that change when an id, label, severity, patient or image does, in any folder."""
    columns = ["image_id", "label", "severity", "patient_id"]
    table = cohort[columns].assign(content=[content_hash(name) for name in cohort["file"]])
    return digest(table.sort_values("image_id").to_csv(index=False))


def read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """Read a UTF-8 CSV file; the index counts its rows from 0, so that errors can name them.

    The columns `TEXT` and `required` stay text (an id such as 00001 keeps its zeros), others become numbers
    if all their values are; blank text is ``""``.

    Raises
    ------
    CohortError
        If the file is empty, not UTF-8, not a CSV file, or lacks a column of `required`.
    """
    try:
        header = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
        text = [column for column in header if column in (*TEXT, *required)]
        table = pd.read_csv(
            path,
            encoding="utf-8-sig",
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,
            na_values={column: [""] for column in header if column not in text},
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError:
        raise CohortError(f"{path}: empty file") from None
    except UnicodeDecodeError:
        raise CohortError(f"{path}: not UTF-8 text") from None
    except (pd.errors.ParserError, OSError) as error:
        raise CohortError(f"{path}: cannot be read as CSV ({one_line(error)})") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise CohortError(f"{path}: rows with more cells than the header has columns")
    missing = [column for column in required if column not in table]
    if missing:
        raise CohortError(f"{path}: no column {', '.join(missing)} (columns: {', '.join(map(str, header))})")
    blank = table.isna() | (table == "")
    table = table[~blank.all(axis=1)]
    words = [c for c in table if table[c].dtype == object or table[c].isna().all()]
    return table.astype(dict.fromkeys(words, object)).fillna(dict.fromkeys(words, ""))


def complete(cohort: pd.DataFrame, source: str) -> pd.DataFrame:
    """Add the columns that a CSV may leave out, in the usual order."""
    cohort = cohort.copy()
    for column, value in (("severity", ""), ("patient_id", ""), ("source", source), ("view", "")):
        if column not in cohort:
            cohort[column] = value
    unknown = cohort["patient_id"] == ""
    cohort.loc[unknown, "patient_id"] = cohort.loc[unknown, "image_id"]
    return cohort[[*COLUMNS, *(column for column in cohort if column not in COLUMNS)]]


def _absolute(folder: Path, name: str) -> str:
    return os.path.abspath(folder / name) if name else ""


def _schema(pa: object, on_negative: object) -> object:
    filled = pa.Check(lambda values: values.str.strip() != "", error="empty")
    text = pa.Column(str, coerce=False)
    return pa.DataFrameSchema(
        {
            "image_id": pa.Column(str, [filled, pa.Check(lambda v: ~v.duplicated(), error="duplicate")]),
            "file": pa.Column(str, filled),
            "label": pa.Column(str, pa.Check.isin(LABELS, error=f"not one of {', '.join(LABELS)}")),
            "severity": pa.Column(
                str, pa.Check.isin(("", *SEVERITIES), error=f"not one of {', '.join(SEVERITIES)}")
            ),
            "patient_id": pa.Column(str, filled),
            "source": text,
            "view": text,
        },
        checks=on_negative,
    )


def _explain(failures: pd.DataFrame, cohort: pd.DataFrame, name: str) -> str:
    """Put the first failure of a schema check into one line."""
    first = failures.sort_values("index", kind="stable").iloc[0]
    if first["index"] is None or pd.isna(first["index"]):
        return f"{name}, column {first['column']}: {first['check']}"
    column = first["column"] if first["schema_context"] == "Column" else "severity"
    value = cohort.at[first["index"], column]
    others = failures["index"].nunique() - 1
    more = f" (and {others} more row{'s' * (others > 1)})" if others else ""
    return f"{_where(name, first['index'], column)}: {value!r}: {first['check']}{more}"


def _where(name: str, index: Hashable, column: str) -> str:
    return f"{name}, {_row(index)}, column {column}"


def _row(index: Hashable) -> str:
    return index if isinstance(index, str) else f"row {int(index) + 2}"  # the header is row 1


def _check_files(cohort: pd.DataFrame, name: str) -> None:
    for column in PATHS:
        for index, file in cohort[column].items() if column in cohort else ():
            if file and not os.path.isfile(file):
                raise CohortError(f"{_where(name, index, column)}: no such file: {file}")
    seen: dict[str, Hashable] = {}
    for index, file in same_size(cohort)["file"].items():
        first = seen.setdefault(content_hash(file), index)
        if cohort.at[first, "label"] != cohort.at[index, "label"]:
            one, two = cohort.loc[first], cohort.loc[index]
            raise CohortError(
                f"{_where(name, index, 'label')}: {two['image_id']} ({two['label']}) is the same picture as "
                f"{one['image_id']} ({one['label']}) in {_row(first)}"
            )
