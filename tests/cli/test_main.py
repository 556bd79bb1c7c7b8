"""The command line: one clear line for what a user can get wrong, never a traceback."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_scripts import registry
from sdnet_lib.cli import main as cli
from sdnet_lib.cli import process


def sdnet(*arguments, **options):
    """Run the real command and return exit status, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "sdnet_lib.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def run(monkeypatch, capsys, *arguments):
    """Run the command inside this process: quicker."""
    monkeypatch.setattr(sys, "argv", ["sdnet", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_help_names_the_commands_and_imports_nothing_heavy():
    check = (
        "import sys; sys.argv = ['sdnet', '--help']\n"
        "from sdnet_lib.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules, 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in (
        "book",
        "phantom",
        "data",
        "crop",
        "audit",
        "build",
        "approaches",
        "cv",
        "train",
        "predict",
        "tables",
        "bench",
        "maintain",
    ):
        assert command in done.stdout


def test_version(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--version")
    assert code == 0 and out.startswith("sdnet 0.")


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["nonsense"], "No such command"),
        (["book", "--colour"], "No such option"),
        (["book", "--seed", "many"], "Invalid value for '--seed'"),
        (["phantom", "--n", "0", "-o", "x"], "Invalid value for '--n'"),
        (["phantom", "--n", "4"], "Missing option"),
        (["crop"], "Missing argument"),
        (
            ["book", "--profile", "huge"],
            "sdnet: unknown profile 'huge': choose one of smoke, quick, full, paper",
        ),
        (["book", "--only", "99"], "sdnet: --only '99' is not one of"),
        (["book", "--data", "/no/such"], "sdnet: --data /no/such: no such folder"),
        (["book", "--dataset", "no-such"], "sdnet: no-such: no such file or folder"),
        (["data", "get", "no-such"], "no-such"),
        (["data", "check", "no-such"], "no-such"),
        (["crop", "no-such", "-o", "x"], "no-such"),
        (["audit", "no-such", "-o", "x"], "sdnet: no-such: no such file or folder"),
        (["cv", "no-such", "--approach", "resnet50", "-o", "x"], "sdnet: no-such: no such file or folder"),
        (["cv", "phantom", "-o", "x"], "Missing option '--approach'"),
        (["cv", "phantom", "--approach", " , ", "-o", "x"], "sdnet: unknown approach ''"),
        (["cv", "phantom", "--approach", "resnet50", "-o", f"{__file__}/x"], "test_main.py is no folder"),
        (["train", "phantom", "--approach", "resnet50", "-o", f"{__file__}/x.safetensors"], "is no folder"),
        (["train", "phantom", "--approach", "resnet50", "-o", "."], "sdnet: .: a folder; name a file"),
        (["predict", "no-such", "-o", __file__], "test_main.py is no folder"),
        (["audit", "phantom", "-o", __file__], "test_main.py is no folder"),
        (["crop", "phantom", "-o", "x", "--labels", "=P"], "sdnet: --labels =P: "),
        (["crop", "phantom", "-o", "x", "--labels", "A=P,A=N"], "sdnet: --labels A=N: "),
        (["tables", "no-such"], "no-such"),
        (["bench", "no-such"], "sdnet: unknown stage 'no-such': choose from phantom"),
    ],
)
def test_bad_input_is_told_in_a_line_and_ends_with_2(monkeypatch, capsys, tmp_path, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert complaint in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_phantom_writes_a_cohort(monkeypatch, capsys, tmp_path):
    out = tmp_path / "made"
    monkeypatch.setattr(sys, "argv", f"sdnet phantom --n 4 --seed 1 --size 64 -o {out}".split())
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert (out / "cohort.csv").exists()
    assert len(list((out / "images").iterdir())) == 4


def test_data_list_names_the_registered_sets(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "data", "list")
    assert code == 0
    for name in ("phantom", "phantom-biased", "covidgr", "covidx-mini", "shenzhen", "mimic-cxr", "covidx2"):
        assert f"\n{name} " in f"\n{out}"
    (rsna,) = (row for row in registry.describe() if row.name == "rsna-pneumonia")
    assert f"{rsna.size}; licence: {rsna.licence}" in out


def test_an_output_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = sdnet("phantom", "--n", 2, "--size", 64, "-o", tmp_path / "file" / "cohort")
    assert code == 2
    assert err.startswith("sdnet: ") and err.count("\n") == 1


def test_a_working_directory_that_is_gone(monkeypatch, capsys, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _, err = run(monkeypatch, capsys, "predict", tmp_path, "-o", tmp_path / "out")
    assert (code, err) == (2, "sdnet: the working directory is gone: change to one that is there\n")


def test_a_full_disk_is_told_in_one_line(monkeypatch, capsys):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr("sdnet_lib.publish.build.build", full)
    code, _, err = run(monkeypatch, capsys, "book")
    assert (code, err) == (2, "sdnet: /some/file: no space left on the disk\n")


def test_a_broken_book_ends_with_1(monkeypatch, capsys):
    from sdnet_lib.publish.build import BookError

    def broken(*arguments, **options):
        raise BookError("01_a.ipynb, cell 3:\n    ZeroDivisionError")

    monkeypatch.setattr("sdnet_lib.publish.build.build", broken)
    code, _, err = run(monkeypatch, capsys, "book")
    assert (code, err) == (1, "sdnet: 01_a.ipynb, cell 3:\n    ZeroDivisionError\n")


def test_interrupted_says_so_and_ends_with_130(tmp_path):
    program = (
        "import sys, time; sys.argv = ['sdnet', 'book']\n"
        "import sdnet_lib.publish.build\n"
        "def wait(**options):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(30)\n"
        "sdnet_lib.publish.build.build = wait\n"
        "from sdnet_lib.cli.main import main\n"
        "main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (130, "sdnet: interrupted\n")


def test_sigterm_leaves_nothing(tmp_path):
    command = [
        sys.executable,
        "-m",
        "sdnet_lib.cli.main",
        "phantom",
        "--n",
        "4000",
        "-o",
        str(tmp_path / "out"),
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    end = time.monotonic() + 60
    while not any(file.is_file() for file in tmp_path.rglob("*.png")) and time.monotonic() < end:
        time.sleep(0.05)
    running.terminate()
    said = running.communicate(timeout=30)[1]
    assert running.returncode == 143 and said.strip().endswith("sdnet: interrupted")
    assert list(tmp_path.iterdir()) == []


def test_names_of_files_do_not_command_the_terminal(monkeypatch, capsys, tmp_path, make_cohort):
    red = "\x1b[31m\u202e\x07"
    folder = tmp_path / f"films{red}"
    for label in "NP":
        make_cohort(folder / label, 4)
    (folder / "N" / f"notes{red}.txt{red}").write_text("x")
    (folder / "severity.csv").write_text("Name,Severity\n" + "".join(f"{n}.png,Mild\n" for n in range(4)))
    commands = [
        ["crop", folder, "-o", tmp_path / f"crops{red}"],
        ["crop", folder / "N", "-o", tmp_path / "x"],
        ["predict", folder, "-o", tmp_path / f"out{red}"],
        ["predict", folder / "severity.csv", "-o", tmp_path / f"out2{red}"],
        ["cv", folder, "--approach", "resnet50", "-o", tmp_path / f"runs{red}", "--plan", "--folds", "2"],
        ["tables", tmp_path / f"runs{red}"],
        ["train", folder, "--approach", "resnet50", "-o", tmp_path / f"model{red}"],
        ["book", "--dataset", folder / f"cohort{red}.csv"],
        ["data", "list", "--data", tmp_path / f"data{red}"],
    ]
    for command in commands:
        _, out, err = run(monkeypatch, capsys, *command)
        assert not set(out + err) & set(red.replace("[31m", "")), command
        assert "\\x1b[31m" in out + err or command[0] == "data", (command, out, err)


def test_all_commands_speak_through_one_function():
    """Which shows no escape sequence; see the test above."""
    folder = Path(cli.__file__).parent
    found = [
        f"{file.name}: {line.strip()}"
        for file in sorted(folder.glob("*.py"))
        for line in file.read_text().splitlines()
        if re.search(r"\becho\(|\bprint\(|std(out|err)\.write", line)
    ]
    assert {line.split(":")[0] for line in found} == {"process.py"} and len(found) == 3


class TinyError(Exception):
    pass


@pytest.mark.parametrize(
    "error, status, said",
    [
        (OSError(28, "No space left on device", "/some/file"), 2, "/some/file: no space left on the disk"),
        (MemoryError(), 2, "not enough memory"),
        (OSError(24, "Too many open files"), 2, "too many open files: raise the limit (ulimit -n)"),
    ],
)
def test_what_the_machine_refuses_is_one_line(monkeypatch, capsys, error, status, said):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr("sdnet_lib.publish.build.build", refuse)
    code, _, err = run(monkeypatch, capsys, "book")
    assert (code, err) == (status, f"sdnet: {said}\n")


@pytest.mark.parametrize("cache", ["/some/cache", ""])
def test_where_there_is_no_home_the_cache_is_one(monkeypatch, cache):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(process.Path, "home", homeless)
    monkeypatch.setenv("SDNET_CACHE", cache)
    monkeypatch.setenv("HOME", "/as/it/was")
    process._be_somebody()
    assert os.environ["HOME"] == (cache or "/as/it/was")


def test_our_own_faults_keep_their_traceback(monkeypatch):
    def broken(*arguments, **options):
        raise TinyError("a bug")

    monkeypatch.setattr("sdnet_lib.publish.build.build", broken)
    monkeypatch.setattr(sys, "argv", ["sdnet", "book"])
    with pytest.raises(TinyError):
        cli.main()


def test_libraries_do_not_chatter_and_errors_are_seen(tmp_path):
    """In this process, its threads and its workers; `python -W default` shows warnings."""
    code = (
        "import logging, sys, threading, warnings\n"
        "from joblib import delayed\n"
        "from sdnet_lib.cli import process\n"
        "from sdnet_lib.workers import workers\n"
        "process.begin()\n"
        "def chatter(number):\n"
        "    import os, warnings, logging\n"
        "    warnings.warn('blah')\n"
        "    logging.getLogger('library').warning('blah')\n"
        "    if number < 2: os.write(2, b'')\n"
        "thread = threading.Thread(target=chatter, args=(0,))\n"
        "thread.start(); thread.join(); chatter(1)\n"
        "with workers(2, 'generator') as parallel:\n"
        "    list(parallel(delayed(chatter)(2) for _ in range(4)))\n"
        "logging.getLogger('library').error('broken')\n"
    )
    for flags, heard in (([], False), (["-W", "default"], True)):
        done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("blah" in done.stderr) is heard and "broken" in done.stderr
