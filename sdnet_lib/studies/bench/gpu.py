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
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sdnet_lib import children
from sdnet_lib.config import Profile, get_profile, pick_device
from sdnet_lib.files import InputError, write_json
from sdnet_lib.studies import budget
from sdnet_lib.studies.bench import NAMES, measure, parts
from sdnet_lib.studies.bench.parts import FULL, Sizes

MINUTES = 25
DONE, LATE, SKIPPED = "done", "its time was up", "no time was left for it"
LEAST = 20  # seconds that a part needs to say anything
SECONDS = {  # that each part may take, in their order; together MINUTES
    "films": 60,
    **dict.fromkeys(NAMES, 40),
    "fit-16": 80,
    "fit-64": 80,
    "row-crop": 200,
    "row-sdnet": 220,
    "row-crop-side-by-side": 150,
    "chapter": 140,
    "bundle": 210,
}


def need() -> None:
    """Raise `InputError` if there is no GPU."""
    if pick_device().type != "cuda":
        raise InputError("no GPU here: sdnet bench measures this machine")


def plan(device: budget.Device, sizes: Sizes = FULL) -> str:
    """Return the parts with their times, and what networks need of each at least on a device, by the budget.

    A row needs its first run, a chapter all of it. Drawing and reading films, starting processes and making
    pages come on top.
    """
    lines = [f"on {device.name}, {device.rate / 1e12:.3g} TFLOP/s ({device.source})"]
    lines.append(f"{'part':24}{'seconds':>9}{'networks':>10}")
    for name, limit in SECONDS.items():
        needs = operations(name, sizes) / device.rate
        late = "  more than its time, unless training stops early" if needs > limit else ""
        lines.append(f"{name:24}{limit:9}{needs:10.1f}{late}")
    return "\n".join([*lines, f"{'together at most':24}{sum(SECONDS.values()):9}"])


def operations(name: str, sizes: Sizes) -> float:
    """Return what networks compute until a part has something to say, by the budget; 0 for a bench stage."""
    if name in parts.ROWS or name == "row-crop-side-by-side":
        approach, _ = parts.ROWS.get(name, parts.ROWS["row-crop"])
        own = replace(sizes.profile, **parts.shorter(name, sizes.profile))
        cost = budget.study([approach], own, sizes.images, _setting(own))
        return cost.operations / (own.repeats * own.folds if name in parts.ROWS else own.repeats)
    if name.startswith("fit-"):
        own = replace(sizes.profile, batch=int(name.split("-")[1]), epochs=1)
        one = budget.training("resnet50", own, sizes.images, _setting(own))
        return one.operations * (2 + sizes.epochs)
    if name in ("chapter", "bundle"):
        profile, number = sizes.book if name == "chapter" else ("smoke", "")
        own = get_profile(profile)
        rows = budget.book(own, _setting(own))
        return sum(cost.operations for chapter, cost in rows if chapter.startswith(number))
    return 0


def _setting(profile: Profile) -> budget.Setting:
    return budget.Setting.of(profile, mixed=True)


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
        children.module("sdnet_lib.studies.bench.parts", name, given, str(folder), str(limit)),
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
