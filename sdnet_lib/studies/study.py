"""A study: a folder with the runs of one cross-validation, what it must hold, and what is still missing.

``study.json`` says which cohort, sizes and seed; ``APPROACH/r0f0.parquet`` holds the predictions of repeat 0,
fold 0, ``r0f0.json`` beside it where they come from, and ``on-COHORT/APPROACH/r0f0.parquet`` what the same
network predicts for another hospital. A run that has its Parquet file is done.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock

from sdnet_lib import __version__
from sdnet_lib.config import Profile, get_profile, pick_device, stored_profile
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.data.splits import Split, splits
from sdnet_lib.files import InputError, code_hash, write_json
from sdnet_lib.lungs.crop import cached_crops
from sdnet_lib.models import registry
from sdnet_lib.models.task import Task

LIBRARIES = ("torch", "torchvision", "fastai", "timm", "numpy", "pandas", "scikit-learn")
# A run computes with one thread, so that its numbers do not depend on how many run beside it.
THREADS = 1
TENTHS = 10  # of a whole cohort: one decides when to stop, the others are learned from
_read: dict[tuple, np.ndarray] = {}  # pixels that this process has read


class Run(NamedTuple):
    """One training: an approach on one fold of one repeat."""

    approach: str
    repeat: int
    fold: int

    def __str__(self) -> str:
        return f"{self.approach} r{self.repeat}f{self.fold}"


@dataclass(frozen=True, eq=False)
class Study:
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
    external : dict of str to DataFrame
        Cohorts of other hospitals that each run's network is tested on too, whole, by name.
    data : Path or None
        The folder that holds the public data sets, for approaches that start from weights that lie there.
    keep_models : bool
        Whether each run leaves its model too, beside its predictions.
    """

    folder: Path
    cohort: pd.DataFrame
    profile: Profile
    seed: int = 0
    external: dict[str, pd.DataFrame] = field(default_factory=dict)
    data: Path | None = None
    keep_models: bool = False

    def path(self, run: Run, suffix: str = ".parquet", *, external: str = "") -> Path:
        """Return where a run's predictions are, on its own cohort or an external one, or another file of it.

        ``.json`` is its provenance, ``.safetensors`` its model if the study keeps models.
        """
        folder = self.folder / f"on-{external}" if external else self.folder
        return folder / run.approach / f"r{run.repeat}f{run.fold}{suffix}"

    def lock(self, run: Run) -> FileLock:
        """Return the lock of a run; the system lets it go when its process ends, however it ends."""
        file = self.folder / ".locks" / f"{run.approach}-r{run.repeat}f{run.fold}.lock"
        file.parent.mkdir(exist_ok=True)
        return FileLock(file, timeout=0)

    def done(self, run: Run) -> bool:
        """Say whether all that a run should leave is there; its predictions are written last."""
        kept = not self.keep_models or self.path(run, ".safetensors").exists()
        return kept and self.path(run).exists()

    def runs(self, approaches: Sequence[str]) -> list[Run]:
        """Return all runs in the order in which they are done; raise `InputError` for an unknown approach."""
        repeats, folds = range(self.profile.repeats), range(self.profile.folds)
        names = [registry.find(name).name for name in approaches]
        return [Run(name, repeat, fold) for name in names for repeat in repeats for fold in folds]

    def open(self) -> None:
        """Make the folder, or make sure that it holds this very study and not another.

        Repeats may be added later; they do not change those that are there.

        Raises
        ------
        InputError
            If the folder holds runs of another cohort, seed or size; the message says what differs.
        """
        wanted = _identity(self)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "study.json"
        with FileLock(self.folder / ".study.lock"):
            if not file.exists():
                write_json(file, wanted)
            elif differs := _differences(_today(read_json(file)), wanted):
                raise InputError(f"{self.folder} holds another study, name another folder: {differs}")

    @cached_property
    def parts(self) -> dict[tuple[int, int], Split]:
        """The splits by repeat and fold; patients, and copies of a picture, stay together."""
        found = splits(self._joined, self.profile.repeats, self.profile.folds, self.seed)
        return {(split.repeat, split.fold): split for split in found}

    @property
    def _joined(self) -> pd.DataFrame:
        return self.cohort.assign(patient_id=same_pictures(self.cohort))

    def profile_of(self, approach: registry.Approach) -> Profile:
        """Return the sizes for an approach: its paper's image size in a profile of full size, else ours."""
        profile = self.profile
        whole = profile.name in ("full", "paper")
        own = whole and profile.image_size == get_profile(profile.name).image_size
        return dataclasses.replace(profile, image_size=approach.image_size) if own else profile

    def pixels(self, approach: registry.Approach, cohort: pd.DataFrame | None = None) -> np.ndarray:
        """Return the images of the study, or of another cohort, as an approach sees them; see `pixels`."""
        cohort = self.cohort if cohort is None else cohort
        return pixels(cohort, approach, self.profile_of(approach).image_size)

    def task(self, run: Run) -> Task:
        """Return what a run may learn from: its training and its validation part, and nothing else."""
        part = self.parts[run.repeat, run.fold]
        return self._task(
            run.approach, part.train, part.valid, self.seed + run.repeat, f"r{run.repeat}f{run.fold}"
        )

    def whole_task(self, approach: str) -> Task:
        """Return the task to learn from the whole cohort, of which a tenth decides when to stop."""
        part = splits(self._joined, 1, TENTHS, self.seed)[0]
        train = np.sort(np.concatenate([part.train, part.valid]))
        return self._task(approach, train, part.test, self.seed, "whole")

    def _task(self, name: str, train: np.ndarray, valid: np.ndarray, seed: int, shared: str) -> Task:
        approach, seen = registry.find(name), np.concatenate([train, valid])
        return Task(
            cohort=self.cohort.iloc[seen].reset_index(drop=True),
            pixels=self.pixels(approach)[seen],
            train=np.arange(len(train)),
            valid=np.arange(len(train), len(seen)),
            profile=self.profile_of(approach),
            seed=seed,
            shared=self.folder / ".shared" / shared,
            data=self.data,
        )

    def tested(self, run: Run) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the rows that a run is tested on, and their images as its approach sees them."""
        rows = self.parts[run.repeat, run.fold].test
        images = self.pixels(registry.find(run.approach))[rows]
        return self.cohort.iloc[rows].reset_index(drop=True), images

    def origin(self, approach: str) -> dict:
        """Say what decides the numbers of an approach: code, cohort, sizes, device, versions."""
        return {
            "seed": self.seed,
            "code": {"version": __version__, "hash": code_hash()},
            "cohort": {
                "fingerprint": fingerprint(self.cohort),
                "sources": sorted(set(self.cohort["source"])),
                "images": len(self.cohort),
            },
            "profile": dataclasses.asdict(self.profile_of(registry.find(approach))),
            "device": str(pick_device()),
            "threads": THREADS,
            "versions": versions(),
        }

    def provenance(self, run: Run, training: dict, seconds: float) -> dict:
        """Say where a run's predictions come from."""
        origin = self.origin(run.approach)
        return {**run._asdict(), **origin, "seconds": round(seconds, 1), "training": training}

    def plan(self, approaches: Sequence[str]) -> pd.DataFrame:
        """Say what is done and what is missing.

        Returns
        -------
        DataFrame
            One row per run, in the order in which they are done: `approach`, `repeat`, `fold`, `done`,
            `seconds`: what it took or, for a missing run, what its approach took on average so far (NaN if
            unknown).
        """
        table = pd.DataFrame(self.runs(approaches)).assign(done=False, seconds=np.nan)
        for row, run in enumerate(self.runs(approaches)):
            if self.done(run):
                table.loc[row, "done"] = True
                table.loc[row, "seconds"] = read_json(self.path(run, ".json")).get("seconds")
        mean = table.groupby("approach")["seconds"].transform("mean")
        return table.assign(seconds=table["seconds"].fillna(mean))


