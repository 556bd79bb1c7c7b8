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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from sdnet_lib.checksums import beside, fault, write_seal
from sdnet_lib.children import safe_path
from sdnet_lib.files import machine
from sdnet_lib.names import shown
from sdnet_lib.publish.chapter import execute, family
from sdnet_lib.publish.checks import problems, stderr_of, without_paths

if TYPE_CHECKING:  # nbformat takes more than a second to import: an unchanged book does without it
    from nbformat import NotebookNode

FILES = 128  # that a chapter's process and its kernel open at most, each
CELL_TIMEOUT = 1800  # seconds that one cell may take; the longest of the `quick` profile takes about 100
ERROR_LINES = 12  # how much of a failing cell's traceback is shown
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"], "1"
)
# chapters are forks of a process that has imported papermill, which takes seconds, and done nothing else
FORKS = multiprocessing.get_context("forkserver")


class BookError(Exception):
    """The book cannot be built: a notebook or a page is broken. The message says which, and where.

    Its `status` is the exit status: 1 if the course is to blame, 2 if the machine or the user's data are.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


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
    private: Sequence[str] = (),
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
    private : sequence of str
        Paths that no page may show; see `checks.without_paths`.

    Raises
    ------
    BookError
        At the end, for all chapters that failed.
    OSError
        Before anything runs, if the system lets nobody open `FILES` files.
    """
    waiting, running, errors = longest_first(chapters), [], []
    machine.allow_files(FILES)
    safe_path()
    environment = _environment(scratch, at_once=max(1, min(jobs, len(chapters))))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                chapter = waiting.pop(0)
                running.append((chapter, *_start(chapter, scratch, environment, timeout), time.monotonic()))
            multiprocessing.connection.wait([process.sentinel for _, process, _, _ in running])
            for chapter, process, said, started in [one for one in running if not one[1].is_alive()]:
                running.remove((chapter, process, said, started))
                seconds = time.monotonic() - started
                try:
                    failure = _failure(process.exitcode, said)
                    noted = _keep(chapter, failure, scratch, output, strict, private)
                    print(f"{chapter.notebook.name:36} {seconds:6.1f} s{noted}", flush=True)
                except BookError as error:
                    print(f"{chapter.notebook.name:36} {seconds:6.1f} s, failed", flush=True)
                    errors.append(error)
    finally:
        for _, process, _, _ in running:
            _end(process)
    if errors:
        status = max(error.status for error in errors)
        between = "; " if status == 2 else "\n\n"
        raise BookError(between.join(str(error) for error in errors if error.status == status), status)


def longest_first(chapters: list[Chapter]) -> list[Chapter]:
    """Order `chapters` by the seconds of their last run, or else by those noted in their metadata."""

    def expected(chapter: Chapter) -> float:
        copies = chapter.target.parent.glob(f"{chapter.notebook.stem}-*.ipynb")
        newest = max(copies, key=lambda copy: copy.stat().st_mtime, default=None)
        intact = newest and not fault(newest)
        ran = _metadata(newest).get("papermill", {}) if intact else {}
        noted = _metadata(chapter.notebook)
        return ran.get("duration") or noted.get("seconds", float("inf"))

    return sorted(chapters, key=expected, reverse=True)


def _metadata(notebook: Path) -> dict:
    return json.loads(notebook.read_text(encoding="utf-8"))["metadata"]


def _environment(scratch: Path, at_once: int) -> dict[str, str]:
    """Return variables for kernels: this very Python, one thread, and no settings of the user's own."""
    from joblib import cpu_count

    theirs = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # plots stay inside
    if not os.access(os.path.expanduser("~"), os.W_OK):  # libraries keep settings there, or complain
        theirs["HOME"] = str(scratch / "home")
        Path(theirs["HOME"]).mkdir()
    return {
        **theirs,
        **ONE_THREAD,
        "LOKY_MAX_CPU_COUNT": str(max(1, cpu_count() // at_once)),  # processes that a chapter may start
        "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),
    }


def _as_it_is(path: Path) -> str:
    """Return a path in which papermill finds no names of parameters to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _start(
    chapter: Chapter, scratch: Path, environment: dict[str, str], timeout: int
) -> tuple[multiprocessing.Process, multiprocessing.connection.Connection]:
    """Start a chapter; return its process, and where to hear what went wrong."""
    name = chapter.notebook.stem
    empty = scratch / f"run-{name}"
    empty.mkdir(parents=True)
    options = {
        "input_path": _as_it_is(chapter.notebook),
        "output_path": _as_it_is(scratch / chapter.notebook.name),
        "parameters": chapter.parameters,
        "cwd": str(empty),
        "progress_bar": False,
        "execution_timeout": timeout,
        "extra_arguments": ["--log-level=50"],  # kernels report what a reader cannot change
    }
    environment = {**environment, "IPYTHONDIR": str(scratch / f"ipython-{name}")}
    FORKS.set_forkserver_preload(["papermill"])
    said, saying = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=execute, args=(options, environment, scratch, saying))
    process.start()
    saying.close()
    return process, said


def _failure(status: int, said: multiprocessing.connection.Connection) -> tuple[str | None, str] | None:
    """Return what an ended chapter said of its failure, None if it went well."""
    with said:
        if status == 0:
            return None
        try:
            return said.recv() if said.poll() else (None, f"ended with status {status}")
        except EOFError:
            return None, f"ended with status {status}"


def _end(process: multiprocessing.Process) -> None:
    """End a chapter at once, with its kernel and whatever that started."""
    members = family(process.pid)
    process.kill()
    for member in members:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.join()


def _keep(
    chapter: Chapter,
    failure: tuple[str | None, str] | None,
    scratch: Path,
    output: Path,
    strict: bool,
    private: Sequence[str],
) -> str:
    """Move what an ended chapter left to its place and return what to say about its stderr."""
    import nbformat

    name = chapter.notebook.name
    partial, where, reason = scratch / name, "", ""
    if failure:
        refused, long = failure
        if refused:
            begun = f", {_stopped_at(nbformat.read(partial, as_version=4))}" if partial.exists() else ""
            raise BookError(f"{name}{begun}: {refused}", 2)
        reason = _last_lines(long)
    if not partial.exists():
        raise BookError(f"{name}:\n{reason}")
    executed = nbformat.read(partial, as_version=4)
    for key in ("input_path", "output_path", "environment_variables"):
        executed.metadata["papermill"].pop(key, None)  # where it ran is nobody's business
    nbformat.write(without_paths(executed, private), partial)
    if failure:
        where = f", {_stopped_at(executed)}"
    else:
        reason = "\n".join(problems(executed, strict))
    printed = stderr_of(executed)
    with (output / "book.log").open("a", encoding="utf-8") as book_log:
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
    write_seal(beside(chapter.target), {}, chapter.target)
    return f", text on stderr: see {shown(str(output / 'book.log'))}" if printed else ""


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
