import dataclasses
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from filelock import FileLock

from sdnet_lib.cli import main as cli
from sdnet_lib.data import decoder
from sdnet_lib.data.cohort import read_cohort, write_cohort
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.studies import cluster as driver
from sdnet_lib.studies import crossval, parcels, ray_connection
from sdnet_lib.studies.study import Run, Study
from tests.studies.test_crossval import TINY, Fake

ROOT = Path(__file__).parents[2]
RUNS = 12
SIZE = ["--profile", "smoke", "--image-size", "32", "--repeats", "4", "--folds", "3"]


@pytest.fixture(scope="module")
def cohort(toy_cohort, tmp_path_factory) -> pd.DataFrame:
    """The toy cohort with files of its own, which a test may hide."""
    folder = tmp_path_factory.mktemp("cluster") / "cohort"
    (folder / "images").mkdir(parents=True)
    files = [shutil.copy(file, folder / "images") for file in toy_cohort["file"]]
    write_cohort(toy_cohort.assign(file=files), folder)
    return read_cohort(folder)


def tables(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.parquet"))}


# Parcels, without Ray: what is sent away comes back as if it had been done here.


def elsewhere(study: Study, run: Run, files: Path) -> tuple[dict[str, bytes], str]:
    """Do a run as a machine would on which the files of the cohort are not."""
    numbered, approach = parcels.numbered(study), registry.find(run.approach)
    parcel, images = parcels.pack(numbered, run, study.origin(run.approach)), parcels.images(study, approach)
    for array in images:
        array.flags.writeable = False  # as Ray lends them
    hidden = files.rename(files.with_name("hidden"))
    try:
        return parcels.do(parcel, *images)
    finally:
        hidden.rename(files)


@pytest.mark.parametrize("changes", [{}, {"keep_models": True}])
def test_a_parcel_leaves_what_a_local_run_leaves(cohort, tmp_path, changes):
    other = cohort.iloc[:6].reset_index(drop=True)
    here, there = (
        Study(tmp_path / name, cohort, TINY, seed=3, external={"other": other}, **changes)
        for name in ("here", "there")
    )
    run, images = Run("resnet50", 1, 2), Path(cohort["file"].iloc[0]).parent
    crossval.do_run(here, run)
    files, reason = elsewhere(there, run, images)
    assert reason == "" and len(files) == 3 + len(changes)
    parcels.unpack(there, run, files)
    assert there.done(run) and tables(here.folder) == tables(there.folder)
    first, second = (without_time(study, run) for study in (here, there))
    assert first == second and first["cohort"]["fingerprint"]
    if changes:
        first, second = (study.path(run, ".safetensors").read_bytes() for study in (here, there))
        assert first[-1000:] == second[-1000:] and len(first) == len(second)


def without_time(study: Study, run: Run) -> dict:
    facts = pd.read_json(study.path(run, ".json"), typ="series").to_dict()
    return {key: facts[key] for key in facts.keys() - {"seconds", "checksum", "files"}}


def test_a_third_class_and_shared_generators_travel_too(cohort, tmp_path, monkeypatch):
    third = cohort.assign(image_id="t" + cohort["image_id"], patient_id="t" + cohort["patient_id"])
    third = third[third["label"] == "P"].reset_index(drop=True)
    seen = []

    class Sharing(Fake):
        third_class, module = True, "sdnet"

        def fit(self, task):
            seen.append(task)
            file = task.shared.with_name(f"{task.shared.name}-made.safetensors")
            file.parent.mkdir(exist_ok=True)
            seen.append(file.exists())
            file.write_bytes(b"made once")
            return super().fit(task)

    for name in ("one", "two"):
        monkeypatch.setitem(registry.APPROACHES, name, Sharing(name))
    images = Path(cohort["file"].iloc[0]).parent
    study = Study(tmp_path / "runs", cohort, TINY, third_class=third)
    for name in ("one", "two"):
        run = Run(name, 0, 1)
        files, reason = elsewhere(study, run, images)
        assert reason == ""
        parcels.unpack(study, run, files)
    (first, before, second, after), plain = seen, study.task(Run("one", 0, 1))
    assert not before and after and not any(".shared" in name for name in files)
    for task in (first, second):
        assert (task.pixels == plain.pixels).all() and task.cohort.equals(plain.cohort)
    assert (study.folder / ".shared" / "r0f1-made.safetensors").read_bytes() == b"made once"


def test_what_goes_wrong_elsewhere_is_the_reason_here(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.APPROACHES, "fake", Fake(fails_on=1))
    images, run = Path(cohort["file"].iloc[0]).parent, Run("fake", 0, 0)
    study = Study(tmp_path, cohort, TINY)
    assert elsewhere(study, run, images) == ({}, "no luck")
    assert elsewhere(study, run, images)[1] == ""
    numbered = parcels.numbered(study)
    parcel = parcels.pack(numbered, run, {})._replace(needs={"torch": "0.4"})
    monkeypatch.setattr(parcels, "_needs", lambda _: {"torch": "2.0"})
    assert parcels.do(parcel)[1].endswith("torch is 2.0, 0.4 is needed")
    with pytest.raises(KeyError):
        parcels.why(KeyError("ours"))


def test_runs_that_share_what_they_learn_wait_for_each_other():
    runs = Study(Path(), pd.DataFrame(), TINY).runs(["resnet50", "fucitnet", "covid-sdnet"])
    found = driver.queues(runs)
    assert [len(queue) for queue in found] == [2] * 6 + [1] * 6
    assert list(found[1]) == [Run("fucitnet", 0, 1), Run("covid-sdnet", 0, 1)]
    models = ROOT / "sdnet_lib" / "models"
    sharing = {
        ".".join(file.relative_to(models).with_suffix("").parts)
        for file in models.rglob("*.py")
        if "task.shared" in file.read_text()
    }
    assert sharing == set(parcels.SHARING)


# The driver, with a Ray of straw.


def test_a_run_asks_for_its_part_of_a_gpu_where_there_are_any():
    machines = [(True, {"CPU": 8.0, "GPU": 2.0}), (True, {"CPU": 4.0}), (False, {"CPU": 64.0, "GPU": 8.0})]
    nodes = [{"Alive": alive, "Resources": resources} for alive, resources in machines]
    ray = SimpleNamespace(nodes=lambda: nodes)
    assert driver._resources(ray, 1) == ({"CPU": 1, "GPU": 1}, 2)
    assert driver._resources(ray, 0.25) == ({"CPU": 1, "GPU": 0.25}, 8)
    del nodes[0]
    assert driver._resources(ray, 1) == ({"CPU": 1}, 4)
    del nodes[0]
    with pytest.raises(InputError, match="no machine of the cluster has 1 CPU, which a run takes"):
        driver._resources(ray, 1)


class Lost(Exception):
    pass


def test_a_run_in_another_s_hands_is_waited_for_and_a_lost_one_is_named(cohort, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.APPROACHES, "fake", Fake())
    study, other = Study(tmp_path / "study", cohort, TINY), Study(tmp_path / "other", cohort, TINY)
    runs = study.runs(["fake"])[:3]
    study.open()
    crossval.do_run(other, runs[1])
    lock = FileLock(study.lock(runs[1]).lock_file, thread_local=False)
    lock.acquire()

    def finish() -> None:
        time.sleep(0.3)
        shutil.copytree(other.folder / "fake", study.folder / "fake")
        lock.release()

    def get(run: Run) -> tuple[dict, str]:
        if run == runs[2]:
            raise Lost("the node\ndied")
        return {}, "no luck"

    errors = SimpleNamespace(RayTaskError=KeyError, RayError=Lost)
    ray = SimpleNamespace(get=get, wait=lambda sent, timeout: (sent[:1], sent[1:]), exceptions=errors)
    sent = []
    send = lambda run: sent.append(run) or run  # noqa: E731
    thread = threading.Thread(target=finish)
    thread.start()
    found = dict(driver._results(ray, study, driver.queues(runs), send))
    thread.join()
    lost = f"its worker was lost {driver.RETRIES + 1} times (the node died)"
    assert found == {runs[0]: "no luck", runs[1]: "", runs[2]: lost}
    assert sent == [runs[0], runs[2]] and study.done(runs[1])


# Errors, before anything heavy is imported.


@pytest.mark.parametrize(
    "address, message",
    [
        ("127.0.0.1:1", "--ray 127.0.0.1:1: no cluster answers there (.*refused.*)"),
        ("ray://head:10001", "--ray ray://head:10001: say auto or the head"),
        ("head", "--ray head: say auto or the head"),
        ("127.0.0.1:99999", "--ray 127.0.0.1:99999: no cluster answers there"),
    ],
)
def test_a_wrong_address_is_one_line(address, message, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["sdnet", "cv", "cohort", "--approach", "x", "-o", "y", "--ray", address]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and re.match(f"sdnet: {message}", said) and len(said.splitlines()) == 1


def test_without_ray_it_says_how_to_install_it_and_imports_nothing_heavy(monkeypatch):
    script = (
        "import sys; from importlib import util; find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'ray' else find(name, *more)\n"
        "sys.argv = ['sdnet', 'cv', 'c', '--approach', 'x', '-o', 'y', '--ray', 'auto']\n"
        "from sdnet_lib.cli import main\n"
        "try: main.main()\n"
        "finally: print(*sorted({'ray', 'torch', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stdout == "\n"
    assert ran.stderr == "sdnet: --ray: Ray is not installed; pip install 'ray>=2.60,<3'\n"


def test_jobs_and_a_cluster_exclude_each_other(monkeypatch, capsys):
    argv = ["sdnet", "cv", "cohort", "--approach", "x", "-o", "y", "--ray", "auto", "--jobs", "2"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith("sdnet: --jobs: with --ray")


# From here on a real cluster: a head that computes nothing and two machines with one CPU each.

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def cluster():
    patch = pytest.MonkeyPatch()
    for name, value in ray_connection.SETTINGS.items():
        patch.setenv(name, value)
    patch.setenv("RAY_worker_niceness", "0")  # else a busy machine leaves its workers next to nothing
    from ray.cluster_utils import Cluster

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    place = tempfile.mkdtemp(prefix="ray-")  # its sockets want a short path
    patch.setenv("RAY_TMPDIR", place)  # here it notes its address too, where no other cluster does
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()
    patch.undo()
    decoder._end_all()  # those of this process, which does a study too
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=20)
    shutil.rmtree(place, ignore_errors=True)
    assert not alive


def start(cohort: pd.DataFrame, out: str | Path, address: str, folder: Path) -> subprocess.Popen:
    table = Path(cohort["file"].iloc[0]).parents[1]
    python = [sys.executable, "-I", "-c", "from sdnet_lib.cli.main import main; main()"]
    return subprocess.Popen(
        [*python, "cv", str(table), "--approach", "resnet50", "-o", str(out), *SIZE, "--ray", address],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
@needs_ray
def test_a_machine_is_lost_and_the_tables_are_those_of_a_local_study(cohort, cluster, tmp_path):
    """Then the folder is moved to a store, a run is taken away, and only that one is done again."""
    trap = tmp_path / "cwd"
    trap.mkdir()
    for name in ("timm", "filelock", "sdnet_lib"):
        (trap / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    here, there = tmp_path / "here", tmp_path / "there"
    ran = start(cohort, there, cluster.address, trap)
    while ran.poll() is None and not tables(there):
        time.sleep(0.05)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert len(tables(there)) < RUNS - 2  # one run at least was on each machine
    said, errors = ran.communicate(timeout=300)
    assert ran.returncode == 0 and f"{RUNS} of {RUNS} runs done, 2 at a time" in said and errors == ""
    profile = dataclasses.replace(crossval.get_profile("smoke"), image_size=32, repeats=4, folds=3)
    crossval.run_study(Study(here, cohort, profile), ["resnet50"])
    assert tables(there) == tables(here) and len(tables(here)) == RUNS
    assert not (tmp_path / "ran").exists()

    moved = there.rename(tmp_path / "moved")
    (moved / "resnet50" / "r2f1.parquet").unlink()
    times = {file: file.stat().st_mtime_ns for file in moved.rglob("r*.parquet")}
    again = start(cohort, f"file://{moved}", cluster.address, tmp_path)
    assert again.wait(300) == 0, again.stderr.read()
    assert all(file.stat().st_mtime_ns == made for file, made in times.items())
    assert tables(moved) == tables(here)
