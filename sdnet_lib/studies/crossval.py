"""Repeated cross-validation: one run, one prediction file, done by any number of processes side by side.

Whoever is asked for a study does what is missing of it. Locks see to it that nothing is done twice, and a
file appears under its name only when it is complete, so a run that was killed leaves nothing to repair.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import Timeout
from joblib import cpu_count, delayed
from tqdm import tqdm

from data_scripts.registry import load_cohort
from sdnet_lib import names
from sdnet_lib.checksums import write_seal
from sdnet_lib.config import get_profile, one_thread, pick_device
from sdnet_lib.data.duplicates import same_pictures
from sdnet_lib.evaluation.learned import judge
from sdnet_lib.evaluation.metrics import RUN
from sdnet_lib.files import InputError, machine, write_parquet
from sdnet_lib.lungs.crop import cached_crops
from sdnet_lib.models import registry
from sdnet_lib.studies.study import Run, Study
from sdnet_lib.studies.third_class import drawn
from sdnet_lib.workers import workers

COLUMNS = [*RUN, "image_id", "patient_id", "label", "severity", "prob_N", "prob_P", "learned"]
PATIENCE = 0.5  # seconds between two looks at runs that other processes are doing


def study_of(
    cohort: str,
    folder: Path,
    *,
    profile: str = "quick",
    changes: dict[str, int | str | None] | None = None,
    seed: int = 0,
    without_pcr: bool = False,
    match_negatives: bool = False,
    external: Sequence[str] = (),
    third_class: str | None = None,
    data: Path | None = None,
    keep_models: bool = False,
    labels: Mapping[str, str] | None = None,
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
    match_negatives : bool
        See `Study`.
    external : sequence of str
        Cohorts to test each network on too. A synthetic one has another seed, hence other patients. Whoever
        has the number of a patient of the study, or shares a picture with one, is left out, and counted.
    third_class : str, optional
        A cohort of another disease; approaches with a third class learn from its positives too. As many are
        drawn as the study has negatives, as in the paper.
    data : Path, optional
        The folder that holds the public data sets.
    keep_models : bool
        Whether each run leaves its model too.
    labels : dict of str, optional
        What the labels of CSV files mean; see `data_scripts.registry.load_cohort`.
    """
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    sizes = dataclasses.replace(get_profile(profile), **given)
    table = load_cohort(cohort, data=data, profile=profile, seed=seed, labels=labels)
    kept = without_normal_pcr(table) if without_pcr else table
    notes = {"labels": dict(labels)} if labels else {}
    left_out = dict(table.attrs.get("left_out", {}))
    left_out |= {"Normal-PCR+ images": len(table) - len(kept)} if without_pcr else {}

    def strangers(option: str, source: str, seed: int) -> pd.DataFrame:
        """Load another cohort without the patients of this one, and count these."""
        other = load_cohort(source, data=data, profile=profile, seed=seed, labels=labels)
        left_out.update(other.attrs.get("left_out", {}))
        found = other[~known(other, table)].reset_index(drop=True)
        if found.empty:
            raise InputError(f"{option} {source}: all its patients are in {cohort} too")
        if len(found) < len(other):
            left_out[f"of {len(other)} images of {source}, those of patients who are in {cohort} too"] = len(
                other
            ) - len(found)
        return found

    others = {}
    for name, source in external_names(external).items():
        other = strangers("--test-on", source, seed + 1)
        others[name] = without_normal_pcr(other) if without_pcr else other
    third = None
    if third_class:
        found = strangers("--third-class", third_class, seed + 2)
        third = drawn(found, int((kept["label"] == "N").sum()), seed)
    notes |= {"left_out": left_out} if left_out else {}
    return Study(Path(folder), kept, sizes, seed, others, data, keep_models, notes, match_negatives, third)


def external_names(sources: Sequence[str]) -> dict[str, str]:
    """Return a short name for each external cohort: its own, or with its folder's where two are alike."""
    sources = list(dict.fromkeys(sources))
    for length in range(1, 9):
        found = ["-".join(_parts(source)[-length:]) for source in sources]
        if len(set(names.file_names(found))) == len(sources):
            break
    else:
        found = sources
    return dict(zip(names.file_names(found), sources, strict=True))


def _parts(source: str) -> list[str]:
    """Return the parts of a path that tell a cohort from others; cohort.csv says nothing."""
    path = Path(source)
    return [part for part in (path.parent if path.name == "cohort.csv" else path).parts if part != "/"] or [
        source
    ]


def known(cohort: pd.DataFrame, study: pd.DataFrame) -> pd.Series:
    """Say which images of a cohort are of patients of a study: by their number, or a picture they share."""
    both = pd.concat([study, cohort], ignore_index=True)
    joined = pd.Series(same_pictures(both))
    mine = set(joined[: len(study)])
    return pd.Series(joined[len(study) :].isin(mine).to_numpy(), cohort.index)


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


