import signal
import subprocess
import sys
import time

import psutil
import pytest

SCRIPT = """
import time
from joblib import delayed
from sdnet_lib.workers import workers

with workers(2, "generator") as parallel:
    print(*parallel(delayed(pow)(number, 2) for number in range(5)), flush=True)
    list(parallel(delayed(time.sleep)(60) for _ in range(2)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers end after their task")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_busy_workers_end_with_the_process_that_started_them(how):
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout.readline() == b"0 1 4 9 16\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 2
    parent.send_signal(how)
    parent.wait(timeout=20)
    end = time.monotonic() + 20
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family):
        assert time.monotonic() < end, family
        time.sleep(0.1)


BAR = """
from joblib import delayed
from tqdm import tqdm
from sdnet_lib.workers import workers

def count():
    return sum(tqdm(range(3)))

with workers(2) as parallel:
    print(list(parallel(delayed(count)() for _ in range(4))))
"""


def test_a_bar_in_a_worker_leaves_nothing_of_the_system_behind():
    done = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[3, 3, 3, 3]\n", "")
