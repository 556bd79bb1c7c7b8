"""Chapters run side by side with one thread each; what they print is sorted; no kernel outlives a build."""

import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_output
from PIL import Image

import sdnet_lib
from sdnet_lib.checksums import beside, write_seal
from sdnet_lib.publish import execution
from sdnet_lib.publish.execution import BookError, Chapter
from tests.publish.tiny_course import notebook, write

THREADED = (
    "import torch\n"
    "torch.manual_seed(0)\n"
    "big = torch.randn(700, 700)\n"
    "print(torch.get_num_threads(), (big @ big).sum().item(), torch.randn(10**6).sum().item())"
)


def run(tmp_path, *, parameters=None, **options):
    """Run notebooks given by name, without making pages; return their executed copies by name."""
    notebooks = {name: value for name, value in options.items() if not isinstance(value, int)}
    options = {name: value for name, value in options.items() if name not in notebooks}
    for name, content in notebooks.items():
        nbformat.write(content, tmp_path / f"{name}.ipynb")
    done = tmp_path / "executed"
    chapters = [Chapter(tmp_path / f"{n}.ipynb", done / f"{n}-0.ipynb", parameters or {}) for n in notebooks]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    execution.run(chapters, scratch, tmp_path, **options)
    return {chapter.notebook.stem: nbformat.read(chapter.target, 4) for chapter in chapters}


def printed(executed):
    return "".join(o.text for c in executed.cells for o in c.get("outputs", []) if o.get("name") == "stdout")


def test_numbers_depend_neither_on_jobs_nor_on_threads(tmp_path, monkeypatch):
    found = set()
    for jobs in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", f"{jobs + 1}")  # a user's own, which does not count
        folder = tmp_path / f"{jobs}"
        folder.mkdir()
        executed = run(folder, jobs=jobs, **{f"{job}": notebook(THREADED) for job in range(jobs)})
        found |= {printed(one) for one in executed.values()}
    assert len(found) == 1 and found.pop().startswith("1 ")


def test_chapters_run_at_the_same_time_apart_from_each_other(tmp_path):
    here, there = tmp_path / "a_runs", tmp_path / "b_runs"
    meet = "import os, time\nfrom pathlib import Path\nPath({!r}).touch()\nend = time.monotonic() + 60\n"
    meet += "while not Path({!r}).exists():\n    assert time.monotonic() < end\n    time.sleep(0.05)\n"
    meet += "print(os.getcwd(), os.environ['IPYTHONDIR'], os.listdir())"
    cells = notebook(meet.format(str(here), str(there))), notebook(meet.format(str(there), str(here)))
    executed = run(tmp_path, a=cells[0], b=cells[1], jobs=2)
    (cwd_a, home_a, empty_a), (cwd_b, home_b, empty_b) = (printed(e).split() for e in executed.values())
    assert cwd_a != cwd_b and home_a != home_b and empty_a == empty_b == "[]"


def test_a_failing_chapter_lets_the_others_finish(tmp_path, capsys):
    with pytest.raises(BookError) as error:
        run(tmp_path, a=notebook("1 / 0"), b=notebook("int('x')"), c=notebook("print('done')"), jobs=3)
    assert "a.ipynb, cell 2 (1 / 0)" in str(error.value) and "b.ipynb, cell 2" in str(error.value)
    assert [file.name for file in (tmp_path / "executed").glob("*.ipynb")] == ["c-0.ipynb"]
    assert sorted(file.name for file in (tmp_path / "failed").iterdir()) == ["a.ipynb", "b.ipynb"]
    lines = capsys.readouterr().out.splitlines()
    assert sorted(re.sub(r"\s+\d+\.\d s", "", line) for line in lines) == [
        "a.ipynb, failed",
        "b.ipynb, failed",
        "c.ipynb",
    ]


