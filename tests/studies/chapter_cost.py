"""What a chapter costs: ``python -m tests.studies.chapter_cost NUMBER`` runs its cells and counts.

The code cells of a notebook in the profile `smoke`, one after the other in this process, which has torch's
counter of operations on. Printed last, as JSON: `operations`, and `memory`, by how many bytes the process had
grown at most since the libraries were imported.
"""

import json
import os
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

import matplotlib
import nbformat
from IPython.core.interactiveshell import InteractiveShell

from sdnet_lib.lungs import segmentation
from sdnet_lib.models import registry
from sdnet_lib.studies import budget
from sdnet_lib.studies.bench.fucitnet import _resident
from sdnet_lib.studies.operations import counter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


class Here(Executor):
    """What stands in for threads, in which torch counts nothing: work is done when it is submitted."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take the options of a pool of threads."""

    def submit(self, function: object, /, *args: object, **options: object) -> Future:
        """Return the result of the work, or its exception."""
        done: Future = Future()
        try:
            done.set_result(function(*args, **options))
        except Exception as error:
            done.set_exception(error)
        return done


def main(number: str) -> None:
    """Run a chapter in this folder and say what it took."""
    (file,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    segmentation.ThreadPoolExecutor = Here
    shell, source = InteractiveShell.instance(), nbformat.read(file, 4)
    registry.find("resnet50"), budget.look("features", budget.LITE0, 64, 1, False)  # what loads late
    before = _resident()
    with counter() as counted:
        for cell in source["cells"]:
            if cell["cell_type"] == "code":
                done = shell.run_cell(cell["source"])
                done.raise_error()
                if "parameters" in cell["metadata"].get("tags", []):
                    shell.user_ns["profile"] = "smoke"
    print(json.dumps({"operations": counted.get_total_flops(), "memory": _resident() - before}))


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "agg"
    matplotlib.use("agg")
    main(sys.argv[1])
