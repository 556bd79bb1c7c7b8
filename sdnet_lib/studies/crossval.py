"""Repeated cross-validation: one run, one prediction file, done by any number of processes side by side.

Whoever is asked for a study does what is missing of it. Locks see to it that nothing is done twice, and a
file appears under its name only when it is complete, so a run that was killed leaves nothing to repair.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import Timeout
from joblib import cpu_count, delayed
from tqdm import tqdm

from data_scripts.registry import load_cohort
from sdnet_lib.config import get_profile, pick_device
from sdnet_lib.files import InputError, write_json, write_parquet
from sdnet_lib.lungs.crop import cached_crops
from sdnet_lib.models import registry
from sdnet_lib.studies.study import THREADS, Run, Study
from sdnet_lib.workers import workers

COLUMNS = ["approach", "repeat", "fold", "image_id", "patient_id", "label", "severity", "prob_N", "prob_P"]
PATIENCE = 0.5  # seconds between two looks at runs that other processes are doing


def study_of(
    cohort: str,
    folder: Path,
    *,
    profile: str = "quick",
    changes: dict[str, int | None] | None = None,
    seed: int = 0,
    without_pcr: bool = False,
    external: Sequence[str] = (),
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
    external : sequence of str
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
    for name in external:
        other = load_cohort(name, data=data, profile=profile, seed=seed + 1)
        strangers = other[~other["patient_id"].isin(table["patient_id"])].reset_index(drop=True)
        if strangers.empty:
            raise InputError(f"--test-on {name}: all its patients are in {cohort} too")
        others[Path(name).name] = without_normal_pcr(strangers) if without_pcr else strangers
    return Study(Path(folder), table, sizes, seed, others, data, keep_models)


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


def default_jobs() -> int:
    """Return how many runs go side by side if nobody says: one per core, or one on a GPU."""
    return 1 if pick_device().type == "cuda" else cpu_count()


def run_study(study: Study, approaches: Sequence[str], jobs: int = 1) -> None:
    """Do the runs of a study that are missing, several at a time; return when all are done.

    A run that another process is doing is waited for, not done twice. One that fails keeps no other from
    being done.

    Parameters
    ----------
    study : Study
    approaches : sequence of str
        Names from `sdnet_lib.models.registry`.
    jobs : int
        Processes on this machine; 1 computes in this one.

    Raises
    ------
    InputError
        Before anything runs: an unknown approach, or a folder that holds another study. At the end: runs that
        failed, with their reasons.
    """
    runs = study.runs(approaches)
    study.open()
    missing = todo = [run for run in runs if not study.done(run)]
    if not missing:
        return
    _prepare(study, missing)
    failed = {}
    with (
        tqdm(total=len(missing), unit="run", disable=None, delay=2) as bar,
        workers(min(jobs, len(missing))) as parallel,
    ):
        while todo:
            waiting = []
            for run, taken, reason in parallel(delayed(_attempt)(study, run) for run in todo):
                if taken:
                    waiting.append(run)
                    continue
                if reason:
                    failed[run] = reason
                bar.update()
            if len(waiting) == len(todo):
                time.sleep(PATIENCE)
            todo = waiting
    if failed:
        raise InputError(
            f"{len(failed)} of {len(missing)} runs failed, all others are done: "
            + "; ".join(f"{run}: {reason}" for run, reason in sorted(failed.items()))
        )


def _prepare(study: Study, runs: Sequence[Run]) -> None:
    """Do once, in this process, what all runs need: the splits, and crops if an approach wants them."""
    study.parts  # noqa: B018  (kept in the study, which each worker gets)
    if any(registry.find(run.approach).crops for run in runs):
        for cohort in (study.cohort, *study.external.values()):
            cached_crops(cohort)


def _attempt(study: Study, run: Run) -> tuple[Run, bool, str]:
    """Do a run that is missing; return it, whether another process is doing it, and why it failed."""
    try:
        with study.lock(run):
            if not study.done(run):
                do_run(study, run)
    except Timeout:
        return run, True, ""
    except InputError as error:
        return run, False, str(error)
    return run, False, ""


def do_run(study: Study, run: Run) -> None:
    """Train and test once, and write what came of it; the file with the predictions comes last."""
    from fastai.torch_core import no_random

    start, approach, task = time.monotonic(), registry.find(run.approach), study.task(run)
    tested, images = study.tested(run)
    with one_thread(), no_random(task.seed):
        predictor, training = approach.fit(task)
        for name, cohort in study.external.items():
            answer = predictor.predict(study.pixels(approach, cohort))
            write_parquet(study.path(run, external=name), _table(run, cohort, answer))
        answer = predictor.predict(images)
    if study.keep_models:
        from sdnet_lib.studies import model_file

        card = model_file.describe(study, approach, task) | {"training": training, "run": run._asdict()}
        model_file.write(model_file.Model(predictor, card), study.path(run, ".safetensors"))
    write_json(study.path(run, ".json"), study.provenance(run, training, time.monotonic() - start))
    write_parquet(study.path(run), _table(run, tested, answer))


def _table(run: Run, cohort: pd.DataFrame, answer: dict[str, np.ndarray]) -> pd.DataFrame:
    table = cohort[["image_id", "patient_id", "label", "severity"]].assign(**run._asdict(), **answer)
    return table[COLUMNS + [column for column in answer if column not in COLUMNS]]


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


def describe(plan: pd.DataFrame, jobs: int) -> str:
    """Return a plan as text: runs done and missing, and the time the missing ones may take."""
    lines = [f"{'approach':24}{'done':>6}{'missing':>9}{'s a run':>10}{'minutes left':>14}"]
    for name, runs in plan.groupby("approach", sort=False):
        missing, mean = int((~runs["done"]).sum()), runs["seconds"].mean()
        known = not np.isnan(mean)
        each = f"{mean:.0f}" if known else "unknown"
        left = f"{missing * mean / min(jobs, max(1, missing)) / 60:.1f}" if known else "unknown"
        lines.append(f"{name:24}{int(runs['done'].sum()):6}{missing:9}{each:>10}{left:>14}")
    lines.append(f"{int(plan['done'].sum())} of {len(plan)} runs done, {jobs} at a time")
    return "\n".join(lines)