def run_study(study: Study, approaches: Sequence[str], jobs: int | None = 1) -> None:
    """Do the runs of a study that are missing, several at a time; return when all are done.

    A run that another process is doing is waited for, not done twice. One that fails keeps no other from
    being done.

    Parameters
    ----------
    study : Study
    approaches : sequence of str
        Names from `sdnet_lib.models.registry`.
    jobs : int
        Processes on this machine; 1 computes in this one, None is `default_jobs`.

    Raises
    ------
    InputError
        Before anything runs: an unknown approach, or a folder that holds another study. At the end: runs that
        failed, with their reasons.
    """
    missing = todo = missing_runs(study, approaches)
    if not missing:
        return
    _prepare(study, missing)
    jobs, failed = jobs or default_jobs(), {}
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
    check_failed(failed, len(missing))


def missing_runs(study: Study, approaches: Sequence[str]) -> list[Run]:
    """Open a study and return its runs that are to be done, having said which of them are damaged."""
    runs = study.runs(approaches)
    study.open()
    missing = [run for run in runs if not study.done(run)]
    for run in missing:
        if why := study.state(run)[1]:
            logging.getLogger("sdnet_lib").warning("%s; the run is done again", why)
    return missing


def check_failed(failed: Mapping[Run, str], tried: int) -> None:
    """Raise `InputError` with the reasons if runs have failed."""
    if failed:
        raise InputError(
            f"{len(failed)} of {tried} runs failed, all others are done: "
            + "; ".join(f"{run}: {reason}" for run, reason in sorted(failed.items()))
        )


def _prepare(study: Study, runs: Sequence[Run]) -> None:
    """Do once, in this process, what all runs need: the splits, and crops if an approach wants them."""
    study.parts  # noqa: B018  (kept in the study, which each worker gets)
    if any(registry.find(run.approach).crops for run in runs):
        third = [] if study.third_class is None else [study.third_class]
        for cohort in (study.cohort, *study.external.values(), *third):
            cached_crops(cohort)


def _attempt(study: Study, run: Run) -> tuple[Run, bool, str]:
    """Do a run that is missing; return it, whether another process is doing it, and why it failed."""
    try:
        with study.lock(run):
            if not study.done(run):
                do_run(study, run)
    except Timeout:
        return run, True, ""
    except Exception as error:
        reason = str(error) if isinstance(error, InputError) else machine.reason(error)
        if not reason:
            raise
        return run, False, reason
    return run, False, ""


def do_run(study: Study, run: Run) -> None:
    """Train and test once, and write what came of it; the provenance comes last."""
    from fastai.torch_core import no_random

    start, approach, task = time.monotonic(), registry.find(run.approach), study.task(run)
    tested, images = study.tested(run)
    with one_thread(), no_random(task.seed):
        predictor, training = approach.fit(task)
        study.check_start(run, training)
        learned = judge(task.cohort.assign(**predictor.predict(task.pixels)).iloc[task.train])
        table = _table(run, tested, predictor.predict(images), learned["learned"])
        for name, cohort in study.external.items():
            answer = predictor.predict(study.pixels(approach, cohort))
            write_parquet(study.path(run, external=name), _table(run, cohort, answer, learned["learned"]))
    if study.keep_models:
        from sdnet_lib.studies import model_file

        card = model_file.describe(study, approach, task) | {"training": training, "run": run._asdict()}
        model_file.write(model_file.Model(predictor, card), study.path(run, ".safetensors"))
    write_parquet(study.path(run), table)
    origin = study.provenance(run, training, time.monotonic() - start) | {"learned": learned}
    silent = int(table["prob_P"].isna().sum())
    write_seal(study.path(run, ".json"), origin | ({"silent": silent} if silent else {}), *study.files(run))


def _table(run: Run, cohort: pd.DataFrame, answer: dict[str, np.ndarray], learned: bool) -> pd.DataFrame:
    """Return a run's predictions; an image without an answer has no number in both probabilities.

    Raises
    ------
    InputError
        If no image has an answer.
    """
    facts = cohort[["image_id", "patient_id", "label", "severity"]]
    table = facts.assign(**run._asdict(), **answer, learned=learned)
    both = ["prob_N", "prob_P"]
    silent = ~np.isfinite(table[both].to_numpy(float)).all(1)
    if silent.all():
        raise InputError(f"the model gives no number for any of {len(table)} images")
    table.loc[silent, both] = np.nan
    return table[COLUMNS + [column for column in answer if column not in COLUMNS]]
