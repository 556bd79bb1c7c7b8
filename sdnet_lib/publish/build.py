"""The book: papermill runs the notebooks, Jupyter Book turns the executed copies into web pages.

The source notebooks are never written to. An executed copy is kept under a name that holds a hash of
everything it came from, so a notebook runs again only when its source, the library, its parameters, its
data or an installed version has changed. What fails a check never reaches the book.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout

from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError
from sdnet_lib.publish import pages

CELL_TIMEOUT = 1800  # seconds that one cell may take; the longest of the `quick` profile takes about 100
ERROR_LINES = 12  # how much of a failing cell's traceback is shown


class BookError(Exception):
    """The book cannot be built: a notebook or a page is broken. The message says which, and where."""


def build(
    root: Path | None = None,
    output: Path | None = None,
    *,
    profile: str = "quick",
    dataset: str = "phantom",
    data: Path | None = None,
    seed: int = 0,
    only: str | None = None,
    timeout: int = CELL_TIMEOUT,
) -> Path:
    """Run the notebooks that need it, build the web pages and return the first one.

    Parameters
    ----------
    root : Path, optional
        The course: a folder with ``_config.yml``, ``_toc.yml``, ``book/`` and ``notebooks/``. The clone that
        this package is installed from, if not given.
    output : Path, optional
        Where ``html/``, ``executed/`` and ``failed/`` go; ``root/_build`` if not given.
    profile, dataset, data, seed
        The parameters of every notebook; paths are made absolute, as notebooks run in an empty folder.
    only : str, optional
        Start of the one notebook's name to run, such as ``"03"``. The others become pages that say so.
    timeout : int
        Seconds that one cell may take.

    Raises
    ------
    InputError
        For a folder that is no course, an unknown chapter or parameter, or another build in progress.
    BookError
        For a failing cell, an executed notebook that fails `problems`, or a Sphinx warning.
    """
    root = Path(root) if root else Path(__file__).parents[2]
    output = Path(output).absolute() if output else root / "_build"
    notebooks = find_notebooks(root)
    chosen = select(notebooks, only)
    parameters = {"profile": get_profile(profile).name, **_absolute(dataset, data), "seed": seed}
    changes = {notebook: overrides(notebook, parameters) for notebook in chosen}
    output.mkdir(parents=True, exist_ok=True)
    with _alone(output), _scratch(output) as scratch:
        executed = {}
        for notebook in chosen:
            target = output / "executed" / f"{notebook.stem}-{cache_key(notebook, parameters)}.ipynb"
            print(f"{notebook.name:36}", end=" ", flush=True)
            if target.exists():
                print("unchanged", flush=True)
            else:
                seconds = execute(notebook, target, changes[notebook], scratch, output / "failed", timeout)
                print(f"{seconds:6.1f} s", flush=True)
            executed[notebook.stem] = target
        source = scratch / "source"
        pages.stage(root, notebooks, executed, parameters, source)
        return render(source, output, scratch, notebooks)


def _absolute(dataset: str, data: Path | None) -> dict:
    """Return the parameters `dataset` and `data`; raise `InputError` now if no notebook could read them."""
    from data_scripts import registry

    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    if dataset not in registry.SYNTHETIC:
        registry.load_cohort(dataset, data=data, check_files=False)
    if dataset not in registry.names():
        dataset = str(Path(dataset).absolute())
    return {"dataset": dataset, "data": str(Path(data).absolute()) if data is not None else None}


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


def cache_key(notebook: Path, parameters: dict) -> str:
    """Return a hash of all that an executed notebook depends on, 16 hexadecimal digits.

    That is: its source, this library with its weights, tables and data scripts, the parameters, the size and
    time of each file of a data set given by path, and the version of Python and of every installed package.
    """
    package = Path(__file__).parents[1]
    code = [*package.rglob("*"), *(package.parent / "data_scripts").rglob("*")]
    code = sorted(file for file in code if file.is_file() and "__pycache__" not in file.parts)
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for file in [notebook, *code]:
        digest.update(file.name.encode() + file.read_bytes())
    for place in (parameters["dataset"], parameters["data"]):
        digest.update(_listing(Path(place)).encode() if place and Path(place).is_absolute() else b"-")
    installed = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions())
    digest.update("\n".join([sys.version, *installed]).encode())
    return digest.hexdigest()[:16]


def _listing(place: Path) -> str:
    """Return name, size and time of the files at `place`, which is a file or a folder."""
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    return "\n".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


def execute(
    notebook: Path, target: Path, parameters: dict, scratch: Path, failed: Path, timeout: int = CELL_TIMEOUT
) -> float:
    """Run `notebook` in an empty folder of `scratch`, save the executed copy as `target`, return the seconds.

    A notebook that fails goes to the folder `failed` instead, as far as it came, and `BookError` says why.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    partial, started = scratch / notebook.name, time.monotonic()
    empty = scratch / f"run-{notebook.stem}"
    empty.mkdir(parents=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    options = {"cwd": empty, "progress_bar": False, "execution_timeout": timeout}
    options["extra_arguments"] = ["--log-level=50"]  # kernels report what a reader cannot change
    error, reason = None, ""
    with _kernel_environment(scratch):
        try:
            papermill.execute_notebook(notebook, partial, parameters, **options)
        except (papermill.PapermillExecutionError, CellTimeoutError, DeadKernelError) as caught:
            error, reason = caught, _last_lines(caught)
    executed = nbformat.read(partial, as_version=4)
    for name in ("input_path", "output_path", "environment_variables"):
        executed.metadata["papermill"].pop(name, None)  # where it ran is nobody's business
    nbformat.write(executed, partial)
    if error is None and (found := problems(executed)):
        reason = "\n".join(found)
    if reason:
        failed.mkdir(exist_ok=True)
        kept = failed / notebook.name
        os.replace(partial, kept)
        where = f", {_stopped_at(executed)}" if error else ""
        raise BookError(
            f"{notebook.name}{where}:\n{reason}\nThe notebook as far as it came: {kept}"
        ) from error
    os.replace(partial, target)
    return time.monotonic() - started


def problems(executed: nbformat.NotebookNode) -> list[str]:
    """Return what keeps an executed notebook out of the book, one line each.

    Jupyter Book, told not to execute, publishes stored tracebacks, stderr text and cells that never ran
    without a warning; so they are looked for here.
    """
    found, expected = [], 1
    for number, cell in enumerate(executed.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count != expected:
            found.append(f"cell {number}: execution count {cell.execution_count} where {expected} is due")
        expected += 1
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {number}: {output.ename}: {output.evalue}")
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {number}: text on stderr: {output.text.strip()[:300]}")
    return found


def _stopped_at(executed: nbformat.NotebookNode) -> str:
    """Return the last cell that a partly executed notebook started, with its first line."""
    cells = [c for c in executed.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
    started = [n for n, c in enumerate(cells) if c.metadata.get("papermill", {}).get("start_time")]
    last = max((n for n in started if cells[n].cell_type == "code"), default=0)
    return f"cell {last} ({(cells[last].source.strip() or 'empty').splitlines()[0]})"


def _last_lines(error: BaseException) -> str:
    """Return the last lines of what a cell raised, without terminal colours, indented."""
    text = "\n".join(getattr(error, "traceback", None) or [str(error)])
    lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-ERROR_LINES:])


@contextmanager
def _kernel_environment(scratch: Path) -> Iterator[None]:
    """Make kernels use this very Python and no settings of the user's own, for as long as this lasts."""
    before = dict(os.environ)
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
    os.environ["IPYTHONDIR"] = str(scratch / "ipython")
    os.environ.pop("MPLBACKEND", None)  # plots belong into the notebook
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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


def render(source: Path, output: Path, scratch: Path, notebooks: list[Path]) -> Path:
    """Build the web pages from the staged `source` into ``output/html`` and return the first one.

    Each build starts from nothing, as Sphinx repeats no warning of a page that it does not read again; a
    build whose sources are the same as last time's is skipped altogether. A warning leaves the last good
    pages in place and raises `BookError` with all warnings.
    """
    html, stamp = output / "html", output / "html.key"
    key = _tree_key(source)
    if html.exists() and stamp.exists() and stamp.read_text() == key:
        print(f"the pages are up to date: {html / 'index.html'}")
        return html / "index.html"
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
    (output / "book.log").write_text(log)
    warnings = [line for line in log.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    if done.returncode or warnings:
        shown = "\n".join(f"    {line}" for line in warnings or log.splitlines()[-ERROR_LINES:])
        raise BookError(f"Jupyter Book is not content:\n{shown}\nThe whole log: {output / 'book.log'}")
    built = scratch / "_build" / "html"
    for notebook in notebooks:  # what the download button hands out: the source, ready to run
        shutil.copyfile(notebook, built / "_sources" / "notebooks" / notebook.name)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(html, ignore_errors=True)
    os.replace(built, html)
    stamp.write_text(key)
    print(f"the book: {html / 'index.html'}")
    return html / "index.html"


def _tree_key(folder: Path) -> str:
    """Return a hash of the names and bytes of all files below `folder`."""
    digest = hashlib.sha256(importlib.metadata.version("sphinx").encode())
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()
