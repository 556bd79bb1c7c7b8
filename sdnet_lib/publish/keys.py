"""What executed copies and pages depend on, as hashes: while these stay, nothing is made again."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import sdnet_lib
from sdnet_lib.config import cache_dir
from sdnet_lib.files import digest
from sdnet_lib.publish import address

PACKAGE = Path(sdnet_lib.__file__).parent


def executed_copies(notebooks: list[Path], parameters: dict, output: Path) -> dict[Path, Path]:
    """Return where the executed copy of each notebook is, or will be.

    Its name has a hash of all that it depends on: the notebook's source, this library with its weights,
    tables and data scripts, the parameters, the size and time of each file of the data folder, of the data
    set, and of the images that its table names wherever they lie, and the version of Python and of every
    installed package.
    """
    code = [*PACKAGE.rglob("*"), *(PACKAGE.parent / "data_scripts").rglob("*")]
    parts: list[str | bytes] = [json.dumps(parameters, sort_keys=True), sys.version]
    for file in sorted(file for file in code if file.is_file() and "__pycache__" not in file.parts):
        parts += [file.name, file.read_bytes()]
    parts.append(_listing(_behind(parameters["dataset"], parameters["data"])))
    # not of all of sys.path, which libraries such as setuptools lengthen when they are imported
    packages = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    parts += sorted({f"{package.name} {package.version}\n" for package in packages})
    shared = digest(*parts)
    return {
        notebook: output / "executed" / f"{notebook.stem}-{digest(shared, notebook.read_bytes())}.ipynb"
        for notebook in notebooks
    }


def pages_key(root: Path, notebooks: list[Path], copies: dict[Path, Path]) -> str:
    """Return a hash of all that web pages are made of; the names of the `copies` stand for the library."""
    prose = sorted(f for f in (root / "book").rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    files = [root / "_config.yml", root / "_toc.yml", *prose, *notebooks, *copies.values()]
    parts = [part for file in files for part in (file.name, file.read_bytes())]
    return digest(address.repository() or "", *parts)


def _behind(dataset: str, data: str | None) -> Iterator[Path]:
    """Yield the files behind a data set and in the data folder."""
    for place in (dataset, data or str(cache_dir() / "data")):
        if Path(place).is_absolute() and Path(place).exists():
            yield from Path(place).rglob("*") if Path(place).is_dir() else [Path(place)]
    if Path(dataset).is_absolute():  # a table, whose images may lie anywhere
        from data_scripts import registry  # takes seconds to import
        from sdnet_lib.data.cohort import PATHS

        cohort = registry.load_cohort(dataset, check_files=False)
        yield from (Path(file) for column in PATHS if column in cohort for file in cohort[column] if file)


def _listing(files: Iterable[Path]) -> str:
    """Return name, size and time of files; of one that is not there, its name."""
    return "\n".join(
        f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" if file.is_file() else str(file)
        for file in sorted(set(files))
    )
