"""The files that install the course agree with each other and name no host."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser under its old name; it comes with pytest there
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.strip()]
PINS = [Requirement(line) for line in LINES if not line.startswith("#")]


def wanted():
    """Return every requirement of pyproject.toml, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(t for extra in extras for t in extra)]]


def test_every_requirement_is_pinned_to_one_version():
    for pin in PINS:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_the_pins_satisfy_pyproject(python):
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
    }
    versions = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment):
            assert pin.name not in versions, f"{pin.name} is pinned twice for Python {python}"
            versions[pin.name] = str(pin.specifier)[2:]
    for need in wanted():
        assert need.name in versions, need
        assert need.specifier.contains(versions[need.name], prereleases=True), (need, versions[need.name])


def test_the_installed_versions_are_the_pinned_ones():
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate():
            assert importlib.metadata.version(pin.name) in pin.specifier, f"{pin}: run `make` again"


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (by_pip,) = (item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert by_pip == ["-r requirements.txt", "-e ."]
    # nothing but Python and pip from conda: a package from both sides would have two versions
    python = re.fullmatch(r"python=(\d+\.\d+)", next(item for item in conda if item.startswith("python=")))
    assert sorted(item.split("=")[0] for item in conda) == ["pip", "python"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.group(1))


@pytest.mark.parametrize(
    "name", ["requirements.txt", "environment.yml", "pyproject.toml", "Makefile", ".ci/run"]
)
def test_no_package_host_is_named(name):
    # the pattern is what must not be found: no host is named here either
    assert not re.search(r"https?://|--(extra-)?index|--find-links", (ROOT / name).read_text())


def test_the_heavy_tools_are_extras():
    core = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert core.isdisjoint({"jupyter-book", "papermill", "pytest", "nbval", "selenium", "jupyterlab"})


def test_one_uv_and_a_stamp_that_saves_the_second_installation():
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"uv==\d+\.\d+\.\d+", makefile)
    assert re.search(r"^\.venv/installed: requirements\.txt pyproject\.toml$", makefile, re.MULTILINE)
    assert re.search(r"^\ttouch \$@$", makefile, re.MULTILINE)


def test_the_ci_script_runs_the_two_commands_of_the_readme():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for command in ("make book", "make test"):
        assert re.search(rf"^{command}", readme, re.MULTILINE)
        assert re.search(rf"^{command}$", ci, re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_the_files_that_the_readme_maps_exist():
    readme = (ROOT / "README.md").read_text()
    for name in re.findall(r"^\| `([^`]+)` \|", readme, re.MULTILINE):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / target).exists(), target


def test_contributors_are_shown_every_package_and_a_paragraph_about_each():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    text = text[text.index("## Find your way") : text.index("## Add or change a notebook")]
    packages = [path.parent.name for path in (ROOT / "sdnet_lib").glob("*/__init__.py")]
    for name in (*packages, "data_scripts"):
        assert re.search(rf"^ *{name}/ ", text, re.MULTILINE), f"{name} is not in the tree"
        assert f"**`{name}`**" in text, f"no paragraph about {name}"


def test_licences_and_the_warning_are_there():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "Creative Commons Attribution 4.0 International" in (ROOT / "LICENSE-text").read_text()
    for name in ("README.md", "book/index.md"):
        assert "not a medical device" in (ROOT / name).read_text().lower()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == importlib.metadata.version("sdnet-lib")
    assert citation["license"] == PROJECT["license"]


def test_every_notebook_is_in_the_table_of_contents_in_order():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    listed = [file.split("/")[1] for file in files if file.startswith("notebooks/")]
    assert listed == sorted(notebook.stem for notebook in (ROOT / "notebooks").glob("*.ipynb"))
    for file in files:
        made = {"book/results", "book/model_card", "book/this_run"}
        assert file in made or list(ROOT.glob(f"{file}.*")), file


def test_importing_the_package_changes_nothing():
    check = (
        "import random, warnings, os, sys\n"
        "before = random.getstate(), list(warnings.filters), dict(os.environ)\n"
        "import sdnet_lib\n"
        "assert before == (random.getstate(), list(warnings.filters), dict(os.environ))\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
