"""The workflows for those who fork: without a fault, safe, and publishing from where they run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from playwright._impl._driver import compute_driver_executable

from sdnet_lib.publish import address
from tests.repo import bring_actionlint

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent
SCHEMA = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
SAFETY = [BIN / "zizmor", "--offline", "--no-progress", "--persona", "pedantic"]
SHELL = [BIN / "shellcheck", "--shell", "bash"]
ACTIONLINT = Path(sys.prefix) / "actionlint"
LINT = [compute_driver_executable()[0], Path(__file__).with_name("actionlint.js"), ACTIONLINT]
TOOLS = pytest.mark.parametrize("command", [SCHEMA, SAFETY, LINT], ids=["schema", "safety", "actionlint"])


@pytest.fixture(scope="module", autouse=True)
def actionlint():
    """actionlint in this environment, where `make test` has put it before anything else."""
    bring_actionlint.bring(str(BIN / "uv"), ACTIONLINT)


def run(command, *files):
    done = subprocess.run([*map(str, command), *map(str, files)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@TOOLS
def test_the_workflows_have_no_fault(command):
    status, text = run(command, *WORKFLOWS)
    assert status == 0, text


@pytest.mark.parametrize(
    "command, old, new, said",
    [
        (SCHEMA, "runs-on:", "run-on:", "runs-on"),
        (SCHEMA, "timeout-minutes: 120", "timeout-minutes: long", "timeout-minutes"),
        (SAFETY, "@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v5", "unpinned-uses"),
        (SAFETY, "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (SAFETY, '"Book of $GITHUB_SHA"', '"${{ github.event.head_commit.message }}"', "template-injection"),
    ],
)
def test_each_tool_finds_faults(command, old, new, said, tmp_path):
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    assert old in text
    (tmp_path / "publish.yml").write_text(text.replace(old, new))
    status, found = run(command, tmp_path / "publish.yml")
    assert status != 0 and said in found, found


FAULTS = [
    ("runs-on:", "run-on:", "[syntax-check]"),
    ("github.repository", "github.repositories", "[expression]"),
    ("github.repository", "github.repository ==", "[expression]"),
    ("ubuntu-24.04", "ubuntu-24.40", "[runner-label]"),
    ("branches: [main]", 'branches: ["[main"]', "[glob]"),
    ("push:", "pushed:", "[events]"),
    ("contents: write", "contents: all", "[permissions]"),
    ("timeout-minutes: 120", "needs: test", "[job-needs]"),
    ("TOKEN: ${{ github.token }}", "TO KEN: ${{ github.token }}", "[env-var]"),
    ("git add --all", "echo '${{ github.event.head_commit.message }}'", "untrusted"),
]


@pytest.fixture(scope="module")
def linted(tmp_path_factory):
    """What actionlint, which takes seconds to start, says of all `FAULTS`, each in a file of its own."""
    text, folder = (
        (ROOT / ".github" / "workflows" / "publish.yml").read_text(),
        tmp_path_factory.mktemp("all"),
    )
    files = [folder / f"fault-{number}.yml" for number in range(len(FAULTS))]
    for file, (old, new, _) in zip(files, FAULTS, strict=True):
        assert old in text
        file.write_text(text.replace(old, new))
    status, found = run(LINT, *files)
    assert status != 0
    return [[line for line in found.splitlines() if f"{file.name}:" in line] for file in files]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[said for *_, said in FAULTS])
def test_actionlint_finds_faults(number, linted):
    assert any(FAULTS[number][-1] in line for line in linted[number]), linted[number]


@TOOLS
def test_each_tool_passes_a_workflow_without_fault(command, tmp_path):
    (tmp_path / "publish.yml").write_text((ROOT / ".github" / "workflows" / "publish.yml").read_text())
    assert run(command, tmp_path / "publish.yml")[0] == 0


def scripts(workflow, folder):
    """Write the script of each step to a file of its own; what GitHub fills in is a word."""
    steps = [step for job in yaml.safe_load(workflow.read_text())["jobs"].values() for step in job["steps"]]
    for number, step in enumerate(step for step in steps if "run" in step):
        file = folder / f"{workflow.stem}-{number}.sh"
        file.write_text(re.sub(r"\$\{\{.*?\}\}", "WORD", step["run"]))
        yield file


def test_no_script_has_a_fault(tmp_path):
    files = [file for workflow in WORKFLOWS for file in scripts(workflow, tmp_path)]
    assert len(files) >= len(WORKFLOWS)
    status, text = run(SHELL, ROOT / ".ci" / "run", *files)
    assert status == 0, text


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('"Book of $GITHUB_SHA"', "Book $GITHUB_SHA", "SC2086"),
        ("touch .nojekyll", "if touch .nojekyll; then", "SC1046"),
        ("git add --all", "all=$(git add --all)", "SC2034"),
    ],
)
def test_a_fault_in_a_script_is_found(old, new, said, tmp_path):
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    assert old in text
    changed = tmp_path / "publish.yml"
    changed.write_text(text.replace(old, new))
    status, found = run(SHELL, *scripts(changed, tmp_path))
    assert status != 0 and said in found, found


def test_another_package_is_not_taken_for_actionlint():
    with pytest.raises(ValueError, match="not the expected"):
        bring_actionlint.checked(b"another package")


def test_a_machine_that_cannot_have_actionlint_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "needs actionlint" in bring_actionlint.main(
        shutil.which("false", path="/bin:/usr/bin"), tmp_path / "none"
    )
    assert not (tmp_path / "none").exists()


def jobs(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"]


def test_a_fork_publishes_itself():
    (job,) = jobs("publish.yml").values()
    assert job["env"][address.VARIABLE] == "${{ github.repository }}"
    pushed = job["steps"][-1]["run"].splitlines()[-1]
    assert "/$GITHUB_REPOSITORY" in pushed and pushed.endswith(f" {address.BRANCH}")


def test_every_make_goal_of_a_workflow_exists():
    makefile = (ROOT / "Makefile").read_text()
    for file in WORKFLOWS:
        for job in jobs(file.name).values():
            lines = [line.split() for step in job["steps"] for line in step.get("run", "").splitlines()]
            for goal in (words[1] for words in lines if words[0] == "make"):
                assert f"\n{goal.replace('.venv', '$(VENV)')}: " in makefile, (file.name, goal)
