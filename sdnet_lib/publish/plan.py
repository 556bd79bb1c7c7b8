"""What a book costs before it is built, as text, and the studies that are done before its chapters."""

from __future__ import annotations

from pathlib import Path

from sdnet_lib.config import Profile
from sdnet_lib.publish import course
from sdnet_lib.studies import chapters

MINUTES, GIGABYTES = 20, 12  # that a chapter of the profile `full` may take on a T4


def describe(profile: Profile, device: str | None = None) -> str:
    """Return the operations, minutes and memory of each chapter and of the studies before them.

    Parameters
    ----------
    profile : Profile
    device : str, optional
        A name of `budget.DEVICES`; the one at hand, measured for some seconds, if not given.
    """
    from sdnet_lib.studies import budget

    at = budget.device(device)
    setting = budget.Setting.of(profile, at.mixed)
    rows = dict(budget.book(profile, setting))
    if chapters.is_long(profile.name):
        first, *_, last = chapters.READERS
        rows[f"studies, for {first} to {last}"] = budget.studies(profile, setting)
    lines = [
        f"profile {profile.name} on {at.name}: {at.rate / 1e12:.3g} TFLOP/s, {at.memory / 1e9:.0f} GB",
        f"({at.source})",
        f"{'chapter':26}{'TFLOP':>12}{'minutes':>10}{'GB':>7}",
    ]
    for name, cost in rows.items():
        minutes, memory = cost.operations / at.rate / 60, budget.memory(cost, at.mixed) / 1e9
        large = "  too large for this device" if memory > at.memory / 1e9 else ""
        lines.append(f"{name:26}{cost.operations / 1e12:12,.1f}{minutes:10.1f}{memory:7.1f}{large}")
    lines.append("Networks at most; reading and drawing images, statistics and plots come on top.")
    return "\n".join(lines)


def run_studies(parameters: dict, jobs: int | None, cluster: tuple[str, float] | None = None) -> None:
    """Do what is missing of a profile's long studies; interrupted, the next call goes on.

    Parameters
    ----------
    parameters : dict
        Of every notebook: `profile`, `dataset`, `data`, `seed`.
    jobs : int, optional
        Runs at a time; see `side_by_side.at_a_time`.
    cluster : tuple, optional
        The address of a Ray cluster and what a run takes of a GPU, to do them there.
    """
    from sdnet_lib.studies import cluster as machines
    from sdnet_lib.studies import crossval, side_by_side
    from sdnet_lib.studies import plan as study_plan

    profile, data = parameters["profile"], parameters["data"]
    cohort = course.cohort_of(parameters["dataset"], data, profile, parameters["seed"])
    names = chapters.approaches(profile)
    given = (parameters["dataset"], data and Path(data), profile, parameters["seed"])
    for study in chapters.studies(cohort, *given):
        print(f"study {study.folder.name}", flush=True)
        at_once = jobs or side_by_side.at_a_time(study, names)
        print(study_plan.describe(study.plan(names), at_once), flush=True)
        if cluster:
            machines.run_study(study, names, *cluster)
        else:
            crossval.run_study(study, names, at_once)
