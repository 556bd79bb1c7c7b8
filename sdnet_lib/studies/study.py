"""A study: a folder with the runs of one cross-validation, what it must hold, and what is still missing.

``study.json`` says which cohort, sizes and seed; ``APPROACH/r0f0.parquet`` holds the predictions of repeat 0,
fold 0, and ``on-COHORT/APPROACH/r0f0.parquet`` what the same network predicts for another hospital. Beside
the first, ``r0f0.json`` says where they come from and holds their checksums; it is written last. A run is
done if all that it should leave is there, undamaged and of today's code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock

from sdnet_lib.checksums import FILES, Damaged, read_seal, write_seal
from sdnet_lib.config import THREADS, Profile, get_profile, pick_device
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.data.splits import Split, matched_splits, splits
from sdnet_lib.evaluation.trained import starts
from sdnet_lib.files import InputError
from sdnet_lib.lungs.crop import cached_crops
from sdnet_lib.models import registry
from sdnet_lib.models.task import Task
from sdnet_lib.studies import third_class
from sdnet_lib.studies.identity import differences, identity
from sdnet_lib.studies.provenance import code_of, versions

# What a run can be. Those of early versions count as done: nothing is known but that they are there.
DONE, UNCHECKED, OLDER, DAMAGED, MISSING = STATES = (
    "done",
    "unchecked",
    "older code",
    "damaged",
    "missing",
)
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
    notes : dict
        What else decided which images take part: mapped labels, and what was left out.
    match_negatives : bool
        Whether each repetition has as many negatives as positives; see `data.splits.matched_splits`.
    third_class : DataFrame or None
        Images of another disease, for the approaches that learn a third class; none of them is tested.
    """

    folder: Path
    cohort: pd.DataFrame
    profile: Profile
    seed: int = 0
    external: dict[str, pd.DataFrame] = field(default_factory=dict)
    data: Path | None = None
    keep_models: bool = False
    notes: dict = field(default_factory=dict)
    match_negatives: bool = False
    third_class: pd.DataFrame | None = None

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

    def files(self, run: Run) -> list[Path]:
        """Return what a run leaves beside its provenance."""
        places = [self.path(run), *(self.path(run, external=name) for name in self.external)]
        return places + ([self.path(run, ".safetensors")] if self.keep_models else [])

    def state(self, run: Run) -> tuple[str, str]:
        """Return one of `STATES`, and what is damaged."""
        seal, files = self.path(run, ".json"), self.files(run)
        if not all(file.exists() for file in (seal, *files)):
            return MISSING, ""
        try:
            facts = read_seal(seal, *files)
        except Damaged as error:
            return DAMAGED, str(error)
        if FILES not in facts:
            return UNCHECKED, ""
        return (DONE if facts["code"]["hash"] == code_of(run.approach)["hash"] else OLDER), ""

    def done(self, run: Run) -> bool:
        """Say whether a run need not be done."""
        return self.state(run)[0] in (DONE, UNCHECKED)

    def runs(self, approaches: Sequence[str]) -> list[Run]:
        """Return all runs in the order in which they are done; raise `InputError` for an unknown approach."""
        repeats, folds = range(self.profile.repeats), range(self.profile.folds)
        names = dict.fromkeys(registry.find(name).name for name in approaches)
        return [Run(name, repeat, fold) for name in names for repeat in repeats for fold in folds]

    def open(self) -> None:
        """Make the folder, or make sure that it holds this very study and not another.

        Repeats may be added later; they do not change those that are there.

        Raises
        ------
        InputError
            If the folder holds runs of another cohort, seed or size; the message says what differs.
        """
        sizes = (self.profile, self.seed, self.match_negatives, self.third_class)
        wanted = identity(self.cohort, self.external, *sizes)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "study.json"
        with FileLock(self.folder / ".study.lock"):
            if not file.exists():
                write_seal(file, wanted)
            elif differs := differences(read_seal(file), wanted):
                raise InputError(f"{self.folder} holds another study, name another folder: {differs}")

    @cached_property
    def parts(self) -> dict[tuple[int, int], Split]:
        """The splits by repeat and fold; patients, and copies of a picture, stay together."""
        deal = matched_splits if self.match_negatives else splits
        found = deal(self._joined, self.profile.repeats, self.profile.folds, self.seed)
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
        part, name = self.parts[run.repeat, run.fold], f"r{run.repeat}f{run.fold}"
        task = self._task(run.approach, part.train, part.valid, self.seed + run.repeat, name)
        if not self._learns_third_class(run.approach):
            return task
        images = self.pixels(registry.find(run.approach), self.third_class)
        return third_class.added(task, self.third_class, images, self.profile.folds, run.fold)

    def _learns_third_class(self, approach: str) -> bool:
        return self.third_class is not None and registry.find(approach).third_class

    def whole_task(self, approach: str) -> Task:
        """Return the task to learn from the whole cohort, of which a tenth decides when to stop."""
        fewest = self._joined.drop_duplicates("patient_id")["label"].value_counts().min()
        part = splits(self._joined, 1, min(TENTHS, max(2, fewest)), self.seed)[0]
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
            "code": code_of(approach),
            "cohort": {
                "fingerprint": fingerprint(self.cohort),
                "sources": sorted(set(self.cohort["source"])),
                "images": len(self.cohort),
                "match_negatives": self.match_negatives,
                **(third_class.facts(self.third_class) if self._learns_third_class(approach) else {}),
                **self.notes,
            },
            "profile": dataclasses.asdict(self.profile_of(registry.find(approach))),
            "device": str(pick_device()),
            "threads": THREADS,
            "versions": versions(),
        }

    def check_start(self, run: Run, training: dict) -> None:
        """Make sure that a run starts from the weights from which the other runs of its row started.

        Raises
        ------
        InputError
            If it does not: weights that could not be had then can be had now, or the other way round.
        """
        for file in sorted(self.path(run).parent.glob("r*f*.json")):
            try:
                origin = read_seal(file)
            except Damaged:  # this run will be done again
                continue
            here, there = starts(training), starts(origin.get("training", {}))
            if here != there:
                raise InputError(
                    f"{run} starts from {', '.join(here)}, but {file.stem} started from {', '.join(there)}: "
                    "one row cannot mix them; say --weights, or name another folder"
                )

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
            `state` (one of `STATES`), `seconds`: what it took or, if missing or damaged, what its approach
            took on average so far (NaN if unknown), `silent`: how many images the model gave no number for.
        """
        self.parts  # noqa: B018  (raises for a cohort that cannot be split so)
        runs = self.runs(approaches)
        states = [self.state(run)[0] for run in runs]
        done = [state in (DONE, UNCHECKED) for state in states]
        table = pd.DataFrame(runs).assign(done=done, state=states, seconds=np.nan, silent=0)
        for row, run in enumerate(runs):
            if table.at[row, "state"] not in (MISSING, DAMAGED):
                origin = read_seal(self.path(run, ".json"), self.path(run))
                table.loc[row, "seconds"] = origin.get("seconds")
                table.loc[row, "silent"] = origin.get("silent", 0)
        mean = table.groupby("approach")["seconds"].transform("mean")
        return table.assign(seconds=table["seconds"].fillna(mean))


def pixels(cohort: pd.DataFrame, approach: registry.Approach, image_size: int) -> np.ndarray:
    """Return a cohort's images as an approach sees them: whole or cropped to the lungs, read once a process.

    Returns
    -------
    uint8 array, (n, image_size, image_size)
    """
    key = (approach.prepare, approach.crops, image_size, tuple(cohort["file"]))
    if key not in _read:
        seen = cached_crops(cohort) if approach.crops else cohort
        _read[key] = read_pixels(seen, image_size, approach.prepare)
    return _read[key]
