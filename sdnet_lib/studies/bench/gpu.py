"""All that wants a GPU, measured in one command of 25 minutes: ``sdnet maintain gpu -o FILE``.

Each part of `parts` has its time and a process of its own; what it has found is in the file before the next
one begins, and another call goes on with the parts that are missing. Nothing of this has run on a GPU yet:
the tests run it on a CPU, at the smallest size.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from sdnet_lib.config import pick_device
from sdnet_lib.files import InputError, write_json
from sdnet_lib.studies.bench import NAMES, measure
from sdnet_lib.studies.bench.parts import FULL, Sizes

MINUTES = 25
DONE, LATE, SKIPPED = "done", "its time was up", "no time was left for it"
LEAST = 20  # seconds that a part needs to say anything
SECONDS = {  # that each part may take, in their order; together MINUTES
    "films": 60,
    **dict.fromkeys(NAMES, 50),
    "fit-16": 90,
    "fit-64": 90,
    "row-crop": 270,
    "row-sdnet": 270,
    "row-crop-side-by-side": 120,
    "chapter": 150,
}


def need() -> None:
    """Raise `InputError` if there is no GPU."""
    if pick_device().type != "cuda":
        raise InputError("no GPU here: sdnet bench measures this machine")


def measure_all(file: Path, folder: Path, minutes: float = MINUTES, sizes: Sizes = FULL) -> dict:
    """Measure what the file lacks, part by part, in a time.

    Parameters
    ----------
    file : Path
        Written after each part, and read first if it is there: what is done is not done again.
    folder : Path
        For films, studies and the cache; to go on, the same.
    minutes : float
        For all parts; one that would begin in the last seconds is left out.
    sizes : Sizes

    Returns
    -------
    dict
        As of `measure.bench`, with `goals` (each `what`, `reached`, `wanted`, `unit`, `note`) and `parts`
        (from the name of each to its `seconds` and how it `ended`).
    """
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    found = {"stages": {}, "goals": [], "parts": {}} | found
    end = time.monotonic() + 60 * minutes
    for name, limit in SECONDS.items():
        left = end - time.monotonic()
        if found["parts"].get(name, {}).get("ended") == DONE:
            continue
        if left < min(limit, LEAST):
            found["parts"][name] = {"seconds": 0, "ended": SKIPPED}
        else:
            _merge(found, name, *_in_time(name, sizes, folder.absolute(), min(limit, left)))
        write_json(file, found)
    return found


def _merge(found: dict, name: str, part: dict, seconds: float, ended: str) -> None:
    """Add what a part has found; goals of an earlier try of it are replaced."""
    goals = {goal["what"]: goal for goal in [*found["goals"], *part.pop("goals", [])]}
    stages = found["stages"] | part.pop("stages", {})
    found |= {key: value for key, value in part.items() if key not in found}
    found |= {"stages": stages, "goals": list(goals.values())}
    found["parts"][name] = {"seconds": round(seconds, 1), "ended": ended}


def _in_time(name: str, sizes: Sizes, folder: Path, limit: float) -> tuple[dict, float, str]:
    """Run a part in a process; return what it reported, its seconds, and how it ended."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / f"{name}.json"
    report.unlink(missing_ok=True)
    given = json.dumps(sizes._asdict() | {"profile": vars(sizes.profile)})
    start = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "sdnet_lib.studies.bench.parts", name, given, str(folder), str(limit)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {measure.CACHE: str(folder / "cache")},
        start_new_session=True,  # so that its own processes end with it
    ) as process:
        try:
            _, said = process.communicate(timeout=limit)
            ended = (said.strip().splitlines() or ["killed"])[-1] if process.returncode else DONE
        except subprocess.TimeoutExpired:
            ended = LATE
        finally:
            with suppress(ProcessLookupError):  # all have ended by themselves
                os.killpg(process.pid, signal.SIGKILL)
    part = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    return part, time.monotonic() - start, ended
