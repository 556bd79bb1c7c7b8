"""The cohort: one table, one row per image, that every data set becomes and everything else starts from.

The schema is checked once, at the door; an error names the file, the row (the header is row 1) and the
column.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd

from sdnet_lib.data import identifiers, table_files
from sdnet_lib.data.duplicates import same_size
from sdnet_lib.data.table_files import CohortError
from sdnet_lib.files import content_hash, digest, write_text
from sdnet_lib.names import csv_text

LABELS = ("N", "P")
SEVERITIES = ("Normal-PCR+", "Mild", "Moderate", "Severe")
REQUIRED = ("image_id", "file", "label")
COLUMNS = (*REQUIRED, "severity", "patient_id", "source", "view")  # of every cohort, in this order
TEXT = (*COLUMNS, "lung_mask", "lesion_mask")
PATHS = ("file", "lung_mask", "lesion_mask")


def read_cohort(
    source: str | Path, *, check_files: bool = True, labels: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Read a cohort and check it; `data_scripts.registry.load_cohort` also knows data sets by name.

    Parameters
    ----------
    source : str or pathlib.Path
        A CSV file or a folder with ``cohort.csv``.
    check_files : bool
        Whether to look for each file and to compare their contents.
    labels : dict of str, optional
        What the table's own labels mean, such as ``{"COVID": "P", "Normal": "N"}``.

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
    cohort = complete(read_table(table, REQUIRED), own_name(path))
    cohort["label"] = cohort["label"].replace(dict(labels or {}))
    for column in PATHS:
        if column in cohort:
            cohort[column] = [_absolute(table.parent, name) for name in cohort[column]]
    return check_cohort(cohort, str(table), check_files=check_files).reset_index(drop=True)


def own_name(source: str | Path) -> str:
    """Return what a cohort is called that does not say its source: the name of its file, or of its folder."""
    path = Path(source)
    if path.is_file() and path.stem != "cohort":
        return path.stem
    return (path if path.is_dir() else path.parent).resolve().name


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
    write_text(folder / "cohort.csv", csv_text(table))
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
    _check_patients(cohort, name)
    if check_files:
        _check_files(cohort, name)
    return cohort


def fingerprint(cohort: pd.DataFrame) -> str:
    """Return 16 hex digits that change when an id, label, severity, patient or image does, in any folder."""
    columns = ["image_id", "label", "severity", "patient_id"]
    table = cohort[columns].assign(content=[content_hash(name) for name in cohort["file"]])
    return digest(table.sort_values("image_id").to_csv(index=False))


def read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """Read a table in which the columns `TEXT` and `required` stay text; see `table_files.read`."""
    return table_files.read(path, TEXT, required)


def complete(cohort: pd.DataFrame, source: str) -> pd.DataFrame:
    """Add the columns that a CSV may leave out, in the usual order, and clean its ids and words."""
    cohort = cohort.copy()
    for column in COLUMNS:
        if column in cohort and column != "file":
            cohort[column] = cohort[column].map(identifiers.clean)
    if "severity" in cohort:
        known = {level.lower(): level for level in SEVERITIES}
        cohort["severity"] = [known.get(level.lower(), level) for level in cohort["severity"]]
    for column, value in (("severity", ""), ("patient_id", ""), ("source", source), ("view", "")):
        if column not in cohort:
            cohort[column] = value
    unknown = cohort["patient_id"] == ""
    cohort.loc[unknown, "patient_id"] = cohort.loc[unknown, "image_id"]
    return cohort[[*COLUMNS, *(column for column in cohort if column not in COLUMNS)]]


def _absolute(folder: Path, name: str) -> str:
    """Return where a file is; a path that was written on Windows is understood too."""
    name = name.strip()
    if "\\" in name and not (folder / name).exists():
        name = name.replace("\\", "/")
    return os.path.abspath(folder / name) if name else ""


def _schema(pa: object, on_negative: object) -> object:
    filled = pa.Check(lambda values: values.str.strip() != "", error="empty")
    kept = pa.Check(
        lambda values: ~values.map(identifiers.spoilt),
        error="what a spreadsheet left of an id: format its column as text, and fill it again",
    )
    once = pa.Check(lambda values: ~values.duplicated(), error="duplicate")
    text = pa.Column(str, coerce=False)
    return pa.DataFrameSchema(
        {
            "image_id": pa.Column(str, [filled, kept, once]),
            "file": pa.Column(str, filled),
            "label": pa.Column(str, pa.Check.isin(LABELS, error=f"not one of {', '.join(LABELS)}")),
            "severity": pa.Column(
                str, pa.Check.isin(("", *SEVERITIES), error=f"not one of {', '.join(SEVERITIES)}")
            ),
            "patient_id": pa.Column(str, [filled, kept]),
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
    check = first["check"]
    if column == "label":
        found = sorted(set(cohort["label"]) - {"", *LABELS})[:5]
        meant = ",".join(f"{label}=?" for label in found)  # a guess would be copied, and may be wrong
        check += f"; say --labels {shlex.quote(meant)} with N or P for each ?" if found else ""
    others = failures["index"].nunique() - 1
    more = f" (and {others} more row{'s' * (others > 1)})" if others else ""
    return f"{_where(name, first['index'], column)}: {value!r}: {check}{more}"


def _where(name: str, index: Hashable, column: str) -> str:
    return f"{name}, {_row(index)}, column {column}"


def _row(index: Hashable) -> str:
    return index if isinstance(index, str) else f"row {int(index) + 2}"  # the header is row 1


def _check_patients(cohort: pd.DataFrame, name: str) -> None:
    known = cohort[cohort["patient_id"] != cohort["image_id"]]  # else each image is taken for a patient
    found = identifiers.ambiguous(known["patient_id"].tolist())
    if found:
        one, two = (known.iloc[place] for place in found)
        raise CohortError(
            f"{_where(name, one.name, 'patient_id')}, and {_row(two.name)}: {one['patient_id']!r} and "
            f"{two['patient_id']!r} may be one patient; write them alike, or so that more than zeros, "
            "capitals and what is between words differ"
        )


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
