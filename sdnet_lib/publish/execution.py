"""Run chapters side by side, each in a process and an empty folder of its own, and check what they printed.

A kernel computes with one thread, so that its numbers depend neither on the cores of a machine nor on how
many chapters run beside it, and so that no thread waits for another one that a busy core holds back.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

import sdnet_lib

if TYPE_CHECKING:  # nbformat takes more than a second to import: an unchanged book does without it
    from nbformat import NotebookNode

CELL_TIMEOUT = 1800  # seconds that one cell may take; the longest of the `quick` profile takes about 100
ERROR_LINES = 12  # how much of a failing cell's traceback is shown
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"], "1"
)
# chapters are forks of a process that has imported papermill, which takes seconds, and done nothing else
FORKS = multiprocessing.get_context("forkserver")
# how Python prints a warning; a cell's file is called ipykernel_PID/NUMBER.py
WARNING = re.compile(r"^(?P<file>\S[^\n]*?):\d+: (?P<category>\w+): ", re.MULTILINE)
PACKAGE = Path(sdnet_lib.__file__).parent
OURS = (PACKAGE, PACKAGE.parent / "data_scripts")


class BookError(Exception):
    """The book cannot be built: a notebook or a page is broken. The message says which, and where."""


class Chapter(NamedTuple):
    """A notebook to run: where its executed copy goes, and the parameters that it does not have itself."""

    notebook: Path
    target: Path
    parameters: dict[str, object]


def run(
    chapters: list[Chapter],
    scratch: Path,
    output: Path,
    *,
    jobs: int = 1,
    timeout: int = CELL_TIMEOUT,
    strict: bool = False,
) -> None:
    """Run all `chapters`, `jobs` at a time, the longest first, and print a line as each of them ends.

    What goes well becomes the chapter's `target`; the others go to ``failed/``, as far as they came. Text on
    stderr is added to ``book.log``. However this ends, no kernel goes on.

    Parameters
    ----------
    chapters : list of Chapter
        In any order.
    scratch : Path
        An empty folder on the file system of the targets.
    output : Path
        Where ``failed/`` and ``book.log`` are.
    jobs : int
        Chapters at a time.
    timeout : int
        Seconds that one cell may take.
    strict : bool
        Refuse a library's warnings too; see `problems`.

    Raises
    ------
    BookError
        At the end, for all chapters that failed.
    """
    waiting, running, errors = longest_first(chapters), [], []
    environment = _environment(scratch, at_once=max(1, min(jobs, len(chapters))))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                chapter = waiting.pop(0)
                running.append((chapter, _start(chapter, scratch, environment, timeout), time.monotonic()))
            multiprocessing.connection.wait([process.sentinel for _, process, _ in running])
            for chapter, process, started in [one for one in running if not one[1].is_alive()]:
                running.remove((chapter, process, started))
                seconds = time.monotonic() - started
                try:
                    noted = _keep(chapter, process.exitcode, scratch, output, strict)
                    print(f"{chapter.notebook.name:36} {seconds:6.1f} s{noted}", flush=True)
                except BookError as error:
                    print(f"{chapter.notebook.name:36} {seconds:6.1f} s, failed", flush=True)
                    errors.append(str(error))
    finally:
        for _, process, _ in running:
            _end(process)
    if errors:
        raise BookError("\n\n".join(errors))


def longest_first(chapters: list[Chapter]) -> list[Chapter]:
    """Order `chapters` by the seconds of their last run, or else by those noted in their metadata."""

    def expected(chapter: Chapter) -> float:
        copies = chapter.target.parent.glob(f"{chapter.notebook.stem}-*.ipynb")
        newest = max(copies, key=lambda copy: copy.stat().st_mtime, default=None)
        ran = json.loads(newest.read_text())["metadata"].get("papermill", {}) if newest else {}
        noted = json.loads(chapter.notebook.read_text())["metadata"]
        return ran.get("duration") or noted.get("seconds", float("inf"))

    return sorted(chapters, key=expected, reverse=True)


def _environment(scratch: Path, at_once: int) -> dict[str, str]:
    """Return variables for kernels: this very Python, one thread, and no settings of the user's own."""
    from joblib import cpu_count

    theirs = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # plots stay inside
    return {
        **theirs,
        **ONE_THREAD,
        "LOKY_MAX_CPU_COUNT": str(max(1, cpu_count() // at_once)),  # processes that a chapter may start
        "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),
    }


def _start(
    chapter: Chapter, scratch: Path, environment: dict[str, str], timeout: int
) -> multiprocessing.Process:
    name = chapter.notebook.stem
    empty = scratch / f"run-{name}"
    empty.mkdir(parents=True)
    options = {
        "input_path": str(chapter.notebook),
        "output_path": str(scratch / chapter.notebook.name),
        "parameters": chapter.parameters,
        "cwd": str(empty),
        "progress_bar": False,
        "execution_timeout": timeout,
        "extra_arguments": ["--log-level=50"],  # kernels report what a reader cannot change
    }
    environment = {**environment, "IPYTHONDIR": str(scratch / f"ipython-{name}")}
    FORKS.set_forkserver_preload(["papermill"])
    process = FORKS.Process(target=_execute, args=(options, environment, scratch / f"{name}.log"))
    process.start()
    return process


def _execute(options: dict[str, object], environment: dict[str, str], log: Path) -> None:
    """Run one notebook in this process of its own; say in `log` what went wrong."""
    import papermill

    os.setsid()  # Ctrl-C reaches `run` alone, which then ends all
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = str(log.parent)  # for the file that tells a kernel its ports: it goes when all ends
    try:
        papermill.execute_notebook(**options)
    except Exception as error:  # its traceback would only show the inside of papermill
        log.write_text(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _end(process: multiprocessing.Process) -> None:
    """End a chapter at once, with its kernel and whatever that started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.join()


def _keep(chapter: Chapter, status: int, scratch: Path, output: Path, strict: bool) -> str:
    """Move what an ended chapter left to its place and return what to say about its stderr."""
    import nbformat

    name = chapter.notebook.name
    partial, log, where, reason = scratch / name, scratch / f"{chapter.notebook.stem}.log", "", ""
    if status:
        reason = _last_lines(log.read_text()) if log.exists() else f"    ended with status {status}"
    if not partial.exists():
        raise BookError(f"{name}:\n{reason}")
    executed = nbformat.read(partial, as_version=4)
    for key in ("input_path", "output_path", "environment_variables"):
        executed.metadata["papermill"].pop(key, None)  # where it ran is nobody's business
    nbformat.write(executed, partial)
    if status:
        where = f", {_stopped_at(executed)}"
    else:
        reason = "\n".join(problems(executed, strict))
    printed = stderr_of(executed)
    with (output / "book.log").open("a") as book_log:
        book_log.writelines(
            f"{name}, cell {number}, on stderr:\n{text}\n" for number, text in printed.items()
        )
    if reason:
        (output / "failed").mkdir(exist_ok=True)
        kept = output / "failed" / name
        os.replace(partial, kept)
        raise BookError(f"{name}{where}:\n{reason}\nThe notebook as far as it came: {kept}")
    chapter.target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, chapter.target)
    return f", text on stderr: see {output / 'book.log'}" if printed else ""


def problems(executed: NotebookNode, strict: bool = False) -> list[str]:
    """Return what keeps an executed notebook out of the book, one line each.

    Jupyter Book does not execute, and publishes stored tracebacks and cells that never ran without a
    warning; so they are looked for here. On stderr, our own warnings and tracebacks count. What a library
    prints there is not the reader's problem, but a maintainer's: only `strict` refuses it.
    """
    found, expected, printed = [], 1, stderr_of(executed)
    for number, cell in enumerate(executed.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count != expected:
            found.append(f"cell {number}: execution count {cell.execution_count} where {expected} is due")
        expected += 1
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {number}: {output.ename}: {output.evalue}")
        text = printed.get(number, "")
        if text and (strict or "Traceback (most recent call last)" in text or _own_warning(text)):
            found.append(f"cell {number}: text on stderr: {text.strip()[:300]}")
    return found


def stderr_of(executed: NotebookNode) -> dict[int, str]:
    """Return what each cell of an executed notebook printed on stderr, if anything."""
    texts = {
        number: "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
        for number, cell in enumerate(executed.cells)
        if cell.cell_type == "code"
    }
    return {number: text for number, text in texts.items() if text.strip()}


def _own_warning(text: str) -> bool:
    """Tell whether `text` has a warning from a cell, from this library or from a data script.

    That a library will change something is its own news, wherever it sees itself called from.
    """
    for hit in WARNING.finditer(text):
        file = Path(hit["file"])
        ours = file.parent.name.startswith("ipykernel_") or any(map(file.is_relative_to, OURS))
        if ours and not re.search("Deprecat|FutureWarning", hit["category"]):
            return True
    return False


def _stopped_at(executed: NotebookNode) -> str:
    """Return the last cell that a partly executed notebook started, with its first line."""
    cells = [c for c in executed.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
    started = [n for n, c in enumerate(cells) if c.metadata.get("papermill", {}).get("start_time")]
    last = max((n for n in started if cells[n].cell_type == "code"), default=0)
    return f"cell {last} ({(cells[last].source.strip() or 'empty').splitlines()[0]})"


def _last_lines(text: str) -> str:
    """Return the last lines of what a chapter's process printed, without terminal colours, indented."""
    lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-ERROR_LINES:])
