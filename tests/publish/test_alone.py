"""The Python that runs notebooks alone may be named by a relative path, as `make alone` does."""

import os
import sys
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from tests.publish import alone


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    for name in ("PYTHONPATH", "JUPYTER_PATH", "PYDEVD_DISABLE_FILE_VALIDATION"):
        monkeypatch.setenv(name, "")  # what it was comes back after the test
    here = Path(sys.prefix) / "bin" / Path(sys.executable).name
    alone.install_kernel(os.path.relpath(here), tmp_path / "jupyter")
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_a_notebook_runs_in_an_empty_folder_with_that_python(kernel):
    cells = ["import os, sys", f"assert sys.prefix == {sys.prefix!r} and not os.listdir()"]
    seconds, megabytes = alone.execute(new_notebook(cells=list(map(new_code_cell, cells))), kernel)
    assert seconds > 0 and megabytes > 10


def test_a_failing_cell_is_an_error(kernel):
    with pytest.raises(CellExecutionError, match="not found here"):
        alone.execute(new_notebook(cells=[new_code_cell("raise OSError('not found here')")]), kernel)
