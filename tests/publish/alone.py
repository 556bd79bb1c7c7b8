"""Run each plain notebook alone, in an empty folder, with a Python that has the course from its wheel.

``python -m tests.publish.alone PYTHON [NN...]`` makes the notebooks, runs them in the `smoke` profile by
nbclient with kernels of that Python, prints seconds and megabytes, and ends with status 1 if one fails.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell

from sdnet_lib.publish import build, plain

ROOT = Path(__file__).parents[2]
LINES = 15  # of an error
MEMORY = "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000)"


def install_kernel(python: str, folder: Path) -> None:
    """Have Jupyter start kernels of another Python, which finds nothing but what is installed in it."""
    # absolute, as kernels start in other folders; its links stay, for they lead to its packages
    argv = [os.path.abspath(python), "-I", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = folder / "kernels" / "alone"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "alone", "language": "python"})
    )
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(JUPYTER_PATH=str(folder), PYDEVD_DISABLE_FILE_VALIDATION="1")


def execute(notebook: nbformat.NotebookNode, folder: Path, timeout: int = 600) -> tuple[float, int]:
    """Run a notebook in `folder`; return its seconds and the megabytes that its kernel came to."""
    started = time.monotonic()
    notebook.cells.append(new_code_cell(MEMORY))
    client = NotebookClient(
        notebook, kernel_name="alone", timeout=timeout, resources={"metadata": {"path": folder}}
    )
    client.execute()
    return time.monotonic() - started, int(notebook.cells[-1].outputs[0].text)


def main(python: str, *names: str) -> int:
    """Make and run all notebooks of the course, or those named; return how many failed."""
    failed, notebooks = 0, build.find_notebooks(ROOT)
    chosen = [build.select(notebooks, name)[0] for name in names] or notebooks
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        install_kernel(python, scratch / "jupyter")
        os.environ["SDNET_CACHE"] = str(scratch / "cache")
        for source in chosen:
            empty = scratch / source.stem
            empty.mkdir()
            made = scratch / source.name
            plain.write(source, made, ROOT / "book" / "references.bib")
            text = made.read_text(encoding="utf-8").replace('profile = \\"auto\\"', 'profile = \\"smoke\\"')
            try:
                seconds, megabytes = execute(nbformat.reads(text, as_version=4), empty)
                print(f"{source.name:34}{seconds:6.0f} s {megabytes:6} MB", flush=True)
            except CellExecutionError as error:
                failed += 1
                last = "\n".join(str(error).strip().splitlines()[-LINES:])
                print(f"{source.name}: failed\n{last}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main(*sys.argv[1:])))
