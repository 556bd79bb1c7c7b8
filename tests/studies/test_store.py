import dataclasses
import sys

import fsspec
import pytest

from sdnet_lib.cli import main as cli
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.studies import crossval, store
from sdnet_lib.studies.study import Run, Study
from tests.studies.test_crossval import TINY, Fake

PLACE = "memory://bucket/study"


@pytest.fixture(autouse=True)
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/bucket", recursive=True)


@pytest.fixture
def fake(monkeypatch) -> Fake:
    one = Fake(fails_on=5)
    monkeypatch.setitem(registry.APPROACHES, "fake", one)
    return one


def test_a_study_in_a_store_goes_on_from_anywhere(toy_cohort, fake, memory, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.APPROACHES, "other", Fake("other"))
    plain = Study(tmp_path, toy_cohort, TINY)
    crossval.run_study(plain, ["other"])
    with store.folder(PLACE) as (folder, _), pytest.raises(InputError, match="no luck"):
        crossval.run_study(Study(folder, toy_cohort, TINY), ["fake"])
    assert not folder.exists() and len(fake.tasks) == 6
    with store.folder(PLACE) as (folder, put):
        again = Study(folder, toy_cohort, TINY)
        assert again.plan(["fake"])["done"].sum() == 5
        crossval.run_study(again, ["fake", "other"])
        before = len(memory.find("/bucket"))
        put()
        assert len(memory.find("/bucket")) == before + 2 * 7
    assert len(fake.tasks) == 7
    for name in ("r0f0", "r1f2"):
        stored = memory.cat_file(f"/bucket/study/other/{name}.parquet")
        assert stored == (tmp_path / "other" / f"{name}.parquet").read_bytes()
    left = {name.removeprefix("/bucket/study/") for name in memory.find("/bucket")}
    assert len(left) == 1 + 2 * 12 and "study.json" in left and not any(".locks" in name for name in left)


def test_a_seal_never_comes_before_what_it_seals(toy_cohort, memory, monkeypatch):
    monkeypatch.setitem(registry.APPROACHES, "fake", Fake())
    came, pipe = [], type(memory).pipe_file
    note = lambda self, path, *more, **options: (came.append(path), pipe(self, path, *more, **options))  # noqa: E731
    monkeypatch.setattr(type(memory), "pipe_file", note)
    with store.folder(PLACE) as (folder, _):
        study = Study(folder, toy_cohort, dataclasses.replace(TINY, repeats=1))
        study.open()
        crossval.do_run(study, Run("fake", 0, 0))
    assert [name.rpartition("/")[2] for name in came] == ["r0f0.parquet", "r0f0.json", "study.json"]


def test_shared_generators_are_stored_too_but_nothing_half_done(memory):
    with store.folder(PLACE) as (folder, put):
        for name in (".shared/r0f0-a.safetensors", ".shared/.r0f0.1.part", ".locks/a.lock", ".study.lock"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("x")
        put()
        assert memory.find("/bucket") == ["/bucket/study/.shared/r0f0-a.safetensors"]


@pytest.mark.parametrize("place", ["nonsense://bucket/study", "memory://bucket/study"])
def test_a_store_that_fails_is_one_line(place, monkeypatch, capsys, memory):
    def gone(*_, **__):
        raise KeyError("the bucket\nis gone")

    memory.pipe_file("/bucket/study/study.json", b"{}")
    monkeypatch.setattr(type(memory), "cat_file", gone)
    monkeypatch.setattr(sys, "argv", ["sdnet", "tables", place])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith(f"sdnet: {place}: ") and len(said.splitlines()) == 1


def test_a_name_that_leads_out_of_the_study_is_refused(memory, tmp_path, monkeypatch):
    memory.pipe_file("/bucket/study/study.json", b"{}")
    monkeypatch.setattr(type(memory), "find", lambda self, root: [f"{root}/../../out.txt"])
    with pytest.raises(InputError, match=r"out\.txt: a name that leads out"), store.folder(PLACE):
        pass
