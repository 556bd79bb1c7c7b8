"""The files that install the course agree with each other and name no host."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sdnet_lib.publish import address

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


def test_the_package_takes_what_is_installed_already():
    """On Colab: an exact version would fetch torch again as soon as Colab's is another."""
    for need in map(Requirement, PROJECT["dependencies"]):
        assert not {"==", "~=", "==="} & {one.operator for one in need.specifier}, need
    colab = {
        "torch": "2.11.0",
        "torchvision": "0.26.0",
        "fastai": "2.8.8",
        "numpy": "2.1.3",
        "pandas": "2.2.3",
    }
    wanted = {need.name: need.specifier for need in map(Requirement, PROJECT["dependencies"])}
    assert all(wanted[name].contains(version) for name, version in colab.items())


def test_the_wheel_is_light_and_whole(tmp_path):
    """It is what a notebook on Colab fetches: 25 MB at most, with all that the library reads."""
    source = tmp_path / "source"
    for name in ("sdnet_lib", "data_scripts"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == address.WHEEL
    assert wheel.stat().st_size <= 25e6
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    kept = [file for name in ("sdnet_lib", "data_scripts") for file in (source / name).rglob("*")]
    assert names == {str(file.relative_to(source)) for file in kept if file.is_file()}


def test_the_heavy_tools_are_extras():
    core = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert core.isdisjoint({"jupyter-book", "papermill", "pytest", "nbval", "playwright", "jupyterlab"})


@pytest.fixture
def installed(tmp_path):
    """A clone with the files that `make` looks at, as it is after an installation."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("bin/uv", "bin/python", "installed"):
        file = tmp_path / ".venv" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    os.utime(tmp_path / ".venv" / "installed", (2**32, 2**32))
    return tmp_path


def would_do(clone, *goals):
    environment = {"PATH": os.environ["PATH"]}  # none of the `make` that runs the tests
    command = ["make", "-n", *goals]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_second_make_installs_nothing(installed):
    assert would_do(installed, "book") == [".venv/bin/sdnet book"]
    assert would_do(installed, "lab") == [".venv/bin/jupyter lab notebooks"]
    os.utime(installed / "requirements.txt", (2**32 + 1, 2**32 + 1))
    assert "-r requirements.txt" in would_do(installed, "book")[0]


def test_a_fresh_clone_gets_an_environment_of_the_chosen_python(installed):
    shutil.rmtree(installed / ".venv")
    lines = would_do(installed, "book", "PYTHON=python3.12", "VENV=.other")
    assert "python3.12 -m venv .other" in "\n".join(lines)
    assert lines[-1] == ".other/bin/sdnet book"


def test_tests_look_for_a_browser_before_anything_is_installed(installed):
    (installed / ".venv" / "installed").unlink()
    assert "tests/browser/bring.py" in would_do(installed, "test")[0]


def program(folder, name, text):
    """Write a shell script that stands for the program `name`."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_ci_takes_the_newest_and_the_oldest_python_that_work(tmp_path):
    """Python 3.10 and 3.13 are there by name only, as pyenv leaves them."""
    fakes, done = tmp_path / "bin", tmp_path / "done"
    for version, text in {
        "3.10": "exit 127",
        "3.11": "echo 3.11.7",
        "3.12": "echo 3.12.1",
        "3.13": "exit 1",
    }.items():
        program(fakes, f"python{version}", text)
    program(fakes, "make", f'echo "$PYTHON $VENV $*" >> {done}')
    environment = {
        "PATH": f"{fakes}:{os.environ['PATH']}",
        "PYENV_ROOT": str(tmp_path),
        "HOME": str(tmp_path),
    }
    subprocess.run([ROOT / ".ci" / "run"], env=environment, check=True, capture_output=True)
    assert done.read_text().splitlines() == [
        f"{fakes}/python3.12 .venv-3.12.1 test",
        f"{fakes}/python3.12 .venv-3.12.1 book",
        f"{fakes}/python3.12 .venv-3.12.1 seeds SEEDS=0",
        f"{fakes}/python3.12 .venv-3.12.1 long",
        f"{fakes}/python3.11 .venv-3.11.7 unit alone",
    ]


def bring(tmp_path, **programs):
    """Run `bring.py` where only these programs are on the path; return its status and what it printed."""
    for name, text in programs.items():
        program(tmp_path / "bin", name.replace("_", "-"), text)
    for name in ("sh", "env", "chmod"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    command = [sys.executable, str(ROOT / "tests" / "browser" / "bring.py"), str(tmp_path / "bin" / "uv")]
    environment = {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_browser_that_is_there_is_taken(tmp_path):
    assert bring(tmp_path, chromium="exit 0", uv="exit 1") == (0, "")


def test_a_browser_is_brought_by_apt_or_else_by_playwright(tmp_path):
    made = tmp_path / "bin" / "chromium"
    install = f"case \"$*\" in *install*) printf '#!/bin/sh\\n' > {made}; chmod +x {made};; esac"
    status, text = bring(tmp_path, apt_get=install, sudo='shift; exec "$@"', uv="exit 1")
    assert status == 0 and made.exists(), text
    other = tmp_path / "other"
    other.mkdir()
    status, text = bring(other, apt_get="echo no network; exit 100", sudo="exit 1", uv="exit 0")
    assert status == 0, text


def test_without_any_way_to_a_browser_make_test_says_so_at_once(tmp_path):
    status, text = bring(tmp_path, chromium="exit 1", uv="echo cannot download; exit 1")
    assert status == 1
    assert "please install one" in text and "no apt-get" in text and "cannot download" in text


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
    computed = ("results", "model_card", "this_run", "audit", "builder", "data_sets", "how_fast", "cluster")
    made = {f"book/{name}" for name in computed}
    for file in files:
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
