"""The child that decodes: what happens to it is an error of one file, and nothing else."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from sdnet_lib.data import decoder
from sdnet_lib.data.images import ImageError, read_gray, write_gray
from tests.data import fuzz

FUZZED = 2000


@pytest.fixture
def film(tmp_path):
    write_gray(tmp_path / "a.png", np.linspace(0, 1, 64 * 64).reshape(64, 64))
    return tmp_path / "a.png"


def test_damaged_files_are_read_or_refused_and_end_nothing():
    results = fuzz.run(FUZZED, seed=0)
    assert sum(results.values()) == FUZZED
    assert results["read"] > FUZZED / 10 and results["refused"] > FUZZED / 10
    assert results["ends the decoder"] < FUZZED / 100  # else what is refused in words ends it too


def child_that(code, monkeypatch):
    """Replace the child by one that does something else when it is asked."""
    script = f"import os, signal, sys, time\nsys.stdin.readline()\n{code}"
    decoder._end_all()
    monkeypatch.setattr(
        decoder,
        "_start",
        lambda: subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ),
    )


@pytest.mark.parametrize(
    "code, reason",
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ends the decoder (SIGSEGV)"),
        ("os.abort()", "ends the decoder (SIGABRT)"),
        ("os.kill(os.getpid(), signal.SIGPROF)", "in 5 s of computing"),
        ("sys.exit(3)", "exit status"),
        ('print(\'{"shape": [64, 64], "warnings": [], "mode": "L"}\')', "ends the decoder"),
        ("time.sleep(60)", "within 0.2 s"),
    ],
)
def test_the_end_of_the_child_is_an_error_of_the_file(code, reason, film, monkeypatch):
    with monkeypatch.context() as patch:
        child_that(code, patch)
        if "sleep" in code:  # a busy machine may take longer to start any other child
            patch.setattr(decoder, "PATIENCE", 0.2)
        with pytest.raises(ImageError) as caught:
            read_gray(film)
    assert reason in str(caught.value) and caught.value.path == film
    assert read_gray(film).shape == (64, 64)  # the next child answers


def test_a_child_has_no_more_memory_than_it_may(tmp_path, film, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4000, 4000), np.uint8), compression="zlib")
    decoder._end_all()
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "MAX_MEMORY", 60_000_000)
        with pytest.raises(ImageError, match="takes over"):
            read_gray(tmp_path / "a.tif")
        assert read_gray(film).shape == (64, 64)
    decoder._end_all()


def test_threads_read_side_by_side_and_a_child_is_used_again(film, tmp_path):
    decoder._end_all()
    for number in range(8):
        write_gray(tmp_path / f"{number}.png", np.linspace(0, number + 1, 4096).reshape(64, 64) / 9)
    files = [tmp_path / f"{number % 8}.png" for number in range(64)]
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(read_gray, files))
    for number, image in enumerate(images):
        np.testing.assert_array_equal(image, images[number % 8])
    assert len({image.max() for image in images}) == 8
    assert 1 <= len(decoder._idle) <= 4
    before = [child.pid for child in decoder._idle]
    read_gray(film)
    assert sorted(child.pid for child in decoder._idle) == sorted(before)


def test_nothing_is_imported_from_the_working_directory(film, tmp_path, monkeypatch):
    for name in ("struct", "json", "numpy", "PIL", "random"):
        (tmp_path / f"{name}.py").write_text(f"open('{tmp_path}/was-here', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    decoder._end_all()
    assert read_gray("a.png").shape == (64, 64)
    assert not (tmp_path / "was-here").exists()


def test_the_child_ends_with_a_parent_that_was_killed(film, tmp_path):
    code = (
        "from sdnet_lib.data import decoder, images; import os, sys, time;"
        f"images.read_gray({str(film)!r}); print(decoder._idle[0].pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end and alive(child):
        time.sleep(0.02)
    assert not alive(child)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_forked_process_has_children_of_its_own(film):
    read_gray(film)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not decoder._idle and read_gray(film).shape == (64, 64) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert read_gray(film).shape == (64, 64)


def test_programs_that_pillow_would_start_are_not_started(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("L", (9, 9)).save(tmp_path / "b.png", "GIF")
    for name in ("a.png", "b.png"):
        with pytest.raises(ImageError, match="not an image"):
            read_gray(tmp_path / name)
    assert threading.active_count() < 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
@pytest.mark.parametrize("side, said", [(64, b'"shape": [64, 64]'), (8900, b"takes over 0.")])
def test_a_lower_limit_of_the_user_holds_and_is_what_is_said(side, said, tmp_path):
    write_gray(tmp_path / "a.png", np.tile(np.linspace(0, 1, side), (side, 1)))
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (450_000_000,) * 2);"
        "from sdnet_lib.data import decoder; decoder.serve(1_000_000_000, 60)"
    )
    question = json.dumps([str(tmp_path / "a.png"), False]).encode() + b"\n"
    ran = subprocess.run([sys.executable, "-c", code], input=question, capture_output=True, check=False)
    assert said in ran.stdout.splitlines()[0], ran.stderr
