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

from sdnet_lib import cli
from sdnet_lib.config import PROFILES, Profile
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.studies import crossval, study

TINY = Profile("tiny", 24, 32, 32, 8, 1, 1, 2, 3, "tf_efficientnet_lite0")


@pytest.fixture(scope="module")
def cohort(toy_cohort) -> pd.DataFrame:
    return toy_cohort


class Fake:
    """An approach that says how bright the upper half is; it counts how often it learned."""

    crops, image_size, read = False, 224, staticmethod(registry.find("resnet50").read)

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

        return SimpleNamespace(predict=predict), {"rate": 0.5}


@pytest.fixture
def fake(monkeypatch) -> Fake:
    one = Fake()
    monkeypatch.setattr(registry, "find", lambda name: one)
    return one


def test_a_run_leaves_a_table_and_its_origin(cohort, fake, tmp_path):
    asked = study.Study(tmp_path, cohort, TINY, seed=3)
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
    assert origin["seed"] == 3 and origin["training"] == {"rate": 0.5} and origin["versions"]["torch"]
    assert fake.tasks[-1].seed == 4 and origin["seconds"] >= 0 and origin["device"] == "cpu"


def test_what_may_be_learned_holds_no_tested_image(cohort, fake, tmp_path):
    asked = study.Study(tmp_path, cohort, TINY)
    crossval.run_study(asked, ["fake"])
    for task, part in zip(fake.tasks, crossval.parts(asked).values(), strict=True):
        tested = cohort.iloc[part.test]
        assert not set(task.cohort["image_id"]) & set(tested["image_id"])
        assert not set(task.cohort["patient_id"]) & set(tested["patient_id"])
        train, valid = (
            set(task.cohort["patient_id"].iloc[image_size]) for image_size in (task.train, task.valid)
        )
        assert train and valid and not train & valid
        assert len(task.pixels) == len(task.cohort) == len(task.train) + len(task.valid)


def test_copies_of_a_picture_under_two_patients_stay_on_one_side(cohort, tmp_path):
    twice = cohort.copy()
    twice.loc[4, "file"], twice.loc[6, "file"] = twice.loc[0, "file"], twice.loc[2, "file"]
    for part in crossval.parts(study.Study(tmp_path, twice, TINY)).values():
        sides = {row: name for name in ("train", "valid", "test") for row in getattr(part, name)}
        assert sides[4] == sides[0] and sides[6] == sides[2]


def test_other_cohorts_are_tested_whole_by_each_run(cohort, fake, tmp_path):
    other = cohort.iloc[:6].reset_index(drop=True)
    crossval.run_study(study.Study(tmp_path, cohort, TINY, elsewhere={"other": other}), ["fake"])
    files = sorted((tmp_path / "on-other" / "fake").glob("*.parquet"))
    assert len(files) == 6
    assert all(list(pd.read_parquet(file)["image_id"]) == list(other["image_id"]) for file in files)


def test_only_what_is_missing_is_done_and_repeats_may_be_added(cohort, fake, tmp_path):
    crossval.run_study(study.Study(tmp_path, cohort, one(1)), ["fake"])
    assert len(fake.tasks) == 3
    (tmp_path / "fake" / "r0f1.parquet").unlink()
    (tmp_path / "fake" / ".r0f1.parquet.1.part").write_text("half a file")
    asked = study.Study(tmp_path, cohort, one(2))
    plan = study.plan(asked, ["fake"])
    assert list(plan["done"]) == [True, False, True, False, False, False]
    assert plan["seconds"].notna().all()
    crossval.run_study(asked, ["fake"])
    assert len(fake.tasks) == 3 + 4 and study.plan(asked, ["fake"])["done"].all()


def one(repeats: int, **changes) -> Profile:
    return dataclasses.replace(TINY, repeats=repeats, **changes)


def test_a_plan_says_what_is_known(cohort, fake, tmp_path):
    asked = study.Study(tmp_path, cohort, TINY)
    text = study.describe(study.plan(asked, ["fake"]), 2)
    assert (
        "0 of 6 runs done, 2 at a time" in text
        and text.count("unknown") == 2
        and not list(tmp_path.iterdir())
    )
    table = pd.DataFrame({"approach": "a", "done": [True, False, False, False], "seconds": 60.0})
    assert study.describe(table, 2).splitlines()[1].split() == ["a", "1", "3", "60", "1.5"]


def test_a_folder_holds_one_study(cohort, fake, tmp_path):
    crossval.run_study(study.Study(tmp_path, cohort, TINY), ["fake"])
    for other, what in (
        (study.Study(tmp_path, cohort.iloc[:-1], TINY), "cohort"),
        (study.Study(tmp_path, cohort, TINY, seed=1), "seed 0 there, 1 asked for"),
        (study.Study(tmp_path, cohort, one(2, image_size=48)), "side 32 there, 48 asked for"),
        (study.Study(tmp_path, cohort, TINY, elsewhere={"other": cohort}), "elsewhere"),
    ):
        with pytest.raises(InputError, match=f"another study.*{what}"):
            crossval.run_study(other, ["fake"])


