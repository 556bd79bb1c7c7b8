"""How long a study takes on some GPUs, by the operations of its runs and the order in which they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count

from sdnet_lib.config import Profile
from sdnet_lib.studies import budget, chapters
from sdnet_lib.studies.cluster import queues
from sdnet_lib.studies.study import Run


def makespan(waiting: Sequence[deque[Run]], seconds: Callable[[Run], float], slots: int) -> float:
    """Return the seconds until the last run ends, if whoever is free takes the next queue that waits.

    Parameters
    ----------
    waiting : sequence of deque of Run
        As `cluster.queues` makes them; of each, one run at a time is done.
    seconds : callable
        What a run takes.
    slots : int
        Runs that are done at a time.
    """
    line, running, number, now = deque(deque(queue) for queue in waiting), [], count(), 0.0
    while line or running:
        while line and len(running) < slots:
            queue = line.popleft()
            heappush(running, (now + seconds(queue.popleft()), next(number), queue))
        now, _, queue = heappop(running)
        if queue:
            line.append(queue)
    return now


def hours(device: str, gpus: int, profile: Profile) -> tuple[float, float]:
    """Return the hours of the studies of chapter 6 in a profile on GPUs that do one run each.

    Parameters
    ----------
    device : str
        A name of `budget.DEVICES`.
    gpus : int
    profile : Profile

    Returns
    -------
    tuple of float
        Hours until the last run ends, and those that the GPUs work in all. Networks
        alone, and at most, as in `budget`.
    """
    at, names = budget.device(device), chapters.approaches(profile.name)
    setting = budget.Setting.of(profile, at.mixed)
    own = chapters.sizes(profile, 6)
    ends = works = 0.0
    for images in budget.images_of_studies(profile):
        each = {name: operations / at.rate for name, operations in _each(names, own, images, setting)}
        runs = [Run(name, r, f) for name in names for r in range(own.repeats) for f in range(own.folds)]
        ends += makespan(queues(runs), lambda run, each=each: each[run.approach], gpus) / 3600
        works += sum(each[run.approach] for run in runs) / 3600
    return ends, works


def _each(names: Sequence[str], profile: Profile, images: float, setting: budget.Setting) -> list:
    """Return the operations of a run of each approach; generators count for the first that needs them."""
    once = replace(profile, repeats=1)
    total = [0.0]
    for place in range(1, len(names) + 1):
        total.append(budget.study(names[:place], once, images, setting).operations / once.folds)
    return [(name, total[place + 1] - total[place]) for place, name in enumerate(names)]
