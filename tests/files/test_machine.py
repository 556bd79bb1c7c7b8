"""What a machine refuses is one line that names file and cause; what is our own fault is not."""

import errno
import subprocess
import sys

import numpy as np
import pytest
import torch

from sdnet_lib.files import InputError, machine, new_folder, whole


def caught(action):
    with pytest.raises(Exception) as error:
        action()
    return error.value


@pytest.mark.parametrize(
    "error, said",
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y.png"), "/x/y.png: no space left on the disk"),
        (OSError(errno.EROFS, "Read-only file system", b"/x"), "/x: Read-only file system"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files: raise the limit (ulimit -n)"),
        (OSError("no\nnumber"), "no number"),
        (MemoryError(), "not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no further thread"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 9"), "a file could not be"),
        (RuntimeError("Could not determine home directory."), "no home folder: say in SDNET_CACHE"),
        (ValueError("a bug"), None),
        (ZeroDivisionError(), None),
    ],
)
def test_one_line_or_nothing(error, said):
    found = machine.reason(error)
    assert found is None if said is None else found.startswith(said) and "\n" not in found


def test_libraries_that_run_out_of_memory():
    for action in (lambda: np.empty(1 << 50), lambda: torch.empty(1 << 48)):
        assert machine.reason(caught(action)) == "not enough memory"


@pytest.mark.parametrize("lend", [whole, new_folder])
def test_the_file_that_was_wanted_is_named_not_the_part(lend, tmp_path):
    def full(filename=None):
        with lend(tmp_path / "wanted") as part:
            raise OSError(
                errno.ENOSPC, "No space left on device", *([str(part / filename)] if filename else [])
            )

    for filename in (None, "inside"):
        assert machine.reason(caught(lambda name=filename: full(name))) == (
            f"{tmp_path / 'wanted'}: no space left on the disk"
        )
    assert list(tmp_path.iterdir()) == []


def test_another_file_keeps_its_name(tmp_path):
    def missing():
        with whole(tmp_path / "wanted"):
            (tmp_path / "other").read_bytes()

    assert machine.reason(caught(missing)) == f"{tmp_path / 'other'}: No such file or directory"


def test_an_input_error_is_left_to_those_who_know_it():
    assert machine.reason(InputError("bad row")) is None


@pytest.mark.parametrize(
    "soft, hard, said", [(64, 4096, "128"), (64, 64, "Too many open files"), (256, 256, "256")]
)
def test_files_are_allowed_as_far_as_the_system_lets(soft, hard, said):
    code = (
        "import resource as r; from sdnet_lib.files import machine;"
        f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard})); machine.allow_files(128);"
        "print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout or ran.stderr).strip().endswith(said)


def test_a_real_full_disk(tmp_path):
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    ).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        from sdnet_lib.files import write_bytes

        write_bytes(tmp_path / "small", b"x")
        error = caught(lambda: write_bytes(tmp_path / "large", bytes(1 << 20)))
        assert machine.reason(error) == f"{tmp_path / 'large'}: no space left on the disk"
        assert [file.name for file in tmp_path.iterdir()] == ["small"]
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