def test_one_failure_keeps_no_other_run_from_being_done(cohort, tmp_path, monkeypatch):
    fake = Fake(fails_on=2)
    monkeypatch.setattr(registry, "find", lambda name: fake)
    asked = study.Study(tmp_path, cohort, TINY)
    with pytest.raises(InputError, match="1 of 6 runs failed, all others are done: fake r0f1: no luck"):
        crossval.run_study(asked, ["fake"])
    assert study.plan(asked, ["fake"])["done"].sum() == 5


def test_a_run_in_another_s_hands_is_waited_for_and_not_done_twice(cohort, fake, tmp_path):
    asked = study.Study(tmp_path, cohort, one(1))
    crossval.run_study(asked, ["fake"])
    file = study.prediction_file(tmp_path, study.Run("fake", 0, 2))
    table = file.read_bytes()
    file.unlink()
    lock = FileLock(tmp_path / ".locks" / "fake-r0f2.lock", thread_local=False)
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


def test_a_broken_origin_is_named(cohort, fake, tmp_path):
    asked = study.Study(tmp_path, cohort, TINY)
    crossval.run_study(asked, ["fake"])
    (tmp_path / "fake" / "r0f0.json").write_text("{")
    with pytest.raises(InputError, match=r"r0f0\.json"):
        study.plan(asked, ["fake"])


def test_normal_pcr_can_be_left_out(cohort):
    kept = crossval.without_normal_pcr(cohort)
    assert len(kept) == len(cohort) - 4 and "Normal-PCR+" not in set(kept["severity"])
    with pytest.raises(InputError, match="nothing to leave out"):
        crossval.without_normal_pcr(kept)


def test_each_approach_sees_its_paper_s_side_in_a_full_profile_only():
    covidnet = registry.find("covidnet")
    assert crossval.image_size_of(covidnet, PROFILES["paper"]) == 480
    assert crossval.image_size_of(covidnet, PROFILES["quick"]) == PROFILES["quick"].image_size
    assert crossval.image_size_of(covidnet, dataclasses.replace(PROFILES["paper"], image_size=96)) == 96


# From here on real processes, as a user starts them.


def cv(cohort: Path, out: Path, *more: str) -> list[str]:
    size = ["--profile", "smoke", "--side", "32", "--repeats", "2", "--folds", "3"]
    return [
        sys.executable,
        "-m",
        "sdnet_lib.cli",
        "cv",
        str(cohort),
        "--approach",
        "resnet50",
        "-o",
        str(out),
        *size,
        *more,
    ]


@pytest.fixture(scope="module")
def csv(cohort, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("csv") / "cohort.csv"
    cohort.to_csv(file, index=False)
    assert len(read_cohort(file)) == len(cohort)
    return file


@pytest.fixture(scope="module")
def uninterrupted(csv, tmp_path_factory) -> dict[str, pd.DataFrame]:
    out = tmp_path_factory.mktemp("runs") / "plain"
    done = subprocess.run(cv(csv, out, "--jobs", "1"), capture_output=True, text=True)
    assert done.returncode == 0 and "6 of 6 runs done" in done.stdout, done.stderr
    return predictions(out)


def predictions(out: Path) -> dict[str, pd.DataFrame]:
    return {file.name: pd.read_parquet(file) for file in sorted((out / "resnet50").glob("*.parquet"))}


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(one[name].equals(two[name]) for name in one)


def test_killed_again_and_again_it_ends_with_the_same_predictions(csv, uninterrupted, tmp_path):
    out, kills = tmp_path / "runs", 0
    for _ in range(40):
        process = subprocess.Popen(
            cv(csv, out, "--jobs", "2"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        before = len(list(out.glob("resnet50/*.parquet")))
        while process.poll() is None and kills < 2 and len(list(out.glob("resnet50/*.parquet"))) == before:
            time.sleep(0.05)
        if process.poll() is None and kills < 2:
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.wait()
            assert gone(str(out))
        else:
            assert process.wait() == 0, process.stdout.read()
            break
    assert kills == 2 and same(predictions(out), uninterrupted)


def gone(mark: str) -> bool:
    """Whether the processes that were started with `mark` on their command line, and theirs, end soon."""
    for _ in range(100):
        mine = [pid for pid in os.listdir("/proc") if pid.isdigit() and _spawned_from(pid)]
        if not mine:
            return True
        time.sleep(0.1)
    return False


def _spawned_from(pid: str) -> bool:
    """Whether a process is a worker without a parent."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
    except OSError:
        return False
    return b"spawn_main" in line and parent == "1"


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
