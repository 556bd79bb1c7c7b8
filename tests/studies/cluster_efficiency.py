"""How well a cluster uses its workers: ``python -m tests.studies.cluster_efficiency [RUNS]`` prints a table.

Light runs of one study, on clusters of 1, 2 and 4 nodes of one CPU each, on this machine. *Of linear* is how
many runs a second all workers do, over that of one, by as many of them as there are CPUs. It counts from the
moment when each worker has done its first run, for before that it starts and imports libraries, once a study;
*all of it* is the same with that, by the time of the whole study. *In runs* is the part of the workers' time
in which they train and test from that moment on: the rest is sending, writing and waiting. It is fair on a
busy machine too, where nothing is linear. *A run* is the mean time of one: what it grows by is lost to the
processor, whose cores hold each other up. The second of each two rows has the same runs in as
many processes without Ray.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sdnet_lib.config import get_profile
from sdnet_lib.phantom.cohorts import homogeneous
from sdnet_lib.studies import cluster, crossval, ray_connection
from sdnet_lib.studies.study import Study

WORKERS = (1, 2, 4)
APPROACH = "resnet50"
PROFILE = replace(get_profile("smoke"), folds=4, epochs=3)


def took(study: Study, workers: int) -> float:
    """Return the seconds that a study takes on a cluster of so many nodes; starting it does not count."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": place}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(workers):
                found.add_node(num_cpus=1)
            start = time.monotonic()
            cluster.run_study(study, [APPROACH], found.address)
            return time.monotonic() - start
        finally:
            found.shutdown()


def took_plainly(study: Study, workers: int) -> float:
    """Return the seconds that a study takes in so many processes; starting them counts."""
    start = time.monotonic()
    crossval.run_study(study, [APPROACH], workers)
    return time.monotonic() - start


def begun(study: Study, workers: int) -> tuple[float, float, float]:
    """Return runs a second, the part of the time in runs, and a run's seconds, once each has done one."""
    plan = study.plan([APPROACH])
    ends = [study.path(run, ".json").stat().st_mtime for run in study.runs([APPROACH])]
    plan = plan.assign(end=ends).sort_values("end")
    later, seconds = plan.iloc[workers:], plan["end"].iloc[-1] - plan["end"].iloc[workers - 1]
    return len(later) / seconds, later["seconds"].sum() / workers / seconds, later["seconds"].mean()


def main(runs: int) -> None:
    """Print a row for each number of workers."""
    os.environ.update(ray_connection.SETTINGS)
    cpus, alone = os.cpu_count(), {}
    print(f"{runs} runs, {cpus} CPUs")
    heads = ("workers", "seconds", "of linear", "all of it", "in runs", "a run")
    print(f"{'':10}" + "".join(f"{head:>11}" for head in heads), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cohort = homogeneous(PROFILE.images, 0, Path(folder) / "cohort", size=PROFILE.radiograph_size)
        profile = replace(PROFILE, repeats=runs // PROFILE.folds)
        for workers in WORKERS:
            for name, measure in (("Ray", took), ("processes", took_plainly)):
                study = Study(Path(folder) / f"{name}-{workers}", cohort, profile)
                seconds = measure(study, workers)
                speed, part, mean = begun(study, workers)
                first_seconds, first_speed = alone.setdefault(name, (seconds, speed))
                most = min(workers, cpus)
                row = (speed / first_speed / most, first_seconds / seconds / most, part, mean)
                cells = "".join(f"{value:11.2f}" for value in row)
                print(f"{name:10}{workers:11}{seconds:11.1f}{cells}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 80)
