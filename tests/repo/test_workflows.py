"""The workflows for those who fork: valid, safe, and publishing from the repository that they run in."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sdnet_lib.publish import address

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent
SCHEMA = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
SAFETY = [BIN / "zizmor", "--offline", "--no-progress", "--persona", "pedantic"]


def run(command, *files):
    done = subprocess.run([*map(str, command), *map(str, files)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", [SCHEMA, SAFETY], ids=["schema", "safety"])
def test_the_workflows_have_no_fault(command):
    status, text = run(command, *WORKFLOWS)
    assert status == 0, text


@pytest.mark.parametrize(
    "command, old, new",
    [
        (SCHEMA, "runs-on:", "run-on:"),
        (SCHEMA, "timeout-minutes: 120", "timeout-minutes: long"),
        (SAFETY, "@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v5"),
        (SAFETY, "persist-credentials: false", "fetch-depth: 1"),
        (SAFETY, '"Book of $GITHUB_SHA"', '"${{ github.event.head_commit.message }}"'),
    ],
)
def test_both_tools_find_faults(command, old, new, tmp_path):
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    assert old in text
    (tmp_path / "publish.yml").write_text(text.replace(old, new))
    assert run(command, tmp_path / "publish.yml")[0] != 0


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
