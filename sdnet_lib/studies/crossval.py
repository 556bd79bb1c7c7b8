"""Repeated cross-validation: one run, one prediction file, done by any number of processes side by side.

Whoever is told to run a study does what is missing of it. Locks see to it that nothing is done twice, and a
file appears under its name only when it is complete, so a run that was killed leaves nothing to repair.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from joblib import cpu_count
from tqdm import tqdm

from data_scripts.registry import load_cohort
from sdnet_lib.config import Profile, get_profile, pick_device
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.data.splits import Split, splits
from sdnet_lib.files import InputError, write_json, write_parquet
from sdnet_lib.studies.study import (
    THREADS,
    Run,
    Study,
    is_done,
    model_file,
    name_of,
    open_study,
    plan,
    prediction_file,
    provenance,
    provenance_file,
)

COLUMNS = ["approach", "repeat", "fold", "image_id", "patient_id", "label", "severity", "prob_N", "prob_P"]
_read: dict[tuple, np.ndarray] = {}  # pixels that this process has read
PATIENCE = 0.5  # seconds between two looks at runs that other processes have in hand


def study_of(
    cohort: str,
    folder: Path,
    *,
    profile: str = "quick",
    changes: dict[str, int | None] | None = None,
    seed: int = 0,
    without_pcr: bool = False,
    elsewhere: Sequence[str] = (),
    data: Path | None = None,
    keep_models: bool = False,
) -> Study:
    """Put a study together from what the command line says.

    Parameters
    ----------
    cohort : str
        A name, a CSV or a folder; see `data_scripts.registry.load_cohort`.
    folder : Path
        For the runs.
    profile, seed : str, int
        Sizes, and where everything random starts.
    changes : dict
        Fields of the profile to replace; None leaves one as it is.
    without_pcr : bool
        See `without_normal_pcr`.
    elsewhere : sequence of str
        Cohorts to test each network on too. A synthetic one has another seed, hence other patients. Patients
        of the study itself are left out.
    data : Path, optional
        The folder that holds the public data sets.
    keep_models : bool
        Whether each run leaves its model too.
    """
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    sizes = dataclasses.replace(get_profile(profile), **given)
    table = load_cohort(cohort, data=data, profile=profile, seed=seed)
    table = without_normal_pcr(table) if without_pcr else table
    others = {}
    for name in elsewhere:
        other = load_cohort(name, data=data, profile=profile, seed=seed + 1)
        strangers = other[~other["patient_id"].isin(table["patient_id"])].reset_index(drop=True)
        if strangers.empty:
            raise InputError(f"--test-on {name}: all its patients are in {cohort} too")
        others[Path(name).name] = without_normal_pcr(strangers) if without_pcr else strangers
    return Study(Path(folder), table, sizes, seed, others, data, keep_models)


def default_jobs() -> int:
    """Return how many runs go side by side if nobody says: one a core, or one on a GPU."""
    return 1 if pick_device().type == "cuda" else cpu_count()


def without_normal_pcr(cohort: pd.DataFrame) -> pd.DataFrame:
    """Leave out the positives whose image a radiologist reads as normal, as Tables 7 and 8 do.

    Raises
    ------
    InputError
        If the cohort has none, or nothing else.
    """
    kept = cohort[cohort["severity"] != "Normal-PCR+"].reset_index(drop=True)
    if len(kept) == len(cohort):
        raise InputError("no image of this cohort has the severity Normal-PCR+: nothing to leave out")
    return kept


def run_study(study: Study, approaches: Sequence[str], jobs: int = 1) -> None:
    """Do the runs of a study that are missing, several at a time; return when all are done.

    A run that another process has in hand is waited for, not done twice. One that fails keeps no other from
    being done.

    Parameters
    ----------
    study : Study
    approaches : sequence of str
        Names from `approaches.names`.
    jobs : int
        Processes on this machine; 1 computes in this one.

    Raises
    ------
    InputError
        Before anything runs: an unknown approach, or a folder that holds another study. At the end: runs that
        failed, with their reasons.
    """
    open_study(study)
    missing = [Run(*row[:3]) for row in plan(study, approaches).itertuples(index=False) if not row.done]
    if not missing:
        return
    for name in {run.approach for run in missing}:
        prepare(study, name)
    failed = _in_processes(study, missing, jobs) if jobs > 1 else dict(_work(study, missing))
    if failed:
        raise InputError(
            f"{len(failed)} of {len(missing)} runs failed, all others are done: "
            + "; ".join(f"{name_of(run)}: {reason}" for run, reason in sorted(failed.items()))
        )


def prepare(study: Study, approach: str) -> None:
    """Crop the cohorts of a study if the approach wants crops: once, before processes would do it twice."""
    from sdnet_lib.models.registry import find

    if find(approach).crops:
        for cohort in (study.cohort, *study.elsewhere.values()):
            crops(cohort)


def crops(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a cohort cropped to its lungs, from the cache if it was cropped before."""
    from sdnet_lib.lungs import crop

    return crop.cached_crops(cohort)