def pixels(cohort: pd.DataFrame, approach: registry.Approach, image_size: int) -> np.ndarray:
    """Return a cohort's images as an approach sees them: whole or cropped to the lungs, read once a process.

    Returns
    -------
    uint8 array, (n, image_size, image_size)
    """
    key = (approach.read, approach.crops, image_size, tuple(cohort["file"]))
    if key not in _read:
        _read[key] = approach.read(cached_crops(cohort) if approach.crops else cohort, image_size)
    return _read[key]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide numbers."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version()} | found


def read_json(file: Path) -> dict:
    """Read one of a study's JSON files; raise `InputError` naming it if it cannot be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}); remove the run's two files to do it again"
        ) from error


def _identity(study: Study) -> dict:
    """Return what ``study.json`` says; repeats may be added, so they are no part of it."""
    profile = json.loads(json.dumps(dataclasses.asdict(study.profile)))
    del profile["repeats"]
    return {
        "cohort": fingerprint(study.cohort),
        "images": len(study.cohort),
        "seed": study.seed,
        "profile": profile,
        "external": {name: fingerprint(cohort) for name, cohort in sorted(study.external.items())},
    }


def _today(stored: dict) -> dict:
    """Return a stored identity in today's words; until version 0.1 external cohorts were ``elsewhere``."""
    external = stored.get("external", stored.get("elsewhere"))
    profile = stored_profile(stored.get("profile", {}))
    return {**stored, "profile": profile, "external": external}


def _differences(there: dict, asked: dict) -> str:
    """Say in what two identities differ; nothing if they agree."""
    there, asked = ({**one, **one["profile"]} for one in (there, asked))
    keys = [key for key in asked if key != "profile" and there.get(key) != asked[key]]
    return "; ".join(f"{key} {there.get(key)} there, {asked[key]} asked for" for key in keys)
