import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from sdnet_lib.cli import main as cli
from sdnet_lib.config import Profile
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.evaluation import tables
from sdnet_lib.evaluation.report import report
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.studies import crossval, plan, study
from sdnet_lib.studies.study import Run, Study

TINY = Profile("tiny", 24, 32, 32, 16, 1, 1, 2, 3, "tf_efficientnet_lite0")


@pytest.fixture(scope="module")
def cohort(toy_cohort) -> pd.DataFrame:
    return toy_cohort


class Fake:
    """An approach that says how bright the upper half is; it counts how often it learned."""

    crops, image_size, prepare = False, 224, staticmethod(registry.find("resnet50").prepare)

    module, package, frozen = "cnn", "", False  # whose code it is of, and what it needs besides

    def __init__(self, name: str = "fake", fails_on: int | None = None) -> None:
        self.name, self.fails_on, self.tasks = name, fails_on, []

    def fit(self, task):
        self.tasks.append(task)
        torch.rand(3)  # as networks that are drawn at random do
        if len(self.tasks) == self.fails_on:
            raise InputError("no luck")

        def predict(pixels):
            positive = pixels[:, : pixels.shape[1] // 2].mean((1, 2)) / 255
            return {"prob_N": 1 - positive, "prob_P": positive, "note": np.full(len(pixels), 7)}

        return SimpleNamespace(predict=predict), {"lr": 0.5}


@pytest.fixture
def fake(monkeypatch) -> Fake:
    one = Fake()
    monkeypatch.setitem(registry.APPROACHES, "fake", one)
    return one


def test_a_run_leaves_a_table_and_its_origin(cohort, fake, tmp_path):
    asked = Study(tmp_path, cohort, TINY, seed=3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    crossval.run_study(asked, ["fake"])
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    files = sorted(file.name for file in (tmp_path / "fake").iterdir())
    assert files == [f"r{r}f{f}.{kind}" for r in range(2) for f in range(3) for kind in ("json", "parquet")]
    table = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / "fake").glob("r1*.parquet")))
    assert list(table.columns) == [*crossval.COLUMNS, "note"]
    assert sorted(table["image_id"]) == sorted(cohort["image_id"]) and set(table["repeat"]) == {1}
    whom = table.set_index("image_id").loc[cohort["image_id"]]
    assert list(whom["label"]) == list(cohort["label"]) and list(whom["severity"]) == list(cohort["severity"])
    assert ((whom["prob_P"] > 0.5).to_numpy() == (cohort["label"] == "P").to_numpy()).all()
    origin = json.loads((tmp_path / "fake" / "r1f2.json").read_text())
    assert origin["seed"] == 3 and origin["training"] == {"lr": 0.5} and origin["versions"]["torch"]
    assert fake.tasks[-1].seed == 4 and origin["seconds"] >= 0 and origin["device"] == "cpu"


def test_what_may_be_learned_holds_no_tested_image(cohort, fake, tmp_path):
    asked = Study(tmp_path, cohort, TINY)
    crossval.run_study(asked, ["fake"])
    for task, part in zip(fake.tasks, asked.parts.values(), strict=True):
        tested = cohort.iloc[part.test]
        assert not set(task.cohort["image_id"]) & set(tested["image_id"])
        assert not set(task.cohort["patient_id"]) & set(tested["patient_id"])
        train, valid = (set(task.cohort["patient_id"].iloc[rows]) for rows in (task.train, task.valid))
        assert train and valid and not train & valid
        assert len(task.pixels) == len(task.cohort) == len(task.train) + len(task.valid)


def test_other_cohorts_are_tested_whole_by_each_run(cohort, fake, tmp_path):
    other = cohort.iloc[:6].reset_index(drop=True)
    crossval.run_study(Study(tmp_path, cohort, TINY, external={"other": other}), ["fake"])
    files = sorted((tmp_path / "on-other" / "fake").glob("*.parquet"))
    assert len(files) == 6
    assert all(list(pd.read_parquet(file)["image_id"]) == list(other["image_id"]) for file in files)


