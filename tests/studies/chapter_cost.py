"""What a chapter costs: ``python -m tests.studies.chapter_cost NUMBER`` runs its cells and counts.

The code cells of a notebook in the profile `smoke`, one after the other in this process, which has torch's
counter of operations on. Printed last, as JSON: `operations`, and `memory`, by how many bytes the process had
grown at most since the libraries were imported.
"""

import json
import os
import sys
from pathlib import Path

import matplotlib
import nbformat
from IPython.core.interactiveshell import InteractiveShell

from sdnet_lib.models import registry
from sdnet_lib.studies import budget
from sdnet_lib.studies.bench.fucitnet import _resident
from sdnet_lib.studies.operations import counter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def main(number: str) -> None:
    """Run a chapter in this folder and say what it took."""
    (file,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
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