def test_the_longest_comes_first(tmp_path):
    executed = tmp_path / "executed"
    executed.mkdir()

    def order():
        files = sorted(tmp_path.glob("*.ipynb"))
        chapters = [Chapter(file, executed / f"{file.stem}-new.ipynb", {}) for file in files]
        return [chapter.notebook.stem for chapter in execution.longest_first(chapters)]

    for name, seconds in (("a", {"seconds": 5}), ("b", {}), ("c", {"seconds": 50})):
        source = notebook("1")
        source.metadata.update(seconds)
        nbformat.write(source, tmp_path / f"{name}.ipynb")
    assert order() == ["b", "c", "a"]  # one that nobody has run comes first
    for name, seconds in (("a", 9.5), ("b", 1.5), ("c", 3.5)):
        ran = notebook("1")
        ran.metadata["papermill"] = {"duration": seconds}
        nbformat.write(ran, executed / f"{name}-old.ipynb")
        write_seal(beside(executed / f"{name}-old.ipynb"), {}, executed / f"{name}-old.ipynb")
    assert order() == ["a", "c", "b"]


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder that kernels import from, as if its modules were installed libraries."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return folder


STILLBORN = """
import os, sys
from pathlib import Path

tries = Path(__file__).with_name("tries")
if "ipykernel_launcher" in sys.orig_argv:
    so_far = int(tries.read_text()) if tries.exists() else 0
    tries.write_text(str(so_far + 1))
    if so_far < {deaths}:
        os._exit(1)
"""


def test_a_kernel_that_does_not_start_is_started_again(packages, tmp_path):
    (packages / "sitecustomize.py").write_text(STILLBORN.format(deaths=2))
    assert printed(run(tmp_path, one=notebook("print('alive')"))["one"]) == "alive\n"
    assert (packages / "tries").read_text() == "3"


def test_a_kernel_that_never_starts_is_said(packages, tmp_path):
    (packages / "sitecustomize.py").write_text(STILLBORN.format(deaths=9))
    with pytest.raises(BookError, match="Kernel died before replying"):
        run(tmp_path, one=notebook("print('alive')"))
    assert (packages / "tries").read_text() == "3"


def test_a_warning_of_a_library_stops_only_a_strict_build(packages, tmp_path, capsys):
    (packages / "noisy.py").write_text("import warnings\ndef work():\n    warnings.warn('I am old')\n")
    cells = notebook("import noisy\nnoisy.work()\nprint('worked')")
    executed = run(tmp_path, a=cells)["a"]
    assert printed(executed) == "worked\n"
    assert "a.ipynb, cell 2, on stderr:\n" in (tmp_path / "book.log").read_text()
    assert "noisy.py:3: UserWarning: I am old" in (tmp_path / "book.log").read_text()
    assert "text on stderr: see" in capsys.readouterr().out
    (tmp_path / "scratch").rename(tmp_path / "before")
    with pytest.raises(BookError, match="cell 2: text on stderr: .*UserWarning: I am old"):
        run(tmp_path, a=cells, strict=True)


@pytest.mark.parametrize(
    "source",
    [
        "import warnings\nwarnings.warn('mine')",
        "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()",
    ],
)
def test_a_warning_of_a_cell_and_a_traceback_stop_every_build(tmp_path, source):
    with pytest.raises(BookError, match="cell 2: text on stderr"):
        run(tmp_path, a=notebook(source))


def executed_with(*outputs):
    executed = notebook("1", "2")
    for count, cell in enumerate(executed.cells[1:], 1):
        cell.execution_count = count
    executed.cells[3].outputs = list(outputs)
    return executed


def stderr(text):
    return new_output("stream", name="stderr", text=text)


OURS = f"{sdnet_lib.__path__[0]}/evaluation/metrics.py:12:"