def test_only_what_is_missing_is_done_and_repeats_may_be_added(cohort, fake, tmp_path):
    crossval.run_study(Study(tmp_path, cohort, one(1)), ["fake"])
    assert len(fake.tasks) == 3
    (tmp_path / "fake" / "r0f1.parquet").unlink()
    (tmp_path / "fake" / ".r0f1.parquet.1.part").write_text("half a file")
    asked = Study(tmp_path, cohort, one(2))
    plan = asked.plan(["fake"])
    assert list(plan["done"]) == [True, False, True, False, False, False]
    assert plan["seconds"].notna().all()
    crossval.run_study(asked, ["fake"])
    assert len(fake.tasks) == 3 + 4 and asked.plan(["fake"])["done"].all()


def test_what_is_damaged_or_of_older_code_is_done_again(cohort, fake, tmp_path, monkeypatch, caplog):
    asked = Study(tmp_path, cohort, one(1), external={"other": cohort})
    crossval.run_study(asked, ["fake"])
    external = asked.path(Run("fake", 0, 2), external="other")
    for file in (tmp_path / "fake" / "r0f0.parquet", external):
        file.write_bytes(file.read_bytes()[:-1] + b"2")
    crossval.run_study(asked, ["fake"])
    assert len(fake.tasks) == 3 + 2 and asked.plan(["fake"])["done"].all()
    assert [message.partition(":")[0] for message in caplog.messages] == [
        str(tmp_path / "fake" / "r0f0.parquet"),
        str(external),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(study, "code_of", lambda _: {"hash": "another"})
        assert (asked.plan(["fake"])["state"] == "older code").all()
        crossval.run_study(asked, ["fake"])
    assert len(fake.tasks) == 5 + 3 and len(caplog.messages) == 2


def one(repeats: int, **changes) -> Profile:
    return dataclasses.replace(TINY, repeats=repeats, **changes)


def test_one_failure_keeps_no_other_run_from_being_done(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.APPROACHES, "fake", Fake(fails_on=2))
    asked = Study(tmp_path, cohort, TINY)
    with pytest.raises(InputError, match="1 of 6 runs failed, all others are done: fake r0f1: no luck"):
        crossval.run_study(asked, ["fake"])
    assert asked.plan(["fake"])["done"].sum() == 5


def test_a_run_in_another_s_hands_is_waited_for_and_not_done_twice(cohort, fake, tmp_path):
    asked = Study(tmp_path, cohort, one(1))
    crossval.run_study(asked, ["fake"])
    file = asked.path(Run("fake", 0, 2))
    table = file.read_bytes()
    file.unlink()
    lock = FileLock(asked.lock(Run("fake", 0, 2)).lock_file, thread_local=False)
    lock.acquire()

    def finish() -> None:
        time.sleep(0.3)
        file.write_bytes(table)
        lock.release()

    other = threading.Thread(target=finish)
    other.start()
    crossval.run_study(asked, ["fake"])
    other.join()
    assert len(fake.tasks) == 3 and file.read_bytes() == table


class Silent(Fake):
    """An approach that gives no number for some images."""

    title = "fake"

    def __init__(self, images: slice) -> None:
        super().__init__()
        self.images = images

    def fit(self, task):
        fitted, training = super().fit(task)

        def predict(pixels):
            answer = fitted.predict(pixels)
            answer["prob_P"][self.images] = np.nan
            return answer

        return SimpleNamespace(predict=predict), training


def test_no_number_is_no_answer_and_is_said(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.APPROACHES, "fake", Silent(slice(0, 2)))
    asked = Study(tmp_path, cohort, one(1))
    crossval.run_study(asked, ["fake"])
    said = plan.describe(asked.plan(["fake"]), 1)
    assert said.count("gave no number for 2 images") == 3 and "no answer: fake r0f1" in said
    assert len(tables.read_rows(tmp_path)) == len(cohort)
    answers = tables.read_runs(tmp_path)
    assert len(answers) == len(cohort) - 6 and answers["prob_P"].notna().all()
    text = report(tmp_path)
    assert "fake gave no number 6 times (r0f0, r0f1, r0f2); these count nowhere" in text


def test_a_model_that_answers_nothing_is_a_failure(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.APPROACHES, "fake", Silent(slice(None)))
    asked = Study(tmp_path, cohort, one(1))
    with pytest.raises(InputError, match="3 of 3 runs failed.*no number for any of"):
        crossval.run_study(asked, ["fake"])
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    "error, said",
    [
        (OSError(28, "No space left on device", "/x"), "/x: no space left on the disk"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_machine_refuses_is_the_fault_of_a_run(error, said, cohort, tmp_path, monkeypatch):
    one_fake = Fake()
    monkeypatch.setitem(registry.APPROACHES, "fake", one_fake)
    fit = one_fake.fit

    def refused(task):
        found = fit(task)
        if len(one_fake.tasks) == 2:
            raise error
        return found

    monkeypatch.setattr(one_fake, "fit", refused)
    with pytest.raises(InputError, match=f"1 of 3 runs failed, all others are done: fake r0f1: {said}"):
        crossval.run_study(Study(tmp_path, cohort, one(1)), ["fake"])
    assert len(list(tmp_path.rglob("*.parquet"))) == 2 and not list(tmp_path.rglob(".*.part"))


# From here on real processes, as a user starts them.


def cv(cohort: Path, out: Path, *more: str) -> list[str]:
    size = ["--profile", "smoke", "--image-size", "32", "--repeats", "4", "--folds", "3"]
    command = [sys.executable, "-m", "sdnet_lib.cli.main", "cv", str(cohort), "--approach", "resnet50"]
    return [*command, "-o", str(out), *size, *more]


@pytest.fixture(scope="module")
def csv(cohort, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("csv") / "cohort.csv"
    cohort.to_csv(file, index=False)
    assert len(read_cohort(file)) == len(cohort)
    return file


@pytest.fixture(scope="module")
def uninterrupted(csv, tmp_path_factory) -> dict[str, pd.DataFrame]:
    out = tmp_path_factory.mktemp("runs") / "plain"
    ran = subprocess.run(cv(csv, out, "--jobs", "1"), capture_output=True, text=True)
    assert ran.returncode == 0 and "12 of 12 runs done" in ran.stdout, ran.stderr
    return predictions(out)


def predictions(out: Path) -> dict[str, pd.DataFrame]:
    return {file.name: pd.read_parquet(file) for file in sorted((out / "resnet50").glob("*.parquet"))}


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(one[name].equals(two[name]) for name in one)


@pytest.mark.long
def test_killed_in_any_way_it_leaves_no_process_and_ends_with_the_same_predictions(
    csv, uninterrupted, tmp_path
):
    """Its workers end with it, also where it cannot tell them to, and what they left undone is done again."""
    out = tmp_path / "runs"
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            cv(csv, out, "--jobs", "2"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        before = done(out)
        while process.poll() is None and done(out) == before:
            time.sleep(0.05)
        assert process.poll() is None and len(group(process.pid)) > 2, process.stderr.read()
        if how == signal.SIGINT:  # a terminal sends it to all of them
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        said = process.communicate(timeout=60)[1]
        ends = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
        assert process.returncode == ends[how] and "Traceback" not in said, said
        deadline = time.monotonic() + 10
        while group(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not group(process.pid)
        assert before < done(out) < len(uninterrupted)
    last = subprocess.run(cv(csv, out, "--jobs", "2"), capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    assert same(predictions(out), uninterrupted) and not list(out.rglob("*.part"))


def done(out: Path) -> int:
    return len(list(out.glob("resnet50/*.parquet")))


def group(leader: int) -> list[str]:
    """Return the processes of a process group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(group) == leader and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.long
def test_two_at_once_share_the_work(csv, uninterrupted, tmp_path):
    out = tmp_path / "runs"
    both = [
        subprocess.Popen(
            cv(csv, out, "--jobs", "1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert all(process.returncode == 0 for process in both), said
    assert same(predictions(out), uninterrupted)
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    "options, message",
    [
        (["--approach", "vgg"], "unknown approach 'vgg'"),
        (["--folds", "30"], "30 folds need 30 patients of each label"),
        (["--test-on", "phantm"], "phantm"),
    ],
)
def test_bad_options_are_one_line(csv, tmp_path, options, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", cv(csv, tmp_path / "runs", *options)[2:])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and message in said and len(said.splitlines()) == 1
