"""The three tables of a hospital's archive, checked once at the door.

- studies, one row per exposure: ``study_id, patient_id, sex, machine, view, taken`` and, where the pixels
  were compared, ``picture`` (equal values: the same picture; see `sdnet_lib.data.duplicates`);
- pcr, one row per test: ``patient_id, sampled, result`` (positive, negative, inconclusive or blank);
- readings, one row per reading: ``study_id, reader, read_at, score`` (0 to 8, blank if none was given).

Read CSV files of a real archive with ``dtype=str``, so that ids keep their zeros: numbers and times are
converted here.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from sdnet_lib.files import InputError


def _column(dtype: object, *checks: pa.Check, nullable: bool = True, unique: bool = False) -> pa.Column:
    return pa.Column(dtype, list(checks), nullable=nullable, unique=unique, coerce=True)


SCHEMAS = {
    "studies": pa.DataFrameSchema(
        {
            "study_id": _column(str, nullable=False, unique=True),
            "patient_id": _column(str),
            "sex": _column(str, pa.Check.isin(["F", "M"])),
            "machine": _column(str),
            "view": _column(str),
            "taken": _column("datetime64[ns]"),
        }
    ),
    "pcr": pa.DataFrameSchema(
        {
            "patient_id": _column(str, nullable=False),
            "sampled": _column("datetime64[ns]"),
            "result": _column(str, pa.Check.isin(["positive", "negative", "inconclusive"])),
        }
    ),
    "readings": pa.DataFrameSchema(
        {
            "study_id": _column(str, nullable=False),
            "reader": _column(str, nullable=False),
            "read_at": _column("datetime64[ns]"),
            "score": _column(float, pa.Check.isin(range(9))),
        }
    ),
}


def checked(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its columns' types, its rows numbered from 0.

    Parameters
    ----------
    name : str
        ``studies``, ``pcr`` or ``readings``.
    table : pandas.DataFrame

    Raises
    ------
    InputError
        A missing column or a value that cannot be; the message names table, row and column.
    """
    try:
        return SCHEMAS[name].validate(table.reset_index(drop=True), lazy=True)
    except pa.errors.SchemaErrors as error:
        case = error.failure_cases.iloc[0]
        if case["check"] == "column_in_dataframe":
            raise InputError(f"table {name}: column {case['failure_case']!r} is missing") from None
        raise InputError(
            f"table {name}, row {case['index']}, column {case['column']}: "
            f"{case['failure_case']!r} fails {case['check']}"
        ) from None
