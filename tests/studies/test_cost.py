"""A command's cost is that of all its processes."""

import sys

import pytest

from sdnet_lib.files import InputError
from sdnet_lib.studies.bench.cost import measured


def test_memory_and_seconds_of_children_count():
    held = "import time; x = bytearray(150_000_000); time.sleep(0.5); sum(range(3_000_000))"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}]); sys.exit(1)"
    cost = measured([sys.executable, "-c", parent])
    assert cost["megabytes"] > 150 and cost["seconds"] > 0.5 and cost["cpu_seconds"] > 0.02


def test_a_command_that_fails_is_not_measured():
    with pytest.raises(InputError, match="ended with 2:\nno such cohort"):
        measured([sys.executable, "-c", "print('no such cohort'); raise SystemExit(2)"])
