"""The commands that are disturbed: how each is called, and what it has to leave in the end.

All that a command writes lies in one folder, *the place*: ``out``, the cache and temporary files.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
import pandas as pd
from safetensors.numpy import load_file

from sdnet_lib.phantom import archive

ROOT = Path(__file__).parents[2]
MARK = "SDNET_FAULTS"  # a variable that all descendants of a command inherit
# as `sdnet` starts: without the working directory on the path
SDNET = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sdnet_lib.cli.main import main; main()"
LIBRARIES = ("torchinductor_", "pymp-")  # temporary folders of libraries, without data
SMALL = ["--profile", "smoke", "--image-size", "32", "--jobs", "2"]


class Command(NamedTuple):
    """A command of `sdnet`.

    Attributes
    ----------
    name : str
    arguments : callable
        From the folder of inputs and the place to the arguments.
    result : callable
        From the place and what was printed to a dictionary that is the same after each good run.
    growing : tuple of str
        Files of the result that say how far the command has come, and so differ before it ends.
    """

    name: str
    arguments: Callable[[Path, Path], list[str]]
    result: Callable[[Path, str], dict]
    growing: tuple[str, ...] = ()


def files(place: Path, _: str) -> dict:
    """Return the visible files below ``out`` with a hash of each."""
    out = place / "out"
    found = [file for file in sorted(out.rglob("*")) if file.is_file()]
    names = {file.relative_to(out): file for file in found}
    return {
        str(name): hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def predictions(place: Path, _: str) -> dict:
    """Return the predictions of a study by run."""
    tables = sorted((place / "out").glob("*/*.parquet"))
    return {table.stem: pd.read_parquet(table).to_csv(index=False) for table in tables}


def model(place: Path, _: str) -> dict:
    """Return a model's tensors and card, without time, command, and the checksums that cover both."""
    file = place / "out" / "model.safetensors"
    if not file.exists():
        return {}
    tensors = {name: value.tobytes() for name, value in load_file(file).items()}
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    other = ("seconds", "command", "files", "checksum")
    said = {name: value for name, value in card.items() if name not in other}
    return tensors | {"card": json.dumps(said, sort_keys=True)}


def last_line(_: Path, printed: str) -> dict:
    """Return the last line that was printed."""
    return {"last line": printed.strip().splitlines()[-1]} if printed.strip() else {}


def chapter(place: Path, _: str) -> dict:
    """Return what the cells of an executed chapter printed, and whether its page is there."""
    found = {}
    for copy in sorted((place / "out" / "executed").glob("*.ipynb")):
        cells = nbformat.read(copy, as_version=4).cells
        printed = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]
        found[copy.name] = "".join(text for text in printed if " min on " not in text)
    page = place / "out" / "html" / "index.html"
    return found | ({"page": page.read_text(encoding="utf-8")[:100]} if page.exists() else {})


COMMANDS = {
    command.name: command
    for command in (
        Command(
            "phantom",
            lambda _, place: ["phantom", "--n", "64", "--size", "64", "-o", f"{place}/out"],
            files,
        ),
        Command(
            "crop", lambda given, place: ["crop", f"{given}/films/cohort.csv", "-o", f"{place}/out"], files
        ),
        Command("data check", lambda *_: ["data", "check", "phantom"], last_line),
        Command(
            "cv",
            lambda given, place: [
                *("cv", f"{given}/films/cohort.csv", "--approach", "resnet50-crop", "-o", f"{place}/out"),
                *("--repeats", "1", "--folds", "3", *SMALL),
            ],
            predictions,
        ),
        Command(
            "train",
            lambda given, place: [
                *(
                    "train",
                    f"{given}/films/cohort.csv",
                    "--approach",
                    "resnet50-crop",
                    "--folds",
                    "2",
                    *SMALL,
                ),
                *("-o", f"{place}/out/model.safetensors"),
            ],
            model,
        ),
        Command(
            "predict",
            lambda given, place: ["predict", f"{given}/films/images", "-o", f"{place}/out"],
            files,
            growing=("predictions.csv",),
        ),
        Command(
            "build",
            lambda given, place: [
                *("build", f"{given}/archive/{archive.FILMS}", "--pcr", f"{given}/archive/{archive.PCR}"),
                *("--readings", f"{given}/archive/{archive.READINGS}", "--salt", f"{given}/salt"),
                *("--burnt-in", "absent", "--no-audit", "--jobs", "2", "-o", f"{place}/out"),
            ],
            files,
        ),
        Command(
            "audit", lambda given, place: ["audit", f"{given}/films/cohort.csv", "-o", f"{place}/out"], files
        ),
        Command(
            "book",
            lambda _, place: [
                *("book", "--profile", "smoke", "--only", "02", "--jobs", "1", "--output", f"{place}/out")
            ],
            chapter,
        ),
    )
}


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str
    seconds: float


def environment(place: Path, **more: str) -> dict[str, str]:
    """Return variables with which a command keeps to its place; a mark finds its descendants."""
    for name in ("cache", "tmp", "here"):
        (place / name).mkdir(parents=True, exist_ok=True)
    own = {
        "PYTHONPATH": str(ROOT),
        "SDNET_CACHE": f"{place}/cache",
        "TMPDIR": f"{place}/tmp",
        "OMP_NUM_THREADS": "1",
    }
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_"))}
    return theirs | own | {MARK: uuid.uuid4().hex} | more


def start(arguments: list[str], place: Path, variables: dict[str, str], before=(), isolated=True, **options):
    """Start `sdnet` in an empty folder of the place; `before` is a command that runs it."""
    return subprocess.Popen(
        [*before, sys.executable, *["-I"] * isolated, "-c", SDNET, *arguments],
        env=variables,
        cwd=place / "here",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        **options,
    )


def run(arguments: list[str], place: Path, without=(), variables=None, **options) -> Ran:
    """Run `sdnet` to its end, with some variables and without others."""
    began = time.monotonic()
    own = environment(place, **(variables or {}))
    own = {name: value for name, value in own.items() if name not in without}
    process = start(arguments, place, own, **options)
    out, err = process.communicate(timeout=600)
    said = (text.decode(errors="replace") for text in (out, err))
    return Ran(process.returncode, *said, time.monotonic() - began)


def alive(mark: str) -> list[str]:
    """Return the command lines of processes that descend from a marked command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def left_over(place: Path) -> list[str]:
    """Return what is half-written, or temporary, below a place."""
    half = [str(file) for file in place.rglob("*") if file.name.endswith(".part")]
    return half + [str(file) for file in (place / "tmp").iterdir() if not file.name.startswith(LIBRARIES)]


def inputs(folder: Path) -> Path:
    """Make the films, and the archive, that commands read."""
    made = folder / "inputs"
    if not made.exists():
        ran = run(["phantom", "--n", "24", "--size", "96", "-o", f"{made}/films"], folder)
        if ran.status:
            raise RuntimeError(ran.err)
        archive.write(made / "archive", patients=30, size=96)
        (made / "salt").write_text("the secret of all releases here")
    return made
