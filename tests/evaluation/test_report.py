import csv
import io
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.checksums import write_seal
from sdnet_lib.evaluation import render, statistics, tables, uncertainty
from sdnet_lib.evaluation.metrics import called
from sdnet_lib.evaluation.report import report
from sdnet_lib.files import InputError
from tests.evaluation.made_predictions import one_run, study, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs = write(study(), tmp_path_factory.mktemp("study") / "runs")
    write(study(["covid-sdnet"], n=40, levels=("",), seed=3, everybody=True), runs / "on-other")
    return runs


def line(text: str, *starts: str) -> str:
    """The first line that starts so, below a line that holds what comes before."""
    for start in starts[:-1]:
        text = text[text.index(start) :]
    return next(row for row in text.splitlines() if row.startswith(starts[-1]))


def test_what_mixes_and_what_cannot_be_checked_is_said(tmp_path):
    runs = write(study(["resnet50", "covid-sdnet"], n=20), tmp_path)
    assert "mix" not in report(runs) and "early version" not in report(runs)
    file = runs / "resnet50" / "r0f1.parquet"
    write_seal(file.with_suffix(".json"), {"code": {"shared": "cd", "hash": "cd resnet50"}}, file)
    text = report(runs)
    assert (
        "Versions of the code mix: ResNet-50 without segmentation has runs of ab resnet50 (9 runs), " in text
    )
    assert "Versions of the code that all approaches share mix: ab (19 runs), cd (1 runs)." in text
    file.with_suffix(".json").write_text("{}")
    assert "1 of 20 runs are of an early version, without checksum and version of code." in report(runs)


def test_damage_is_named(tmp_path):
    runs = write(study(["resnet50"], n=20), tmp_path)
    one, two = runs / "resnet50" / "r0f0.parquet", runs / "resnet50" / "r0f1.parquet"
    one.write_bytes(two.read_bytes())
    with pytest.raises(
        InputError, match=r"r0f0\.parquet: damaged or replaced.*; `sdnet cv` does this run again"
    ):
        report(runs)


def test_a_report_holds_every_table(folder):
    text = report(folder)
    table = tables.table_5(tables.read_runs(folder))
    mean, sd = (100 * table.at["covid-sdnet", ("accuracy", key)] for key in ("mean", "sd"))
    assert line(text, "Layout of Table 5", "COVID-SDNet").endswith(f"{mean:.2f} ± {sd:.2f}")
    for name in ("Layout of Table 6", "Accuracy, in %", "Differences of accuracy", "Probabilities"):
        assert name in text
    assert "Beside" not in text and "Incomplete" not in text
    values = [row.split() for row in text[text.index("Predictive values") :].splitlines()]
    assert [row[1] for row in values if row[:1] == ["mine"]][:4] == ["1", "5", "20", "50"]


def test_other_cohorts_have_a_section_with_the_spread_of_single_networks(folder):
    text = report(folder)
    section = text[text.index("The same networks on other") :]
    found = uncertainty.scores(tables.read_runs(folder / "on-other"))["covid-sdnet"]
    row = line(section, "Probabilities", "COVID-SDNet")
    assert f"{found['auc']:.3f} [" in row
    assert f"({found['single_low']:.3f} to {found['single_high']:.3f})" in row
    assert found["single_low"] < found["single_high"] < found["auc"]  # ten networks know more than one
    assert "Table 6" not in section and "Differences" not in section


def test_pairs_are_those_of_the_statistics(folder):
    found = statistics.pairwise(tables.read_runs(folder)).iloc[-1]
    row = line(report(folder), "Differences of accuracy", "COVID-SDNet − mine")
    assert f"{100 * found['mean']:.2f} [".replace("-", "−") in row
    assert row.split()[-1] == f"{found['p_holm']:.3f}" or found["p_holm"] < 0.001


