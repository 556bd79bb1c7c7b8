"""The two tables that a hospital exports, RT-PCR tests and readings, in the form of `data.records`."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sdnet_lib.build.times import moment
from sdnet_lib.data import identifiers, severity, table_files
from sdnet_lib.files import InputError

RESULTS = {
    "positive": ("positive", "pos", "+", "detected", "p"),
    "negative": ("negative", "neg", "-", "not detected", "undetected", "n"),
    "inconclusive": ("inconclusive", "indeterminate", "invalid"),
}
WORDS = {word: result for result, words in RESULTS.items() for word in words}
TEXT = ("patient", "study", "time", "result", "reader", "parts", "right", "left", "score")
SCORES = (("parts",), ("right", "left"), ("score",))


class Table(NamedTuple):
    """A table, and how many of its rows have no usable time: a day without an hour shows nothing of 24 h."""

    rows: pd.DataFrame
    without_time: int


def read_pcr(file: Path, zone: datetime.tzinfo) -> Table:
    """Read the tests: columns ``patient, time, result``.

    Returns
    -------
    Table
        With ``patient_id, sampled`` (UTC), ``result`` (`RESULTS`; None if blank).

    Raises
    ------
    InputError
        That names the file, row and column.
    """
    table = table_files.read(file, TEXT, ("patient", "time", "result"))
    rows = pd.DataFrame(
        {
            "patient_id": _each(file, table, "patient", _id),
            "sampled": pd.to_datetime(_each(file, table, "time", lambda text: _when(text, zone))),
            "result": _each(file, table, "result", _result),
        }
    )
    return _counted(rows, "sampled")


def read_readings(file: Path, zone: datetime.tzinfo) -> Table:
    """Read the readings: ``patient`` or ``study``, ``time, reader``, and one of three kinds of score.

    ``parts`` names affected parts (``R3 L4``, or ``none``), ``right`` and ``left`` score each lung 0 to 4,
    ``score`` is 0 to 8. A study is its accession number, StudyID or StudyInstanceUID.

    Returns
    -------
    Table
        With ``patient`` and ``study`` ("" where not given), ``reader, read_at`` (UTC), ``score`` (NaN if
        blank).

    Raises
    ------
    InputError
        That names the file, row and column.
    """
    table = table_files.read(file, TEXT, ("time", "reader"))
    if not {"patient", "study"} & set(table):
        raise InputError(f"{file}: no column patient or study")
    given = [names for names in SCORES if set(names) <= set(table)]
    if len(given) != 1:
        raise InputError(f"{file}: needs one of the columns parts, right and left, or score")
    blank = pd.Series("", table.index)
    rows = pd.DataFrame(
        {
            **{
                name: _each(file, table, name, identifiers.clean) if name in table else blank
                for name in ("patient", "study")
            },
            "reader": _each(file, table, "reader", _id),
            "read_at": pd.to_datetime(_each(file, table, "time", lambda text: _when(text, zone))),
            "score": _scores(file, table, given[0]),
        }
    )
    nobody = rows.index[(rows["patient"] == "") & (rows["study"] == "")]
    if len(nobody):
        raise InputError(f"{file}, row {nobody[0] + 2}: neither patient nor study")
    return _counted(rows, "read_at")


def _counted(rows: pd.DataFrame, time: str) -> Table:
    return Table(rows.reset_index(drop=True), int(rows[time].isna().sum()))


def _scores(file: Path, table: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    if names == ("right", "left"):
        right, left = (_each(file, table, name, lambda text: _number(text, 4)) for name in names)
        return right.astype(float) + left.astype(float)
    change = _parts if names == ("parts",) else lambda text: _number(text, 8)
    return _each(file, table, names[0], change).astype(float)


def _each(file: Path, table: pd.DataFrame, column: str, change: Callable[[str], object]) -> pd.Series:
    """Change the cells of a column; an error says where the cell stands."""
    made = []
    for row, text in table[column].items():
        try:
            made.append(change(text))
        except ValueError as error:
            raise InputError(f"{file}, row {row + 2}, column {column}: {text!r}: {error}") from None
    return pd.Series(made, table.index, dtype=object)


def _id(text: str) -> str:
    if not (cleaned := identifiers.clean(text)):
        raise ValueError("empty")
    return cleaned


def _when(text: str, zone: datetime.tzinfo) -> pd.Timestamp | None:
    return moment(text, zone) if text.strip() else None


def _result(text: str) -> str | None:
    word = " ".join(text.casefold().split())
    if word and word not in WORDS:
        raise ValueError(f"not one of {', '.join(RESULTS)}")
    return WORDS.get(word)


def _parts(text: str) -> float | None:
    words = re.split(r"[\s,;]+", text.strip())
    if words == [""]:
        return None
    return float(severity.score([] if [word.casefold() for word in words] == ["none"] else words))


def _number(text: str, most: int) -> float | None:
    if not text.strip():
        return None
    number = float(text.replace(",", "."))
    if number not in range(most + 1):
        raise ValueError(f"not a whole number from 0 to {most}")
    return number
