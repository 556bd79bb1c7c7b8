"""What is half-written is locked by its process, and swept when that is dead."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
import torch

from sdnet_lib.files import new_folder, temporary, whole, write_text

HOLD = """
import sys, time
from pathlib import Path
from sdnet_lib.files import new_folder, whole
from sdnet_lib.files.temporary import private_folder

target = Path(sys.argv[2])
lend = {"file": lambda: whole(target), "folder": lambda: new_folder(target), "private": private_folder}
with lend[sys.argv[1]]() as part:
    (part / "film.png").write_text("x") if part.is_dir() else part.write_text("half")
    print(part, flush=True)
    time.sleep(600)
"""


def hold(kind, target, **environment):
    """Start a process that is writing; return it and where it writes."""
    command = [sys.executable, "-c", HOLD, kind, str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("kind", ["file", "folder", "private"])
def test_what_a_living_process_writes_stays_and_what_a_dead_one_left_goes(kind, tmp_path):
    process, part = hold(kind, tmp_path / "target", TMPDIR=str(tmp_path))
    try:
        temporary.sweep(tmp_path, again=True)
        assert os.path.exists(part)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert os.path.exists(part)
    temporary.sweep(tmp_path, again=True)
    assert list(tmp_path.iterdir()) == []


def test_the_next_writer_sweeps_its_folder(tmp_path):
    process, part = hold("file", tmp_path / "target")
    process.kill()
    process.communicate()
    write_text(tmp_path / "other", "whole")
    assert [file.name for file in tmp_path.iterdir()] == ["other"]


def test_what_is_not_ours_is_left_alone(tmp_path):
    names = [".film.part", "film.0123abcd.part", ".film.0123ABCD.part", "sdnet.part", ".hidden"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / "else.where").mkdir()
    (tmp_path / ".a.0123abcd.part").symlink_to(tmp_path / "else.where")
    temporary.sweep(tmp_path, again=True)
    assert {file.name for file in tmp_path.iterdir()} == {*names, "else.where", ".a.0123abcd.part"}


def test_nobody_else_may_look_into_a_private_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    before = os.umask(0)
    try:
        with temporary.private_folder() as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and folder.parent == tmp_path
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_what_is_swept_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    lock, tried = temporary._lock, []

    def late(part):
        tried.append(part)
        if len(tried) == 1:
            part.rmdir()  # as another process does that has found it unlocked
        if len(tried) == 2:
            raise BlockingIOError  # another process has it in hand, and is about to remove it
        return lock(part)

    monkeypatch.setattr(temporary, "_lock", late)
    with whole(tmp_path / "a") as part:
        part.write_text("whole")
        assert part.is_relative_to(tried[2])
    assert len(tried) == 3 and (tmp_path / "a").read_text() == "whole"


SWEEP = """
import sys
from pathlib import Path
from sdnet_lib.files import temporary

temporary.sweep(Path(sys.argv[1]))
"""
WRITE = """
import sys
from pathlib import Path
from sdnet_lib.files import new_folder, temporary, write_text

for number in range(150):
    temporary.sweep(Path(sys.argv[1]), again=True)
    with new_folder(Path(sys.argv[1]) / f"{sys.argv[2]}-{number}") as part:
        write_text(part / "a", "whole")
"""


def swept_by_another(folder):
    """Have another process remove what it takes for left by a dead one."""
    subprocess.run([sys.executable, "-c", SWEEP, str(folder)], check=True)


@pytest.mark.parametrize("inner", [new_folder, "rename"])
def test_a_folder_stays_ours_when_it_is_replaced_while_it_is_made(inner, tmp_path):
    with new_folder(tmp_path / "cohort") as part:
        if inner == "rename":
            (tmp_path / "made").mkdir()
            (tmp_path / "made").rename(part)
        else:
            with inner(part) as again:
                (again / "film.png").write_text("x")
        swept_by_another(tmp_path)
        (part / "seal.json").write_text("{}")
    assert (tmp_path / "cohort" / "seal.json").exists() and len(list(tmp_path.iterdir())) == 1


def test_a_file_stays_ours_when_it_is_replaced_while_it_is_made(tmp_path):
    with whole(tmp_path / "model") as part:
        write_text(part, "first")
        swept_by_another(tmp_path)
        assert part.read_text() == "first"
    assert (tmp_path / "model").read_text() == "first" and len(list(tmp_path.iterdir())) == 1


def test_torch_writes_to_what_is_lent(tmp_path):
    with whole(tmp_path / "model.pth") as part:
        torch.save({"weights": torch.ones(2)}, part)
    assert torch.load(tmp_path / "model.pth")["weights"].tolist() == [1, 1]


def test_writers_and_sweepers_side_by_side_lose_nothing(tmp_path):
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    writers = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(4)]
    assert [writer.communicate()[1] for writer in writers] == [b""] * 4
    assert len(list(tmp_path.glob("*/a"))) == 600 and len(list(tmp_path.iterdir())) == 600


def test_a_place_that_cannot_be_written_is_named_as_the_caller_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/a'$"), temporary.part_of(tmp_path / "file" / "a"):
        pass


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path):
    texts = [f"{number}" * 10_000 for number in range(8)]
    threads = [threading.Thread(target=write_text, args=(tmp_path / "a", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in texts and len(list(tmp_path.iterdir())) == 1


def test_a_new_folder_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a") as part:
        (part / "b").write_text("x")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
