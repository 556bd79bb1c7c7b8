"""Large sets that nobody may pass on: read in the publisher's own layout, from a copy that the reader brings.

The publisher's table says what there is. Images are looked up one by one where it says they lie, and none is
opened when a cohort is read: `sdnet data check` opens them all. An image of the table that is not here is
counted, never passed over in silence.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdnet_lib.data.cohort import CohortError, check_cohort, complete
from sdnet_lib.files import one_line


def find_table(folder: Path, *names: str) -> Path:
    """Return the first of some tables that lies in a folder, packed by gzip or not.

    Raises
    ------
    CohortError
        If none does.
    """
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise CohortError(f"{folder}: no {' or '.join(names)} in it, nor the same with .gz")


def read_columns(
    path: Path, filled: Sequence[str], blank: Sequence[str] = (), others: Sequence[str] = ()
) -> pd.DataFrame:
    """Read some columns of a publisher's table as text, blanks as ``""``, and no other column.

    Commas, or semicolons and tabs as spreadsheets write them; UTF-8, UTF-16 or Latin-1; packed by gzip if the
    name ends in ``.gz``.

    Parameters
    ----------
    path : pathlib.Path
    filled, blank : sequence of str
        Columns that must be there: with a value in each row, or perhaps without.
    others : sequence of str
        Columns that are kept if they are there.

    Returns
    -------
    pandas.DataFrame
        The index counts the rows of the file from 0, the header not counted.

    Raises
    ------
    CohortError
        If the table cannot be read, lacks a column, or a row has too many or too few cells.
    """
    content = _decoded(path)
    header = content.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=max(",;\t", key=header.count))
    rows, numbers = [], []
    try:
        names = [name.strip() for name in next(cells for cells in reader if any(cells))]
        if missing := [name for name in (*filled, *blank) if name not in names]:
            raise CohortError(f"{path}: no column {', '.join(missing)} (columns: {', '.join(names)[:300]})")
        kept = [name for name in dict.fromkeys((*filled, *blank, *others)) if name in names]
        places = [names.index(name) for name in kept]
        for number, cells in enumerate(reader):
            if any(cells[len(names) :]) or len(cells) <= max(places) and any(cells):
                raise CohortError(f"{path}, row {number + 2}: {len(cells)} cells under {len(names)} columns")
            if any(cells):
                rows.append([cells[place].strip() for place in places])
                numbers.append(number)
    except csv.Error as error:
        raise CohortError(f"{path}: cannot be read as CSV ({one_line(error)})") from None
    table = pd.DataFrame(rows, numbers, kept, dtype=object)
    for column in filled:
        if (empty := table[column] == "").any():
            raise CohortError(f"{path}, row {_row(empty)}, column {column}: empty")
    return table


def only_once(table: pd.DataFrame, key: str, path: Path) -> pd.DataFrame:
    """Drop rows that repeat another, as some publishers' tables have them.

    Raises
    ------
    CohortError
        If two rows of the same `key` say different things.
    """
    table = table.drop_duplicates()
    twice = table[key].duplicated()
    if twice.any():
        raise CohortError(
            f"{path}, row {_row(twice)}, column {key}: {table.loc[twice, key].iloc[0]!r} has two rows that "
            "contradict each other"
        )
    return table


def only_known(table: pd.DataFrame, column: str, known: Sequence[str], path: Path) -> None:
    """Raise `CohortError` if a column has a value that the publisher's has not."""
    strange = ~table[column].isin(known)
    if strange.any():
        value, choices = table.loc[strange, column].iloc[0], ", ".join(repr(name) for name in known)
        raise CohortError(f"{path}, row {_row(strange)}, column {column}: {value!r} is not one of {choices}")


def to_cohort(table: pd.DataFrame, source: str, path: Path, left_out: dict[str, int]) -> pd.DataFrame:
    """Make a cohort of the labelled rows whose file is here.

    Its attribute ``left_out`` counts the others, ``remarks`` the patients who have images of both labels.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `image_id`, `file`, `label` (``""`` for a row to leave out, counted by the caller) and others.
    source : str
        Value of the column `source`, where the table has none.
    path : pathlib.Path
        The publisher's table, for errors.
    left_out : dict of str to int
        What the caller has left out, by kind.
    """
    table = table[table["label"] != ""]
    here = table["file"].map(os.path.isfile).astype(bool)
    if not here.any():
        example = f", such as {table['file'].iloc[0]}" if len(table) else ""
        raise CohortError(
            f"{path}: none of the {len(table):,} images that it names with a label is here{example}"
        )
    cohort = complete(table[here], source)
    cohort = cohort.set_axis(cohort["image_id"].to_numpy())  # an error names the image by it
    cohort = check_cohort(cohort, str(path), check_files=False).reset_index(drop=True)
    counts = left_out | {"with a label, but no file here": int((~here).sum())}
    cohort.attrs["left_out"] = {kind: count for kind, count in counts.items() if count}
    both = int((cohort.groupby("patient_id")["label"].nunique() > 1).sum())  # a split keeps theirs together
    cohort.attrs["remarks"] = [f"patients with images of both labels: {both}"] if both else []
    return cohort


def _decoded(path: Path) -> str:
    """Return a table as text."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
    except gzip.BadGzipFile:
        raise CohortError(f"{path}: not packed by gzip; if it is unpacked, take .gz off its name") from None
    except (OSError, EOFError, zlib.error) as error:
        raise CohortError(f"{path}: cannot be read ({one_line(error)})") from None
    if not content.strip():
        raise CohortError(f"{path}: empty file")
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "latin-1"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CohortError(f"{path}: not a text file; save the table as CSV in UTF-8")


def _row(chosen: pd.Series) -> int:
    """Return the row of the first chosen one, as a spreadsheet counts: the header is row 1."""
    return int(chosen[chosen].index[0]) + 2