def test_same_files_same_bytes(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    for form in render.FORMS:
        assert report(folder, form, paper=True) == report(tmp_path / "copy", form, paper=True)


def test_a_report_is_written_where_asked(folder, tmp_path):
    text = report(folder, "markdown", output=tmp_path / "report.md")
    assert (tmp_path / "report.md").read_bytes().decode() == text


def test_beside_the_paper(folder):
    text = report(folder, paper=True)
    assert line(text, "Beside Tables 4 and 5", "ResNet-50 without segmentation   ").split()[-3:] == [
        *line(text, "Layout of Table 5", "ResNet-50 without").split()[-3:]
    ]
    below = [row for row in text.splitlines() if row.startswith("COVID-SDNet") and " paper " in row]
    assert below[0].endswith("76.18 ± 2.70") and below[1].endswith("97.72 ± 0.95")
    assert "COVIDGR-1.0, 852 images; this one has 120." in text


def test_beside_table_4_where_table_5_has_no_row(tmp_path):
    runs = write(study(["covid-caps-published", "covid-caps-retrained", "covid-caps"], repeats=1), tmp_path)
    rows = [row for row in report(runs, paper=True).splitlines() if " paper " in row]
    assert rows[0].endswith("65.34 ± 3.26")
    assert rows[1].split()[-7:] == ["26.30", "45.81", "–", "69.01", "48.36", "–", "47.66"]
    assert len(rows) == 2  # COVID-CAPS from scratch is of another kind than any row of the paper
    shutil.rmtree(runs / "covid-caps-retrained")
    assert [row.split()[-1] for row in report(runs, paper=True).splitlines() if " paper " in row] == ["47.66"]


def test_no_approach_of_the_paper(tmp_path):
    text = report(write(study(["mine", "yours"], repeats=1), tmp_path), paper=True)
    assert line(text, "Beside Tables 4 and 5", "in both").split() == ["in", "both", "none"]


def test_what_a_network_with_a_third_class_names_is_counted(tmp_path):
    plain = study(["covidnet-c", "resnet50"], n=40, repeats=1)
    assert "What was named" not in report(write(plain, tmp_path / "plain"))
    mine, votes = plain["approach"] == "covidnet-c", called(plain)
    votes[np.arange(len(votes)) % 7 == 0] = "Pneumonia"
    text = report(write(plain.assign(vote=votes.where(mine)), tmp_path / "voted"))
    counts = pd.crosstab(plain["label"][mine], votes[mine])[["N", "P", "Pneumonia"]]
    row = line(text, "What was named", "COVID-Net (PEPX c)")
    assert row.split()[-6:] == [*map(str, counts.to_numpy().ravel())]
    section = text[text.index("What was named") :]
    assert "ResNet-50" not in section[: section.index("Nobody tested has pneumonia")]


def test_without_normal_pcr_it_is_table_7_matched_and_whole(tmp_path):
    whole = study(levels=("Mild", "Severe"))
    whole = whole[(whole["label"] == "N") | (whole["severity"] == "Severe")]
    text = report(write(whole, tmp_path), paper=True)
    assert "Layout of Table 7 without Normal-PCR+, as many negatives as positives" in text
    assert "Layout of Table 7 without Normal-PCR+, all negatives" in text and "Layout of Table 8" in text
    assert text.count("Beside Table 7") == 1 and "Table 5" not in text


def test_per_fold(folder):
    by_repeat, by_fold = (
        line(report(folder, per=per), "Layout of Table 6", "mine") for per in ("repeat", "fold")
    )
    assert by_repeat.split()[1] == "2" and by_fold.split()[1] == "10"


def test_an_incomplete_study_says_so_and_tests_each_pair_on_the_runs_that_both_have(tmp_path):
    runs = write(study(), tmp_path)
    (runs / "mine" / "r1f2.parquet").unlink()
    text = report(runs)
    assert "Incomplete: mine lacks r1f2." in text
    assert "Each pair is compared on the runs that both have, 9 to 10." in text
    found = statistics.pairwise(tables.read_runs(runs)).iloc[-1]
    assert f"{100 * found['mean']:.2f} [".replace("-", "−") in line(text, "Differences", "COVID-SDNet − mine")


def test_a_study_in_progress_compares_what_all_have(tmp_path):
    whole = study()
    text = report(write(whole[(whole["repeat"] == 0) | (whole["fold"] < 2)], tmp_path))
    assert "lacks r1f2, r1f3, r1f4." in text and "No test" not in text and "COVID-SDNet − mine" in text
    assert "Each pair" not in text  # all have the same runs


def test_an_incomplete_study_with_nothing_left_to_compare(tmp_path):
    text = report(write(study(["mine"], repeats=1), tmp_path))
    assert "No test: one approach alone, with runs that have learned, cannot be compared." in text


def test_a_cohort_of_one_class_has_a_report(tmp_path):
    text = report(write(pd.concat([one_run("PPP", "PNP", fold=fold) for fold in (0, 1)]), tmp_path))
    assert "A class is missing: no areas." in text
    row = line(text, "Layout of Table 5", "a ")
    assert row.split()[2:4] == ["undefined", "0.00"] and "[k] or undefined" in text


@pytest.mark.parametrize("options, problem", [
    ({"form": "html"}, r"--format 'html': not one of text, markdown, csv, latex"),
    ({"per": "image"}, r"--per 'image': not one of repeat, fold"),
])  # fmt: skip
def test_bad_options(folder, options, problem):
    with pytest.raises(InputError, match=problem):
        report(folder, **options)


def test_the_csv_is_for_programs(folder):
    rows = list(csv.DictReader(io.StringIO(report(folder, "csv", paper=True))))
    table = tables.table_5(tables.read_runs(folder))
    (row,) = [
        row
        for row in rows
        if row["approach"] == "resnet50" and row["quantity"] == "accuracy" and not row["cohort"]
    ]
    assert float(row["mean"]) == pytest.approx(table.at["resnet50", ("accuracy", "mean")], abs=1e-6)
    assert float(row["sd"]) == pytest.approx(table.at["resnet50", ("accuracy", "sd")], abs=1e-6)
    assert row["paper_mean"] == "0.742500" and row["runs"] == "10" and row["undefined"] == "0"
    assert {row["table"] for row in rows} == {"table_5", "table_6", "probabilities"}
    assert {row["quantity"] for row in rows if row["cohort"] == "other"} >= {"accuracy", "auc"}
    auc = next(row for row in rows if row["quantity"] == "auc")
    assert float(auc["low"]) < float(auc["mean"]) < float(auc["high"])
    assert "paper_mean" not in report(folder, "csv")


def test_markdown_tables_are_rectangular(folder):
    for block in report(folder, "markdown", paper=True).split("\n\n"):
        rows = [row for row in block.splitlines() if row.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert "| COVID-SDNet" in report(folder, "markdown")


def test_latex_escapes_and_balances(tmp_path):
    text = report(write(study(["covid-sdnet", "50 % & more_or_less"]), tmp_path), "latex")
    assert r"50 \% \& more\_or\_less & 10 & " in text and r" $\pm$ " in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 5
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule")
    assert not set("±–−") & set(text)


def test_a_column_in_a_name_does_not_break_markdown():
    table = render.Table("c", ["", "x"], [["a|b", "1"]])
    assert r"| a\|b | 1 |" in render.write(table, "markdown")


def test_text_columns_are_aligned():
    written = render.write(
        render.Table("c", ["", "number"], [["long name", "1"], ["b", "22"]], ["note"]), "text"
    )
    assert written.splitlines() == [
        "c",
        "-----------------",
        "           number",
        "-----------------",
        "long name       1",
        "b              22",
        "-----------------",
        "note",
    ]


def test_numbers():
    assert render.number(0.12345) == "12.35" and render.number(-0.5, 1) == "−50.0"
    assert render.number(np.nan) == render.p_value(np.nan) == render.NONE
    assert render.p_value(0.0004) == "< 0.001" and render.p_value(0.04321) == "0.043"
    assert render.interval(0.5, 0.25, np.nan) == "50.00"
    assert render.interval(0.5, 0.25, 0.75, 1) == "50.0 [25.0, 75.0]"
    assert (
        render.spread(0.5, 0.1, 2) == "50.00 ± 10.00 [2]" and render.spread(np.nan, np.nan, 5) == "undefined"
    )
    assert render.spread(0.5, np.nan) == "50.00"


def test_another_form_is_an_error():
    with pytest.raises(InputError, match="format 'html': not one of text, markdown, latex"):
        render.write(render.Table("c", ["x"], []), "html")


@pytest.mark.long
def test_a_study_of_full_size_is_quick_and_loads_nothing_heavy(tmp_path):
    approaches = ("covidnet", "covid-caps", "resnet50", "resnet50-crop", "fucitnet", "covid-sdnet")
    runs = write(study(approaches, n=852, repeats=5), tmp_path)
    code = (
        "import sys, time; from sdnet_lib.evaluation.report import report; start = time.process_time()\n"
        f"report({str(runs)!r}, paper=True); used = time.process_time() - start\n"
        "heavy = {'torch', 'fastai', 'matplotlib'} & set(sys.modules)\n"
        "print(used, *heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *heavy = done.stdout.split()
    assert heavy == []
    assert float(seconds) < 5  # generous, for the machine may be busy
    predictions, start = tables.read_runs(runs), time.process_time()
    assert len(tables.table_5(predictions)) == len(tables.table_6(predictions)) == 6
    assert time.process_time() - start < 1.5


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1+1", "@sum", "-cmd"])
def test_no_formula_gets_into_the_csv(name, tmp_path):
    runs = write(study().replace({"approach": {"mine": name}}), tmp_path / "runs")
    write(study(["covid-sdnet"], n=40, levels=("",), everybody=True), runs / f"on-{name}")
    rows = list(csv.DictReader(io.StringIO(report(runs, "csv"))))
    texts = {cell for row in rows for column in ("cohort", "approach") for cell in [row[column]]}
    assert f"'{name}" in texts and not any(text[:1] in tuple("=+@-") for text in texts)
