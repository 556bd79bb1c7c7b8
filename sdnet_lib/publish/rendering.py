"""Jupyter Book as a child process: from staged sources to web pages."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from joblib import cpu_count

from sdnet_lib.children import python
from sdnet_lib.files import machine
from sdnet_lib.publish import mathfont
from sdnet_lib.publish.execution import ERROR_LINES, BookError
from sdnet_lib.publish.light import lighten

# Jupyter Book can have Sphinx read and write pages side by side; only its command does not ask for it
SIDE_BY_SIDE = """
import os
from functools import partial
os.register_at_fork(after_in_child=partial(end_with, os.getpid()))
from jupyter_book import sphinx
sphinx.build_sphinx = partial(sphinx.build_sphinx, jobs={jobs})
from jupyter_book.cli.main import main
main()
"""


def render(source: Path, scratch: Path, book_log: Path) -> Path:
    """Build the web pages from the staged `source` inside `scratch` and return their folder.

    Each build starts from nothing, as Sphinx repeats no warning of a page that it does not read again. What
    Jupyter Book says is added to `book_log`; a warning raises `BookError` with all warnings.
    """
    start = f"from sdnet_lib.children import end_with; end_with({os.getpid()})"
    program = python(f"{start}\n{SIDE_BY_SIDE.format(jobs=cpu_count())}")
    options = ["build", str(source), "--path-output", str(scratch), "-W", "-n", "--keep-going"]
    done = subprocess.run(
        program + options,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(scratch)},  # where Sphinx leaves a log when it fails
    )
    log = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout).replace(f"{source}/", "")
    with book_log.open("a", encoding="utf-8") as file:
        file.write(log)
    warnings = [line for line in log.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    if done.returncode and (refused := machine.reason(RuntimeError(log))):
        raise BookError(f"{scratch}: {refused}", 2)
    if done.returncode or warnings:
        lines = "\n".join(f"    {line}" for line in warnings or log.splitlines()[-ERROR_LINES:])
        raise BookError(f"Jupyter Book is not content:\n{lines}\nThe whole log: {book_log}")
    html = scratch / "_build" / "html"
    lighten(html)
    mathfont.write(html)
    return html
