"""Tables that people bring: CSV in any of its habits, and Excel's .xlsx, to one table of text.

A table is read as it was meant, or refused with the row and what to do.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdnet_lib.files import InputError, one_line
from sdnet_lib.names import uncell

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MAX_UNPACKED = 500_000_000  # bytes of the XML in a spreadsheet
ROUNDED = 10**15  # from here on a spreadsheet does not keep all digits of a number
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")


class CohortError(InputError):
    """A cohort that cannot be used; the message names its file, row and column."""


def read(path: Path, text: Sequence[str], required: Sequence[str]) -> pd.DataFrame:
    """Read a table.

    Separated by commas, semicolons, tabs or bars, in UTF-8, UTF-16 or Latin-1, with or without Excel's
    ``sep=`` line; or the first sheet of an ``.xlsx`` file. Names of columns are known in capitals too.

    Parameters
    ----------
    path : pathlib.Path
    text : sequence of str
        Columns that stay text (an id such as 00001 keeps its zeros); others become numbers if all their
        values are, with decimal points or commas.
    required : sequence of str
        Columns that must be there; they stay text too.

    Returns
    -------
    pandas.DataFrame
        The index says where a row stood: 0 is the second line of the file. Blank text is ``""``, a blank
        number NaN.

    Raises
    ------
    CohortError
        If the file is empty, no table, has a column twice, a row of another length, or lacks a column of
        `required`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CohortError(f"{path}: cannot be read ({error.strerror})") from None
    if not content.strip():
        raise CohortError(f"{path}: empty file")
    names = dict.fromkeys((*text, *required))
    if content.startswith(b"PK\x03\x04"):
        lines = _sheet(path, content)
    elif content.startswith(b"\xd0\xcf\x11\xe0"):
        raise CohortError(f"{path}: an old Excel file: save it as .xlsx or as CSV")
    else:
        lines = _lines(path, _decoded(path, content), required)
    return _table(path, lines, names, required)


def _decoded(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0" or content[:1] == b"\0":
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            decoded = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in decoded:
            return decoded
    raise CohortError(f"{path}: not a text file; save the table as CSV in UTF-8, or as .xlsx")


def _lines(path: Path, decoded: str, required: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return the number of each line and its cells, the header first."""
    declared = re.match(r'"?sep=(.)"?\r?\n', decoded, re.IGNORECASE)
    start = declared.end() if declared else 0
    before = 1 if declared else 0
    delimiter = declared[1] if declared else _delimiter(decoded, required)
    text = io.StringIO(decoded[start:], newline="")
    # strict: a quote that is never closed would swallow the rows up to the next one
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
    lines, number = [], before
    try:
        for cells in reader:
            lines.append((number, cells))
            number = before + reader.line_num
    except csv.Error as error:
        raise CohortError(f"{path}: cannot be read as CSV, line {number + 1} ({one_line(error)})") from None
    return lines


def _delimiter(decoded: str, required: Sequence[str]) -> str:
    """Return what separates the columns: the header must have all that are required, or most columns."""
    header = next((line for line in decoded.splitlines() if line.strip()), "")

    def columns(delimiter: str) -> tuple[bool, int]:
        found = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True))
        return {name.lower() for name in required} <= {_plain(name) for name in found}, len(found)

    return max(DELIMITERS, key=columns)


def _sheet(path: Path, content: bytes) -> list[tuple[int, list[str]]]:
    """Return the rows of a workbook's first sheet that is not hidden, as text."""
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise CohortError(
                f"{path}: {unpacked / 1e6:,.0f} MB when unpacked, over {MAX_UNPACKED / 1e6:,.0f}"
            )
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        rows = next(sheet for sheet in book if sheet.sheet_state == "visible").iter_rows(values_only=True)
        return [(number, [_written(value) for value in row]) for number, row in enumerate(rows)]
    except CohortError:
        raise
    except Exception as error:  # a damaged workbook raises anything
        raise CohortError(
            f"{path}: cannot be read as an Excel file ({one_line(error)[:100]}): save it as .xlsx or as CSV"
        ) from None


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and abs(value) >= ROUNDED:
        return f"{value:.14E}"  # as it shows such a number, of which it has lost the last digits
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return str(value)


def _plain(name: str) -> str:
    return name.strip(" \t\ufeff\u200b\u00a0").lower()


def _table(
    path: Path, lines: list[tuple[int, list[str]]], names: Sequence[str], required: Sequence[str]
) -> pd.DataFrame:
    lines = [(number, cells) for number, cells in lines if any(cell.strip() for cell in cells)]
    if not lines:
        raise CohortError(f"{path}: empty file")
    known = {name.lower(): name for name in names}
    header = [known.get(_plain(name), name.strip(" \t\ufeff\u200b\u00a0")) for name in lines[0][1]]
    width = max((place + 1 for place, name in enumerate(header) if name), default=0)
    twice = {name for name in header[:width] if name and header.count(name) > 1}
    if twice:
        raise CohortError(f"{path}: column {', '.join(sorted(twice))} appears twice: remove one")
    for number, cells in lines[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise CohortError(
                f"{path}, row {number + 1}: rows with more cells than the header has columns; a cell with a "
                "comma in it, decimal commas too, needs quotes, or semicolons between the columns"
            )
    missing = [name for name in required if name not in header]
    if missing:
        raise CohortError(f"{path}: no column {', '.join(missing)} (columns: {', '.join(header[:width])})")
    rows = [[uncell(cell) for cell in cells[:width]] + [""] * (width - len(cells)) for _, cells in lines[1:]]
    table = pd.DataFrame(
        rows, columns=header[:width], index=[number - 1 for number, _ in lines[1:]], dtype=object
    )
    table = table[[name for name in table if name]]
    return pd.DataFrame({name: table[name] if name in names else _values(table[name]) for name in table})


def _values(column: pd.Series) -> pd.Series:
    """Return a column as numbers or truth values if all its cells are, else as it is."""
    cells = column.str.strip()
    filled = cells[cells != ""]
    if filled.empty:
        return column.where(cells != "", "")
    if filled.isin(["True", "False"]).all() and len(filled) == len(cells):
        return cells == "True"
    commas = filled.str.fullmatch(_DECIMAL_COMMA.pattern) | filled.str.fullmatch(r"[+-]?\d+")
    if commas.all() and filled.str.contains(",").any():
        if filled[filled.str.contains(",")].str.fullmatch(_THOUSANDS.pattern).all():
            return column  # 1,234 may be either
        cells = cells.str.replace(",", ".")
    try:
        return pd.to_numeric(cells.where(cells != "", None))
    except (TypeError, ValueError):
        return column
