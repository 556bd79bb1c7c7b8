"""`sdnet build`: a release and its audit from one command; one line at once for what cannot be."""

import resource
import subprocess
import sys

import pytest

from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.phantom import archive


def sdnet(*arguments, **options):
    """Run the real command; return exit status, stdout, stderr and the seconds that it computed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-m", "sdnet_lib.cli.main", "build", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    return (
        done.returncode,
        done.stdout,
        done.stderr,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    archive.write(folder, patients=70, size=96)
    return folder


def arguments(source, out, **changes):
    options = {
        "--pcr": source / archive.PCR,
        "--readings": source / archive.READINGS,
        "-o": out,
        "--salt": source / "salt",
        "--burnt-in": "absent",
        "--jobs": 1,
    } | changes
    return [source / archive.FILMS, *(part for option in options.items() for part in option)]


def test_one_command_makes_a_release_and_audits_it(source, tmp_path):
    status, said, errors, _ = sdnet(*arguments(source, tmp_path / "release"))
    assert status == 0, errors
    cohort = read_cohort(tmp_path / "release")
    assert f"{len(cohort)} films" in said and "in the archive" in said and "verdict:" in said
    assert (tmp_path / "release-audit" / "audit.html").exists() and (tmp_path / "release-private").is_dir()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--pcr": "none.csv"}, "none.csv: no such file"),
        ({"--burnt-in": "perhaps"}, "--burnt-in perhaps: choose from search, absent"),
        ({"--balance": "class,height"}, "--balance height: choose from class, severity, sex, age"),
        ({"--kvp": "much"}, "--kvp much: write the lowest and the highest"),
        ({"--kvp": "140-100"}, "--kvp 140-100: write the lowest and the highest"),
        ({"--kvp": "nan-nan"}, "--kvp nan-nan: write the lowest and the highest"),
        ({"--marker": "mask"}, "--marker mask: needs --burnt-in search"),
        ({"-o": "."}, "exists; choose another folder"),
    ],
)
def test_what_cannot_be_is_one_line_within_two_seconds(source, tmp_path, changes, message):
    status, said, errors, seconds = sdnet(*arguments(source, tmp_path / "release", **changes))
    assert status == 2 and said == "" and message in errors and errors.count("\n") == 1
    assert seconds < 2 and not (tmp_path / "release").exists()


def test_without_the_reader_of_text_a_search_is_refused(source, tmp_path):
    out = tmp_path / "release"
    blocked = (
        "import sys; sys.modules['rapidocr_onnxruntime'] = None; from sdnet_lib.cli.main import main; main()"
    )
    command = [sys.executable, "-c", blocked, "build", *arguments(source, out, **{"--burnt-in": "search"})]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install rapidocr-onnxruntime" in done.stderr and not out.exists()
