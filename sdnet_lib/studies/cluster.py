"""The runs of a study on a Ray cluster: one task a run, of which this machine writes what came of it.

Ray finds a free machine for each run, brings the images to a machine once, and does a run again whose
machine was lost. Locks and files are those of a local study, so that one may go on where the other stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import ModuleType

from filelock import Timeout
from tqdm import tqdm

from sdnet_lib.files import InputError, one_line
from sdnet_lib.models import registry
from sdnet_lib.studies import parcels
from sdnet_lib.studies.crossval import PATIENCE, check_failed, missing_runs
from sdnet_lib.studies.ray_connection import connected
from sdnet_lib.studies.study import Run, Study

RETRIES = 5  # times that a run is done again whose worker was lost


def run_study(
    study: Study,
    approaches: Sequence[str],
    address: str,
    gpus: float = 1,
    put: Callable[[], None] = lambda: None,
) -> int:
    """Do the runs of a study that are missing on a cluster; return how many it can do at a time.

    Parameters
    ----------
    study : Study
    approaches : sequence of str
        Names from `sdnet_lib.models.registry`.
    address : str
        See `ray_connection.check`.
    gpus : float
        The part of a GPU that a run takes, on a cluster that has any. Each run takes one CPU, too.
    put : callable
        Called after each run; see `store.folder`.

    Raises
    ------
    InputError
        As `crossval.run_study`; or if there is no such cluster, or none of its machines can do a run.
    """
    missing, failed = missing_runs(study, approaches), {}
    if not missing:
        return 1
    with connected(address) as ray:
        needs, slots = _resources(ray, gpus)
        with tqdm(total=len(missing), unit="run", disable=None, delay=2) as bar:
            for run, reason in _results(ray, study, queues(missing), _sender(ray, study, needs)):
                if reason:
                    failed[run] = reason
                put()
                bar.update()
    check_failed(failed, len(missing))
    return slots


def queues(runs: Sequence[Run]) -> list[deque[Run]]:
    """Return runs in queues, the longest first; those of a queue are done one after the other.

    Runs that learn the same on the same part share a queue, so that it is learned once.
    """
    found: dict[object, deque[Run]] = {}
    for run in runs:
        found.setdefault((run.repeat, run.fold) if parcels.shares(run) else run, deque()).append(run)
    return sorted(found.values(), key=len, reverse=True)


def _resources(ray: ModuleType, gpus: float) -> tuple[dict[str, float], int]:
    """Return what a run takes of a cluster, and how many runs it can do at a time."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    has_gpus = any(resources.get("GPU") for resources in machines)
    needs = {"CPU": 1.0} | ({"GPU": gpus} if has_gpus else {})
    slots = sum(min(int(one.get(name, 0) / part) for name, part in needs.items()) for one in machines)
    if not slots:
        wanted = " and ".join(f"{part:g} {name}" for name, part in needs.items())
        raise InputError(f"no machine of the cluster has {wanted}, which a run takes")
    return needs, slots


def _sender(ray: ModuleType, study: Study, needs: dict[str, float]) -> Callable[[Run], object]:
    """Return a function that sends a run to the cluster and returns Ray's reference to what it will leave."""
    options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "max_retries": RETRIES}
    task = ray.remote(parcels.do).options(**options, scheduling_strategy="SPREAD")
    numbered, origin, sent = parcels.numbered(study), cache(study.origin), {}

    def send(run: Run) -> object:
        approach = registry.find(run.approach)
        size = study.profile_of(approach).image_size
        key = (approach.prepare, approach.crops, size, approach.third_class)
        if key not in sent:
            sent[key] = [ray.put(pixels) for pixels in parcels.images(study, approach)]
        return task.remote(parcels.pack(numbered, run, origin(run.approach)), *sent[key])

    return send


def _results(
    ray: ModuleType, study: Study, idle: list[deque[Run]], send: Callable[[Run], object]
) -> Iterator[tuple[Run, str]]:
    """Do the runs of all queues; yield each when it is done, with the reason if it failed.

    A run that another process is doing is waited for.
    """
    sent = {}
    while idle or sent:
        waiting = []
        for queue in idle:
            lock = study.lock(queue[0])
            try:
                lock.acquire()
            except Timeout:
                waiting.append(queue)
                continue
            if study.done(queue[0]):  # by another process, while this one waited
                yield queue[0], ""
                lock.release()
                queue.popleft()
                waiting += [queue] if queue else []
                continue
            sent[send(queue[0])] = queue, lock
        idle = waiting
        if not sent:
            time.sleep(PATIENCE)
            continue
        for answer in ray.wait(list(sent), timeout=PATIENCE if idle else None)[0]:
            queue, lock = sent.pop(answer)
            yield queue[0], _stored(ray, study, queue[0], answer)
            lock.release()
            queue.popleft()
            idle += [queue] if queue else []


def _stored(ray: ModuleType, study: Study, run: Run, answer: object) -> str:
    """Write what a run has left; return why it failed, if it did."""
    try:
        files, reason = ray.get(answer)
    except ray.exceptions.RayTaskError:  # an error of our own making
        raise
    except ray.exceptions.RayError as error:
        return f"its worker was lost {RETRIES + 1} times ({one_line(error)})"
    try:
        parcels.unpack(study, run, files)
    except Exception as error:
        return parcels.why(error)
    return reason
