"""Children run nothing of the working directory, where films and other files lie."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdnet_lib import children

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
BAD = "import os\nopen(os.environ['SDNET_TEST_RAN'], 'a').write(__file__)\nraise SystemExit('bad code ran')\n"
MODULES = ("struct", "random", "tempfile", "selectors", "papermill", "joblib", "sphinx", "numpy")
SDNET = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sdnet_lib.cli.main import main; main()"


@pytest.fixture(scope="module")
def films(tmp_path_factory, toy_cohort):
    folder = tmp_path_factory.mktemp("films")
    toy_cohort.to_csv(folder / "cohort.csv", index=False)
    for name in MODULES:
        (folder / f"{name}.py").write_text(BAD)
    return folder


CV = ["cv", "cohort.csv", "--approach", "resnet50", "-o", "runs", "--profile", "smoke", "--image-size", "32"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["phantom", "--n", "64", "--size", "64", "-o", "made"],
        ["crop", "cohort.csv", "-o", "crops"],
        [*CV, "--repeats", "1", "--folds", "2", "--jobs", "2"],
        ["predict", "IMAGES", "-o", "looked_at"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_module_beside_the_films_does_not_run(arguments, films, toy_cohort, tmp_path):
    images = str(Path(toy_cohort["file"].iloc[0]).parent)
    done = sdnet([images if word == "IMAGES" else word for word in arguments], films, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def sdnet(arguments, folder, tmp_path, code=SDNET):
    """Run `sdnet` in a folder, with a path of its own, as the installed command has."""
    import os

    variables = {**os.environ, "SDNET_TEST_RAN": str(tmp_path / "ran")}
    variables.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, "-I", "-c", code, *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
    )


def test_a_module_beside_the_films_does_not_run_in_the_book(films, tmp_path):
    from tests.publish.tiny_course import notebook, write

    root = write(tmp_path / "course", **{"01_a": notebook("import random, struct\nprint(random.__file__)")})
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
        f"from sdnet_lib.publish import build\nbuild.PACKAGE = Path({str(root / 'sdnet_lib')!r})\n"
        "from sdnet_lib.cli.main import main; main()"
    )
    done = sdnet(["book", "--jobs", "1"], films, tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


OLD_WAY = """
import sys
sys.path.insert(0, {root!r})
import joblib, multiprocessing
from sdnet_lib import children
children.OLD = True
from sdnet_lib.workers import workers
with workers(2, "generator") as parallel:
    print(*parallel(joblib.delayed(pow)(number, 2) for number in range(4)))
"""


def test_pythons_without_a_safe_path_start_workers_in_another_way(films, tmp_path, monkeypatch):
    """As Python 3.10 does; the variable that newer ones heed is taken away again."""
    code = OLD_WAY.format(root=str(ROOT)).replace(
        "children.OLD = True",
        "children.OLD = True\nimport os\nsafe = children.safe_path\n"
        "def unsafe():\n    safe()\n    del os.environ['PYTHONSAFEPATH']\nchildren.safe_path = unsafe",
    )
    done = sdnet([], films, tmp_path, code)
    assert done.stdout == "0 1 4 9\n", done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_other_commands_stay_as_they_are():
    assert children.isolated_command(["python", "-c", "1"]) == ["python", "-c", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_module_runs_as_a_child_unless_its_parent_has_ended_before_it_asks(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("[1]")

    def run():
        return subprocess.run(children.module("json.tool", str(tmp_path / "a.json")), capture_output=True)

    assert run().returncode == 0 and run().stdout.split() == [b"[", b"1", b"]"]
    monkeypatch.setattr(os, "getpid", lambda: 2**22)  # what the child finds is another process
    assert run().returncode == 1
