"""How well a cluster uses its workers: ``python -m tests.studies.cluster_efficiency [RUNS]`` prints a table.

Light runs of one study, on clusters of 1, 2 and 4 nodes of one CPU each, on this machine, and by as many
local processes. *Of linear* is the time of one worker over that of all, by as many of them as there are CPUs.
*In runs* is the part of the workers' time in which they train and test: the rest is starting processes and
importing libraries, sending, and waiting. It is fair on a busy machine, too, where nothing is linear.
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
PROFILE = replace(get_profile("smoke"), folds=4, epochs=3)


def on_cluster(study: Study, workers: int) -> float:
    """Return the seconds that a study takes on a cluster of so many nodes; starting it does not count."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": place}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(workers):
                found.add_node(num_cpus=1)
            start = time.monotonic()
            cluster.run_study(study, ["resnet50"], found.address)
            return time.monotonic() - start
        finally:
            found.shutdown()


def locally(study: Study, workers: int) -> float:
    """Return the seconds that a study takes with so many processes; one is this process."""
    start = time.monotonic()
    crossval.run_study(study, ["resnet50"], workers)
    return time.monotonic() - start


def main(runs: int) -> None:
    os.environ.update(ray_connection.SETTINGS)
    cpus, alone = os.cpu_count(), {}
    print(f"{runs} runs, {cpus} CPUs (threads of the processor count as CPUs)")
    print(
        f"{'workers':>8}{'cluster, s':>12}{'of linear':>11}{'in runs':>9}{'local, s':>10}{'of linear':>11}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        cohort = homogeneous(PROFILE.images, 0, Path(folder) / "cohort", size=PROFILE.radiograph_size)
        profile = replace(PROFILE, repeats=runs // PROFILE.folds)
        for workers in WORKERS:
            line = f"{workers:8}"
            for way in (on_cluster, locally):
                study = Study(Path(folder) / f"{way.__name__}-{workers}", cohort, profile)
                seconds = way(study, workers)
                linear = alone.setdefault(way, seconds) / min(workers, cpus) / seconds
                line += f"{seconds:{12 if way is on_cluster else 10}.1f}{linear:11.2f}"
                if way is on_cluster:
                    line += f"{study.plan(['resnet50'])['seconds'].sum() / workers / seconds:9.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
