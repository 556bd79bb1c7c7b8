"""What maintainers run: wrong names and missing data are one line, as everywhere on the command line."""

import shutil
import sys

import pandas as pd
import pytest

from data_scripts import registry
from sdnet_lib.cli import main as cli
from sdnet_lib.lungs import evaluation
from sdnet_lib.lungs.unet import WEIGHTS
from sdnet_lib.publish import frontpage


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sdnet", "maintain", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["published", "mars", "--data", "."], "unknown result 'mars': choose from shenzhen"),
        (["models", "mars", "--data", "."], "unknown model 'mars': choose from synthetic, biased-demo"),
        (["published", "shenzhen"], "Missing option '--data'"),
        (["lungs", "train", "--exclude-folds", "one", "--data", ".", "-o", "out"], "numbers with commas"),
        (["lungs", "evaluate", "--data", "empty", "-o", "out"], "empty"),
        (["extents", "empty"], "empty"),
        (["gpu", "-o", "gpu.json"], "no GPU here"),
        (["covidcaps", "weights.h5", "-o", "weights.safetensors"], "weights.h5"),
    ],
)
def test_what_cannot_be_used_is_named(monkeypatch, capsys, tmp_path, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, said = run(monkeypatch, capsys, *arguments)
    assert code == 2 and complaint in said.err and "Traceback" not in said.err
    assert [file.name for file in tmp_path.iterdir()] == ["empty"]


def test_the_picture_of_the_front_page_is_drawn(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(frontpage, "FILE", tmp_path / "cohort.png")
    code, said = run(monkeypatch, capsys, "frontpage")
    assert not code and said.out.strip() == str(tmp_path / "cohort.png")
    assert (tmp_path / "cohort.png").stat().st_size > 10_000


def test_measured_lung_networks_come_with_their_card(monkeypatch, capsys, tmp_path):
    def evaluate(cohort, external, out):  # it takes minutes and real images
        out.mkdir()
        return shutil.copy(WEIGHTS / "lungs.json", out)

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    monkeypatch.setattr(registry, "load_cohort", lambda name, data: pd.DataFrame())
    code, _ = run(monkeypatch, capsys, "lungs", "evaluate", "--data", tmp_path, "-o", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out" / "lungs.md").read_text() == (WEIGHTS / "lungs.md").read_text()
