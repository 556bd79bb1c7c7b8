"""The folder that `sdnet predict` writes: its table, and the names of its panels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdnet_lib.data import images
from sdnet_lib.files import InputError, write_text
from sdnet_lib.names import csv_text, file_names, uncell
from sdnet_lib.studies.card import NO_DEVICE

COLUMNS = ["file", "prob_P", "label", "threshold", "uncertainty", "warning", "error"]
TABLE = "predictions.csv"
HEAD = 4096  # bytes of a panel, among them its metadata


def inputs(sources: Sequence[str | Path], out: str | Path) -> list[Path]:
    """Return the files that are meant: a file is itself, whatever its name; a folder is all images in it.

    What an earlier call wrote into `out` is no input, unless it is named itself.

    Raises
    ------
    InputError
        If there is nothing to read, or `out` holds one of the images.
    """
    out, files = Path(out), []
    for source in map(Path, sources):
        if not source.is_dir():
            files.append(source)
            continue
        found = images.find_images(source, "**/*")
        if not found.images:
            others = f"; it holds {found}" if found.left_out else ""
            raise InputError(f"{source}: no image in this folder ({', '.join(images.KINDS)}){others}")
        files += [file for file in found.images if not ours(file, out)]
    if not files:
        raise InputError("no image was given")
    if not any(file.exists() for file in files):
        raise InputError("\n".join(f"{file}: no such file" for file in files))
    images.apart(out, files)
    return list(dict.fromkeys(files))


def not_read(sources: Sequence[str | Path]) -> list[str]:
    """Say of each folder what is in it besides images, a line each."""
    found = {folder: images.find_images(folder, "**/*") for folder in filter(Path.is_dir, map(Path, sources))}
    return [f"{folder}: not read: {files}" for folder, files in found.items() if files.left_out]


def ours(file: Path, out: Path) -> bool:
    """Say whether a file is a panel that an earlier call wrote into `out`: panels carry a notice.

    Its name would not do: a user's own picture may have the same.
    """
    if file.suffix != ".png" or file.resolve().parent != out.resolve() or not file.is_file():
        return False
    with file.open("rb") as opened:
        return NO_DEVICE.encode() in opened.read(HEAD)


def clear(out: Path) -> None:
    """Remove the panels of an earlier call: beside a new table they would be taken for its own."""
    for file in out.glob("*.png"):
        if ours(file, out):
            file.unlink()


def write(file: Path, rows: dict[str, dict]) -> None:
    """Write the table, whose first line is no data."""
    table = pd.DataFrame(list(rows.values()), columns=COLUMNS)
    write_text(file, f"# {NO_DEVICE}\n{csv_text(table, float_format='%.4f')}")


def read_table(file: str | Path) -> pd.DataFrame:
    """Read a ``predictions.csv``; what is blank is ``""`` in text and NaN in numbers."""
    text = dict.fromkeys(("file", "label", "warning", "error"), str)
    blank = {"prob_P": "", "threshold": "", "uncertainty": ""}
    table = pd.read_csv(file, skiprows=1, dtype=text, keep_default_na=False, na_values=blank)
    return table.assign(**{column: table[column].map(uncell) for column in text})


def panel_names(files: Sequence[Path]) -> dict[str, str]:
    """Name the panel of each file; files of one name in several folders get numbers."""
    again: dict[str, int] = {}
    titles = []
    for file in files:
        again[file.stem] = number = again.get(file.stem, 0) + 1
        titles.append(file.stem if number == 1 else f"{file.stem}-{number}")
    return {str(file): f"{name}.png" for file, name in zip(files, file_names(titles), strict=True)}