@pytest.mark.parametrize(
    "text, stops",
    [
        (f"{OURS} UserWarning: too few images\n  warn(", True),
        (f"{OURS} RuntimeWarning: invalid value encountered in divide\n  a / b", True),
        (f"first another line\n{OURS} UserWarning: too few images", True),
        ("/tmp/ipykernel_42/123.py:1: UserWarning: careful", True),
        (f"{OURS} FutureWarning: this will change", False),
        (f"{OURS} VisibleDeprecationWarning: use another function", False),
        ("/usr/lib/python3/site-packages/numpy/core.py:9: RuntimeWarning: overflow", False),
        ("[W714 10:00:00 Module.cpp:12] Warning: a native library", False),
        ("INFO: a logger", False),
        ("Traceback (most recent call last):\n  File ...\nValueError: bad", True),
    ],
)
def test_whose_text_on_stderr_it_is(text, stops):
    executed = executed_with(stderr(text))
    assert bool(execution.problems(executed)) is stops
    assert execution.problems(executed, strict=True)
    split = executed_with(stderr(text[:20]), new_output("stream", name="stdout", text="1"), stderr(text[20:]))
    assert execution.problems(split) == execution.problems(executed)


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda cell: cell.update(execution_count=None), "execution count None where 3 is due"),
        (lambda cell: cell.update(execution_count=7), "execution count 7 where 3 is due"),
        (
            lambda cell: cell.outputs.append(
                new_output("error", ename="ValueError", evalue="bad", traceback=[])
            ),
            "ValueError: bad",
        ),
    ],
)
def test_problems_of_stored_notebooks(change, complaint):
    executed = executed_with()
    assert execution.problems(executed) == []
    change(executed.cells[3])
    assert complaint in execution.problems(executed)[0]


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_build_leaves_no_kernel_and_no_half_written_file(tmp_path, how):
    """The kernel computes and has a process of its own: both end with the command."""
    kernels = tmp_path / "kernels"
    busy = (
        "import os, subprocess, sys\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"with open({str(kernels)!r}, 'a') as file:\n"
        "    print(os.getpid(), other.pid, file=file, flush=True)\n"
        "while True:\n    sum(range(10**7))"
    )
    root = write(tmp_path / "course", **{"01_a": notebook(busy), "02_b": notebook(busy)})
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from sdnet_lib.cli import main as cli\nfrom sdnet_lib.publish import build\n"
        f"build.PACKAGE = Path({str(root / 'sdnet_lib')!r})\n"
        "sys.argv = ['sdnet', 'book', '--jobs', '2']\ncli.main()"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 120
        while not (kernels.exists() and len(kernels.read_text().split()) == 4):
            assert time.monotonic() < end and command.poll() is None, command.communicate()
            time.sleep(0.1)
        family = psutil.Process(command.pid).children(recursive=True)
        assert len(family) >= 6  # two times papermill, its kernel, and what that started
        command.send_signal(how)
        command.communicate(timeout=60)
        assert command.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
    finally:
        command.kill()  # its kernels end with it
    if how != signal.SIGKILL:
        assert {file.name for file in (root / "_build").rglob("*") if file.is_file()} <= {".lock"}


def test_a_home_that_cannot_be_written_and_an_odd_picture_stop_no_book(tmp_path, monkeypatch):
    """Not even a strict one: what libraries say of either is nobody's business."""
    film = tmp_path / "film.jpg"
    Image.effect_noise((60, 60), 80).save(film, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0")
    monkeypatch.setenv("HOME", "/proc/1/fdinfo")
    look = (
        "import matplotlib.pyplot as plt\nfrom sdnet_lib.data.images import read_gray\n"
        f"plt.imshow(read_gray({str(film)!r}))\nprint('seen')"
    )
    executed = run(tmp_path, a=notebook(look), strict=True)["a"]
    assert "seen" in printed(executed) and not (tmp_path / "book.log").read_text()


@pytest.mark.parametrize(
    "source, status, said",
    [
        ("raise OSError(28, 'No space left on device', '/x')", 2, "): /x: no space left on the disk"),
        ("raise MemoryError", 2, "): not enough memory"),
        ("raise ImportError('libx.so: failed to map segment')", 2, "): not enough memory"),
        ("from sdnet_lib.files import InputError\nraise InputError('bad row')", 2, "): bad row"),
        ("open('/no/such')", 1, "FileNotFoundError"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_what_is_not_the_book_s_fault_is_one_line(tmp_path, source, status, said):
    with pytest.raises(BookError) as error:
        run(tmp_path, a=notebook(source))
    text = str(error.value)
    assert error.value.status == status and said in text
    assert status == 1 or (text.startswith("a.ipynb, cell 2 (") and text.endswith(said))


def test_a_kernel_that_is_killed_is_one_line(tmp_path):
    with pytest.raises(
        BookError, match=r"a\.ipynb, cell 2 \(import os, signal\): its kernel was killed"
    ) as error:
        run(tmp_path, a=notebook("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))
    assert error.value.status == 2
