"""A study: a folder with the runs of one cross-validation, what it must hold, and what is still missing.

``study.json`` says which cohort, sizes and seed; ``APPROACH/r0f0.parquet`` holds the predictions of repeat 0,
fold 0, and ``r0f0.json`` beside it where they come from. A run that has its Parquet file is done.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock

from sdnet_lib import __version__
from sdnet_lib.config import Profile, pick_device
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.files import InputError, code_hash, write_json

LIBRARIES = ("torch", "torchvision", "fastai", "timm", "numpy", "pandas", "scikit-learn")
# A run computes with one thread, so that its numbers do not depend on how many run beside it.
THREADS = 1


class Study(NamedTuple):
    """A cohort, how it is to be cross-validated, and the folder for the runs.

    Attributes
    ----------
    folder : Path
    cohort : DataFrame
        A checked cohort.
    profile : Profile
        Its sizes, `repeats` and `folds` are used.
    seed : int
        Repeat r is split and trained with seed + r.
    elsewhere : dict of str to DataFrame
        Other cohorts that each run's network is tested on too, whole, by name.
    data : Path or None
        The folder that holds the public data sets, for approaches that start from weights that lie there.
    keep_models : bool
        Whether each run leaves its model too, beside its predictions.
    """

    folder: Path
    cohort: pd.DataFrame
    profile: Profile
    seed: int = 0
    elsewhere: dict[str, pd.DataFrame] = {}
    data: Path | None = None
    keep_models: bool = False


class Run(NamedTuple):
    """One training: an approach on one fold of one repeat."""

    approach: str
    repeat: int
    fold: int


def open_study(study: Study) -> Study:
    """Make the folder of a study, or make sure that it holds this very study and not another.

    Repeats may be added later; they do not change those that are there.

    Raises
    ------
    InputError
        If the folder holds runs of another cohort, seed or size; the message says what differs.
    """
    wanted = _identity(study)
    study.folder.mkdir(parents=True, exist_ok=True)
    file = study.folder / "study.json"
    with FileLock(study.folder / ".study.lock"):
        if file.exists():
            found = read_json(file)
            if differs := _differences(_flat(found), _flat(wanted)):
                raise InputError(f"{study.folder} holds another study, name another folder: {differs}")
        else:
            write_json(file, wanted)
    return study


def _identity(study: Study) -> dict:
    profile = dataclasses.asdict(study.profile)
    del profile["repeats"]
    return {
        "cohort": fingerprint(study.cohort),
        "images": len(study.cohort),
        "seed": study.seed,
        "profile": json.loads(json.dumps(profile)),
        "elsewhere": {name: fingerprint(cohort) for name, cohort in sorted(study.elsewhere.items())},
    }


def _flat(identity: dict) -> dict:
    """Return an identity with the sizes of its profile beside the rest."""
    return {**identity, **identity.get("profile", {}), "profile": None}


def _differences(there: dict, asked: dict) -> str:
    """Say in what two flat identities differ; nothing if they agree."""
    keys = [key for key in {**there, **asked} if there.get(key) != asked.get(key)]
    return "; ".join(f"{key} {there.get(key)} there, {asked.get(key)} asked for" for key in keys)


def plan(study: Study, approaches: Sequence[str]) -> pd.DataFrame:
    """Say what is done and what is missing.

    Returns
    -------
    DataFrame
        One row a run, in the order in which they are done: `approach`, `repeat`, `fold`, `done`, `seconds`:
        what it took or, for a missing run, what its approach took on average so far (NaN if unknown).
    """
    from sdnet_lib.models.registry import find

    rows = []
    for name in approaches:
        find(name)
        for repeat in range(study.profile.repeats):
            for fold in range(study.profile.folds):
                run = Run(name, repeat, fold)
                done = is_done(study, run)
                seconds = read_json(provenance_file(study.folder, run)).get("seconds") if done else np.nan
                rows.append({**run._asdict(), "done": done, "seconds": seconds})
    table = pd.DataFrame(rows)
    return table.assign(
        seconds=table["seconds"].fillna(table.groupby("approach")["seconds"].transform("mean"))
    )


def describe(table: pd.DataFrame, jobs: int) -> str:
    """Return a plan as text: runs done and missing, and the time the missing ones may take."""
    lines = [f"{'approach':24}{'done':>6}{'missing':>9}{'s a run':>10}{'minutes left':>14}"]
    for name, runs in table.groupby("approach", sort=False):
        missing, mean = int((~runs["done"]).sum()), runs["seconds"].mean()
        known = not np.isnan(mean)
        each = f"{mean:.0f}" if known else "unknown"
        left = f"{missing * mean / min(jobs, max(1, missing)) / 60:.1f}" if known else "unknown"
        lines.append(f"{name:24}{int(runs['done'].sum()):6}{missing:9}{each:>10}{left:>14}")
    lines.append(f"{int(table['done'].sum())} of {len(table)} runs done, {jobs} at a time")
    return "\n".join(lines)


def provenance(study: Study, run: Run, profile: Profile, said: dict, seconds: float) -> dict:
    """Say where a run's predictions come from."""
    return {
        **run._asdict(),
        "seed": study.seed,
        "code": {"version": __version__, "hash": code_hash()},
        "cohort": {
            "fingerprint": fingerprint(study.cohort),
            "sources": sorted(set(study.cohort["source"])),
            "images": len(study.cohort),
        },
        "profile": dataclasses.asdict(profile),
        "device": str(pick_device()),
        "threads": THREADS,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
        "seconds": round(seconds, 1),
        "training": said,
    }


def prediction_file(folder: Path, run: Run) -> Path:
    """Return where a run's predictions are, one row a tested image."""
    return folder / run.approach / f"r{run.repeat}f{run.fold}.parquet"


def provenance_file(folder: Path, run: Run) -> Path:
    """Return where a run's provenance is."""
    return prediction_file(folder, run).with_suffix(".json")


def model_file(folder: Path, run: Run) -> Path:
    """Return where a run's model is, if the study keeps models."""
    return prediction_file(folder, run).with_suffix(".safetensors")


def is_done(study: Study, run: Run) -> bool:
    """Say whether all that a run should leave is there; its predictions are written last."""
    kept = not study.keep_models or model_file(study.folder, run).exists()
    return kept and prediction_file(study.folder, run).exists()


def name_of(run: Run) -> str:
    """Return a run's name for people: approach, repeat and fold."""
    return f"{run.approach} r{run.repeat}f{run.fold}"


def read_json(file: Path) -> dict:
    """Read one of a study's JSON files; raise `InputError` naming it if it cannot be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}); remove the run's two files to do it again"
        ) from error