def boxes(cohort: pd.DataFrame) -> list[tuple[int, int, int, int]]:
    """Return where the crops of `crops` are: left, top, right, bottom in pixels of each image."""
    folder = Path(crops(cohort)["file"].iloc[0]).parent.parent
    table = pd.read_csv(folder / "boxes.csv", dtype={"image_id": str})
    rows = table.set_index("image_id").loc[cohort["image_id"], ["left", "top", "right", "bottom"]]
    return [tuple(map(int, row)) for row in rows.itertuples(index=False)]


def do_run(study: Study, run: Run) -> None:
    """Train and test once, and write what came of it; the file with the predictions comes last."""
    from sdnet_lib.models.fitting import Task, no_random
    from sdnet_lib.models.registry import find

    start, approach = time.monotonic(), find(run.approach)
    profile = dataclasses.replace(study.profile, image_size=image_size_of(approach, study.profile))
    part = parts(study)[run.repeat, run.fold]
    seen = np.concatenate([part.train, part.valid])
    pixels = pixels_of(study.cohort, approach, profile.image_size)
    task = Task(
        cohort=study.cohort.iloc[seen].reset_index(drop=True),
        pixels=pixels[seen],
        train=np.arange(len(part.train)),
        valid=np.arange(len(part.train), len(seen)),
        profile=profile,
        seed=study.seed + run.repeat,
        shared=study.folder / ".shared" / f"r{run.repeat}f{run.fold}",
        data=study.data,
    )
    with one_thread(), no_random(task.seed):
        predictor, said = approach.fit(task)
        for name, cohort in study.elsewhere.items():
            told = predictor.predict(pixels_of(cohort, approach, profile.image_size))
            write_parquet(prediction_file(study.folder / f"on-{name}", run), _table(run, cohort, told))
        told = predictor.predict(pixels[part.test])
    if study.keep_models:
        _keep(study, run, task, predictor, said)
    origin = provenance(study, run, profile, said, time.monotonic() - start)
    write_json(provenance_file(study.folder, run), origin)
    tested = study.cohort.iloc[part.test].reset_index(drop=True)
    write_parquet(prediction_file(study.folder, run), _table(run, tested, told))


def _keep(study: Study, run: Run, task: object, predictor: object, said: dict) -> None:
    """Write a run's model, whose card says what it learned from."""
    from sdnet_lib.models.registry import find
    from sdnet_lib.studies import final
    from sdnet_lib.studies import model_file as model_files

    learned = study._replace(cohort=task.cohort)
    card = final.describe(learned, find(run.approach), task) | {"training": said, "run": run._asdict()}
    model_files.write(model_files.Model(predictor, card), model_file(study.folder, run))


