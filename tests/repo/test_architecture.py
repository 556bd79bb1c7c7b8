"""The floor plan: who may import whom, how long a module may be, and what a notebook may ask for."""

import json
import re
import subprocess
import sys

import pytest

from tests.repo import import_graph, target_sheet

ROOT = import_graph.ROOT
MOST_LINES = 300
MOST_MET = 3000  # lines of the functions and classes that visible cells name
FOR_NOTEBOOKS = {"data", "lungs", "audit", "build", "models", "evaluation", "explain", "plots", "phantom"}


@pytest.fixture(scope="module")
def modules():
    return import_graph.imports()


def test_the_layers_contract_of_pyproject_holds():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_modules_import_each_other_in_whatever_roundabout_way(modules):
    assert import_graph.circles(modules) == []


def test_there_are_at_most_nine_floors(modules):
    assert max(import_graph.floors(import_graph.rooms(modules)).values()) <= 9


def test_no_module_is_longer_than_a_reader_can_keep_in_mind():
    files = [file for package in import_graph.PACKAGES for file in (ROOT / package).rglob("*.py")]
    long = {str(file): len(file.read_text().splitlines()) for file in files}
    assert {file: count for file, count in long.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_imports_only_what_a_student_is_shown(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    lines = re.findall(
        r"^\s*(?:from|import) ((?:sdnet_lib|data_scripts)\S*)(?: import (.*))?$", code, re.MULTILINE
    )
    asked = {name for module, names in lines for name in full_names(module, names)}
    assert {name for name in asked if not allowed(name)} == set()


def test_a_student_meets_no_more_than_can_be_read():
    found = [target_sheet.met(notebook) for notebook in (ROOT / "notebooks").glob("*.ipynb")]
    assert (
        all(found) and sum({name: lines for one in found for name, lines in one.items()}.values()) < MOST_MET
    )


def full_names(module: str, names: str) -> list[str]:
    """Return the modules or objects of one import line, with their packages."""
    return [f"{module}.{name.split()[0]}" for name in names.split(",")] if names else [module]


def allowed(name: str) -> bool:
    package = name.split(".")[1] if name.startswith("sdnet_lib.") else ""
    return package in FOR_NOTEBOOKS or name.startswith("sdnet_lib.publish.course")


def test_floors_and_circles_of_a_graph_that_is_known():
    graph = import_graph.nx.DiGraph([("sdnet_lib.b.x", "sdnet_lib.a.y"), ("sdnet_lib.a.y", "sdnet_lib.a.z")])
    assert import_graph.floors(import_graph.rooms(graph)) == {"a": 1, "b": 2}
    graph.add_edge("sdnet_lib.a.z", "sdnet_lib.b.x")
    assert import_graph.circles(graph) == [["sdnet_lib.a.y", "sdnet_lib.a.z", "sdnet_lib.b.x"]]
    assert import_graph.circles(import_graph.rooms(graph)) == [["a", "b"]]


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        (r"2\.5, 97\.5|0\.975", ["evaluation/bootstrap.py"]),
        (r"roc_auc_score\(", ["evaluation/curves.py"]),
        (r"stdtr|ttest_|stats\.t\.", ["evaluation/statistics.py", "exercises/chapter_6.py"]),  # an exercise
        (r"average_precision_score\(", ["evaluation/curves.py"]),
    ],
)
def test_an_interval_or_a_curve_is_computed_in_one_place(pattern, places):
    """Two chapters that computed one in two ways would print two numbers for one thing."""
    library = ROOT / "sdnet_lib"
    files = {str(file.relative_to(library)): file.read_text() for file in library.rglob("*.py")}
    assert [name for name in sorted(files) if re.search(pattern, files[name])] == places
    notebooks = {file.name: json.loads(file.read_text()) for file in (ROOT / "notebooks").glob("*.ipynb")}
    allowed = {"06_cross_validation.ipynb"} if "ttest" in pattern else set()  # which teaches the test
    for name, notebook in notebooks.items():
        code = "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code")
        assert name in allowed or not re.search(pattern, code), name
