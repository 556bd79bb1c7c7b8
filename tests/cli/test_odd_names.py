"""Files whose names are no UTF-8, as old discs and archives of other systems have them."""

import os
import shutil

import pytest

from sdnet_lib.cli import main as cli
from sdnet_lib.studies.predictions import read_table

LATIN = os.fsdecode("peña".encode("latin-1"))


@pytest.fixture(scope="module")
def hospital(toy_cohort, tmp_path_factory):
    """A folder with N/ and P/; the names in N/ are UTF-8 and others in turn."""
    folder = tmp_path_factory.mktemp("hospital")
    for label, rows in toy_cohort.groupby("label"):
        (folder / label).mkdir()
        for number, file in enumerate(rows["file"]):
            name = f"P-{number}.png" if label == "P" else f"{number}-{LATIN if number % 2 else 'peña'}.png"
            try:
                shutil.copy(file, folder / label / name)
            except OSError:
                pytest.skip("this file system takes UTF-8 only")
    levels = [f"{file.name},Mild" for file in (folder / "P").iterdir()]
    (folder / "severity.csv").write_text("\n".join(["Name,Severity", *levels]))
    return folder


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr("sys.argv", ["sdnet", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        assert stop.code in (None, 0, 1), capsys.readouterr().err  # 1: the audit is red
    return capsys.readouterr()


@pytest.mark.parametrize(
    "words",
    [
        ("crop", "{}", "-o", "{out}"),
        ("audit", "{}", "-o", "{out}"),
        ("cv", "{}", "--approach", "resnet50", "--profile", "smoke", "--jobs", "1", "-o", "{out}"),
    ],
)
def test_commands_take_them(hospital, tmp_path, monkeypatch, capsys, words):
    out = tmp_path / f"out {LATIN}"
    run(
        monkeypatch, capsys, *(word.replace("{}", str(hospital)).replace("{out}", str(out)) for word in words)
    )
    if words[0] == "cv":
        assert "resnet50" in run(monkeypatch, capsys, "tables", out).out.lower().replace("-", "")


def test_predict_takes_them_and_says_their_bytes(hospital, tmp_path, monkeypatch, capsys):
    films = sorted((hospital / "N").iterdir())[:2]
    run(monkeypatch, capsys, "predict", *films, "--model", "biased-demo", "-o", tmp_path / "out")
    table = read_table(tmp_path / "out" / "predictions.csv")
    assert (table["error"] == "").all()
    assert sorted("\\xf1" in file for file in table["file"]) == [False, True]
