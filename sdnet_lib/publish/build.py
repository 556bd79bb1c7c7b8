"""The book: papermill runs the notebooks, Jupyter Book turns the executed copies into web pages.

The source notebooks are never written to. An executed copy is kept under a name that holds a hash of
everything it came from, so a notebook runs again only when its source, the library, its parameters, its
data or an installed version has changed. What fails a check never reaches the book.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

import sdnet_lib
from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError, digest, write_text
from sdnet_lib.publish.execution import CELL_TIMEOUT, ERROR_LINES, BookError, Chapter, problems, run

PACKAGE = Path(sdnet_lib.__file__).parent
PHANTOM = "phantom"  # the data set of the course itself


def build(
    root: Path | None = None,
    output: Path | None = None,
    *,
    profile: str = "quick",
    dataset: str = PHANTOM,
    data: Path | None = None,
    seed: int = 0,
    only: str | None = None,
    jobs: int | None = None,
    strict: bool = False,
    timeout: int = CELL_TIMEOUT,
) -> Path:
    """Run the notebooks that need it, build the web pages and return the first one.

    Parameters
    ----------
    root : Path, optional
        The course: a folder with ``_config.yml``, ``_toc.yml``, ``book/`` and ``notebooks/``. The clone that
        this package is installed from, if not given.
    output : Path, optional
        Where ``html/``, ``executed/``, ``failed/`` and ``book.log`` go; ``root/_build`` if not given.
    profile, dataset, data, seed
        The parameters of every notebook; paths are made absolute, as notebooks run in an empty folder.
    only : str, optional
        Start of the one notebook's name to run, such as ``"03"``. The others become pages that say so.
    jobs : int, optional
        Chapters that run at a time; the cores, or one on a GPU, if not given. No number depends on it.
    strict : bool
        Refuse what libraries print on stderr, too.
    timeout : int
        Seconds that one cell may take.

    Raises
    ------
    InputError
        For a folder that is no course, an unknown chapter or parameter, or another build in progress.
    BookError
        For failing cells, executed notebooks that fail `execution.problems`, or a Sphinx warning.
    """
    root = Path(root) if root else PACKAGE.parent
    output = Path(output).absolute() if output else root / "_build"
    notebooks = find_notebooks(root)
    chosen = select(notebooks, only)
    parameters = parameters_of(profile, dataset, data, seed)
    copies = executed_copies(chosen, parameters, output)
    missing = [notebook for notebook in chosen if not copies[notebook].exists()]
    chapters = [Chapter(n, copies[n], overrides(n, parameters)) for n in missing]
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output), _scratch(output) as scratch:
        for notebook in chosen:
            if notebook not in missing:
                print(f"{notebook.name:36} unchanged", flush=True)
        if chapters:
            from sdnet_lib.studies.crossval import default_jobs

            (output / "book.log").unlink(missing_ok=True)
            run(chapters, scratch, output, jobs=jobs or default_jobs(), timeout=timeout, strict=strict)
        if strict:
            _refuse_noise(copies)
        page, stamp = output / "html" / "index.html", output / "html.key"
        key = _pages_key(root, notebooks, copies)
        if page.exists() and stamp.exists() and stamp.read_text() == key:
            print(f"the pages are up to date: {page}")
            return page
        from sdnet_lib.publish import pages  # takes seconds to import

        pages.stage(root, notebooks, {n.stem: copies[n] for n in chosen}, parameters, scratch / "source")
        built = render(scratch / "source", scratch, output / "book.log")
        for notebook in notebooks:  # what the download button hands out: the source, ready to run
            shutil.copyfile(notebook, built / "_sources" / "notebooks" / notebook.name)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(page.parent, ignore_errors=True)
        os.replace(built, page.parent)
        write_text(stamp, key)
    print(f"the book: {page}")
    return page


def parameters_of(profile: str, dataset: str, data: Path | None, seed: int) -> dict:
    """Return the parameters of every notebook; raise `InputError` now if no notebook could use them."""
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    if dataset != PHANTOM:
        from data_scripts import registry  # takes seconds to import

        if dataset not in registry.SYNTHETIC:
            registry.load_cohort(dataset, data=data, check_files=False)
        if dataset not in registry.names():
            dataset = str(Path(dataset).absolute())
    folder = str(Path(data).absolute()) if data is not None else None
    return {"profile": get_profile(profile).name, "dataset": dataset, "data": folder, "seed": seed}


def find_notebooks(root: Path) -> list[Path]:
    """Return the notebooks of the course at `root` in reading order; raise `InputError` if it is none."""
    if not (root / "_toc.yml").exists():
        raise InputError(f"{root} is not a clone of the course: no _toc.yml there (pip install -e CLONE)")
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    if not notebooks:
        raise InputError(f"no notebooks in {root / 'notebooks'}")
    return notebooks


def select(notebooks: list[Path], only: str | None) -> list[Path]:
    """Return the notebooks to run: all, or the one whose name starts with `only`."""
    if only is None:
        return notebooks
    chosen = [notebook for notebook in notebooks if only and notebook.stem.startswith(only)]
    if len(chosen) != 1:
        raise InputError(
            f"--only {only!r} is not one of {', '.join(n.stem.split('_')[0] for n in notebooks)}"
        )
    return chosen


def overrides(notebook: Path, parameters: dict) -> dict:
    """Return the `parameters` that differ from what `notebook` itself says.

    papermill only warns of a parameter that a notebook does not declare, and a misspelt ``profile`` would
    then mean the wrong run; here it is an `InputError`. A parameter that keeps its value is left out, so that
    a default run shows the cells that the source shows.
    """
    import papermill

    declared = papermill.inspect_notebook(str(notebook))
    unknown = [name for name in parameters if name not in declared]
    if unknown:
        raise InputError(f"{notebook.name} has no parameter {', '.join(unknown)} in its parameters cell")
    return {name: value for name, value in parameters.items() if repr(value) != _normal(declared[name])}


def _normal(parameter: dict) -> str:
    """Return the declared default of one of papermill's parameters as Python's `repr` writes it."""
    import ast

    try:
        return repr(ast.literal_eval(parameter["default"]))
    except (SyntaxError, ValueError):
        return ""


def executed_copies(notebooks: list[Path], parameters: dict, output: Path) -> dict[Path, Path]:
    """Return where the executed copy of each notebook is, or will be.

    Its name has a hash of all that it depends on: the notebook's source, this library with its weights,
    tables and data scripts, the parameters, the size and time of each file of a data set given by path, and
    the version of Python and of every installed package.
    """
    code = [*PACKAGE.rglob("*"), *(PACKAGE.parent / "data_scripts").rglob("*")]
    parts: list[str | bytes] = [json.dumps(parameters, sort_keys=True), sys.version]
    for file in sorted(file for file in code if file.is_file() and "__pycache__" not in file.parts):
        parts += [file.name, file.read_bytes()]
    for place in (parameters["dataset"], parameters["data"]):
        parts.append(_listing(Path(place)) if place and Path(place).is_absolute() else "-")
    # not of all of sys.path, which libraries such as setuptools lengthen when they are imported
    packages = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    parts += sorted({f"{package.name} {package.version}\n" for package in packages})
    shared = digest(*parts)
    return {
        notebook: output / "executed" / f"{notebook.stem}-{digest(shared, notebook.read_bytes())}.ipynb"
        for notebook in notebooks
    }


def _pages_key(root: Path, notebooks: list[Path], copies: dict[Path, Path]) -> str:
    """Return a hash of all that web pages are made of; the names of the `copies` stand for the library."""
    prose = sorted(f for f in (root / "book").rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    files = [root / "_config.yml", root / "_toc.yml", *prose, *notebooks, *copies.values()]
    return digest(*(part for file in files for part in (file.name, file.read_bytes())))


def _refuse_noise(copies: dict[Path, Path]) -> None:
    """Raise `BookError` if an executed copy, which a build that was not strict may have made, has noise."""
    import nbformat

    found = [
        f"{notebook.name}, {line}"
        for notebook, copy in copies.items()
        for line in problems(nbformat.read(copy, as_version=4), strict=True)
    ]
    if found:
        raise BookError("\n".join(found))


def _listing(place: Path) -> str:
    """Return name, size and time of the files at `place`, which is a file or a folder."""
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    return "\n".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Let one build at a time write to `output`."""
    try:
        with FileLock(output / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(
            f"another build is writing to {output}: wait for it, or choose another --output"
        ) from None


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """Lend an empty folder inside `output`, so that finished files can be moved into place in one step."""
    folder = output / "running"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed build left
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def render(source: Path, scratch: Path, book_log: Path) -> Path:
    """Build the web pages from the staged `source` inside `scratch` and return their folder.

    Each build starts from nothing, as Sphinx repeats no warning of a page that it does not read again. What
    Jupyter Book says is added to `book_log`; a warning raises `BookError` with all warnings.
    """
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["build", str(source), "--path-output", str(scratch), "-W", "-n", "--keep-going"]
    done = subprocess.run(
        program + options,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    log = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout).replace(f"{source}/", "")
    with book_log.open("a") as file:
        file.write(log)
    warnings = [line for line in log.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    if done.returncode or warnings:
        shown = "\n".join(f"    {line}" for line in warnings or log.splitlines()[-ERROR_LINES:])
        raise BookError(f"Jupyter Book is not content:\n{shown}\nThe whole log: {book_log}")
    return scratch / "_build" / "html"