def parts(study: Study) -> dict[tuple[int, int], Split]:
    """Return the splits of a study by repeat and fold; patients, and copies of a picture, stay together."""
    joined = study.cohort.assign(patient_id=same_pictures(study.cohort))
    found = splits(joined, study.profile.repeats, study.profile.folds, study.seed)
    return {(split.repeat, split.fold): split for split in found}


def _table(run: Run, cohort: pd.DataFrame, told: dict[str, np.ndarray]) -> pd.DataFrame:
    table = cohort[["image_id", "patient_id", "label", "severity"]].assign(**run._asdict(), **told)
    return table[COLUMNS + [column for column in told if column not in COLUMNS]]


def image_size_of(approach: object, profile: Profile) -> int:
    """Return the side of what an approach sees: its paper's in a profile of full size, else the profile's."""
    own = profile.name in ("full", "paper") and profile.image_size == get_profile(profile.name).image_size
    return approach.image_size if own else profile.image_size


def pixels_of(cohort: pd.DataFrame, approach: object, image_size: int) -> np.ndarray:
    """Return the images as an approach sees them, read once a process."""
    key = (approach.read, approach.crops, image_size, tuple(cohort["file"]))
    if key not in _read:
        _read[key] = approach.read(crops(cohort) if approach.crops else cohort, image_size)
    return _read[key]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute as a run does, with one thread, whose numbers do not depend on what runs beside it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(study: Study, runs: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Do what is missing of some runs, wait for what others have in hand, yield what failed and why."""
    todo = list(runs)
    bar = tqdm(total=len(runs), unit="run", disable=None, delay=2)
    while todo:
        waiting = []
        for run in todo:
            try:
                with _in_hand(study, run):
                    if not is_done(study, run):
                        bar.set_description(name_of(run))
                        do_run(study, run)
                bar.update()
            except Timeout:
                waiting.append(run)
            except InputError as error:
                yield run, str(error)
        if len(waiting) == len(todo):
            time.sleep(PATIENCE)
        todo = waiting
    bar.close()


def _in_hand(study: Study, run: Run) -> FileLock:
    """Return the lock of a run; the system lets it go when its process ends, in whatever way."""
    file = study.folder / ".locks" / f"{name_of(run).replace(' ', '-')}.lock"
    file.parent.mkdir(exist_ok=True)
    return FileLock(file, timeout=0)


def _in_processes(study: Study, runs: Sequence[Run], jobs: int) -> dict[Run, str]:
    """Let several processes do the same list of runs: locks see to it that each is done once."""
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    workers = [
        context.Process(target=_worker, args=(study, runs[k:] + runs[:k], failures, os.getpid()), daemon=True)
        for k in range(min(jobs, len(runs)))
    ]
    try:
        for worker in workers:
            worker.start()
        with tqdm(total=len(runs), unit="run", disable=None, delay=2) as bar:
            while any(worker.is_alive() for worker in workers):
                bar.update(sum(is_done(study, run) for run in runs) - bar.n)
                time.sleep(PATIENCE)
            bar.update(sum(is_done(study, run) for run in runs) - bar.n)
        failed = {}
        while True:
            try:
                failed |= dict([failures.get(timeout=0.1)])
            except queue.Empty:
                break
        if broken := [worker.exitcode for worker in workers if worker.exitcode]:
            lost = failed.pop(None, f"a process ended with status {broken[0]}")
            raise RuntimeError(lost)
        return failed
    finally:
        for worker in workers:
            worker.kill()


def _worker(study: Study, runs: Sequence[Run], failures: object, parent: int) -> None:
    """Be one of the processes of `_in_processes`: silent, deaf to Ctrl-C, and gone when the parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (as long as the process lives)
    try:
        for failed in _work(study, runs):
            failures.put(failed)
    except BaseException:
        failures.put((None, traceback.format_exc()))
        raise SystemExit(1) from None


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PATIENCE)
    os._exit(1)
