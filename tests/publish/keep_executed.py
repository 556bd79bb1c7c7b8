"""A pytest plugin: what nbval executes is kept as the executed copy that `sdnet book` makes its pages of.

So one run of the notebooks in the `smoke` profile serves both: the comparison of stored outputs, and the
pages that the tests in `tests/browser` look at.
"""

import time

import nbformat
from nbval.plugin import IPyNbCell

from sdnet_lib.checksums import beside, write_seal
from sdnet_lib.publish import build


def pytest_runtest_makereport(item, call):
    """Put what a cell printed into its notebook; after the last one write the notebook, if all went well."""
    if not isinstance(item, IPyNbCell) or call.when != "call" or call.excinfo:
        return
    item.cell.update(outputs=item.test_outputs, execution_count=item.cell_num + 1)
    notebook = item.parent.nb
    run = notebook.metadata.setdefault("papermill", {})  # where papermill itself would note it
    run["duration"] = run.get("duration", 0) + call.duration
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if item.cell is code[-1] and all(cell.execution_count == n for n, cell in enumerate(code, 1)):
        run["end_time"] = time.strftime("%Y-%m-%dT%H:%M:%S")
        root = item.config.rootpath
        source = root / "notebooks" / item.path.name
        parameters = build.parameters_of("smoke", "phantom", None, 0)
        target = build.executed_copies([source], parameters, root / "_build" / "test")[source]
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        write_seal(beside(target), {}, target)
