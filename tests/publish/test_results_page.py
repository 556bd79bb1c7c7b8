"""The results page says what the stored tables hold, and nothing that they do not."""

import json
import re

import numpy as np
import pytest

from sdnet_lib.evaluation import metrics, statistics, uncertainty
from sdnet_lib.publish import results_page, templates
from sdnet_lib.studies import published
from tests.evaluation.made_predictions import LEVELS, study

ORIGIN = {
    "command": "sdnet maintain published phantom --data DIR",
    "cohort": {"fingerprint": "0" * 16, "sources": ["phantom"], "images": 120},
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.0"},
    "seed": 0,
    "profile": {
        "side": 64,
        "folds": 5,
        "epochs": 5,
        "patience": 3,
        "backbone": "lite0",
        "generator_backbone": "resnet18",
    },
    "code": ["abc"],
    "hours_of_computing": 1.25,
}


def store(folder, name, predictions, others=()):
    """Write a study as `published.store` does."""
    folder.mkdir(exist_ok=True)
    predictions.to_parquet(folder / f"{name}.parquet", index=False)
    for other, away in dict(others).items():
        away.to_parquet(folder / f"{name}-on-{other}.parquet", index=False)
    runs = predictions[list(metrics.RUN)].drop_duplicates().to_dict("records")
    runs = [run | {"seconds": 2.0, "training": {"deep": {"weights": "none"}}} for run in runs]
    (folder / f"{name}.json").write_text(json.dumps(ORIGIN | {"runs": runs}))


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "PACKED", tmp_path / "runs")
    return tmp_path / "runs"


def rows(page, name):
    """The cells of all table rows called `name`."""
    lines = [line for line in page.splitlines() if re.match(rf"\| {re.escape(name)} +\|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_an_empty_copy_says_so(stored):
    page = results_page.write()
    assert "No study is stored" in page and "What is stored" not in page


def test_the_page_of_one_study(stored):
    predictions = study(approaches=("resnet50", "covid-sdnet"))
    store(stored, "phantom", predictions)
    page = results_page.write()
    beside = ("ours", "paper", "difference")
    training, table, levels, areas = [row for row in rows(page, "COVID-SDNet") if row[1] not in beside]
    assert training[1:3] == ["10", "none (its paper: imagenet)"] and training[-1] == "2"
    accuracy = metrics.per_run(predictions)["accuracy"].groupby("approach").agg(["mean", "std"])
    mean, sd = 100 * accuracy.loc["covid-sdnet"]
    assert table[-1] == f"{mean:.2f} ± {sd:.2f}" and areas[1].startswith(f"{mean:.2f} [")
    assert len(levels) == 2 + len(LEVELS)
    assert (
        templates.FOLDER / "studies" / "phantom.md.jinja"
    ).read_text() in page and "120 (60 N, 60 P)" in page
    assert "abc (early hashes of the whole package), torch 2.0" in page
    assert page.count("Made by an early version, whose runs do not say which code each is of: Synth") == 1
    assert "2 times 5 folds" in page and "1.2 hours" in page and "`sdnet maintain published" in page


def test_known_studies_come_in_their_order_and_an_unknown_one_last(stored):
    for name in ("mine", "shenzhen", "phantom"):
        store(stored, name, study(n=60, repeats=1))
    page = results_page.write()
    titles = re.findall(r"^## (.+)$", page, re.MULTILINE)
    known = results_page.TITLES
    assert titles == ["What others found", known["phantom"], known["shenzhen"], "mine", "What was not run"]
    assert f"*{known['nih-pneumonia']}*, which" in page and f"*{known['phantom']}*, which" not in page


def test_without_normal_pcr_table_7_is_there_with_negatives_matched_and_not(stored):
    balanced = study(levels=LEVELS[1:])
    store(stored, "phantom-no-pcr", balanced)
    page = results_page.write()
    assert (
        "Layout of Table 7 without Normal-PCR+, as many negatives as positives" in page
        and "Layout of Table 8" in page
    )
    assert "all negatives:" not in page  # it would be the same table
    dropped = balanced[balanced["label"] == "P"]["image_id"].unique()[:6]
    store(stored, "phantom-no-pcr", balanced[~balanced["image_id"].isin(dropped)])
    assert "all negatives:" in results_page.write()


def test_the_paper_s_tables_stand_beside_those_of_studies_like_it_only(stored):
    store(stored, "shenzhen", study(approaches=("resnet50", "covid-sdnet")))
    assert "of the paper, in %" not in results_page.write()
    store(stored, "phantom", study(approaches=("resnet50", "covid-sdnet")))
    page = results_page.write()
    assert page.count("Beside Tables 4 and 5 of the paper") == page.count("Beside Table 6 of the paper") == 1
    (paper,) = [row for row in rows(page, "COVID-SDNet") if row[1] == "paper" and len(row) == 9]
    assert paper[-1] == "76.18 ± 2.70"


def test_no_table_of_severity_where_there_is_none(stored):
    store(stored, "shenzhen", study().assign(severity=""))
    assert "accuracy by severity" not in results_page.write()


def test_carried_networks_stand_beside_themselves_at_home(stored):
    away = study(n=40, everybody=True, seed=1)
    store(stored, "phantom", study())
    store(stored, "phantom-biased", study(), {"phantom": away})
    assert results_page.external("phantom") == []
    assert results_page.external("phantom-biased") == ["phantom"]
    page = results_page.write()
    assert page.count("### Carried to ") == 1
    row = rows(page[page.index("### Carried") :], "COVID-SDNet")[0]
    assert row[6] == f"{100 * metrics.per_run(away)['accuracy']['covid-sdnet'].mean():.2f}"


def test_an_external_cohort_of_one_class_has_no_area(stored):
    away = study(n=40, everybody=True).query("label == 'P'")
    store(stored, "phantom-biased", study(), {"phantom": away})
    page = results_page.write()
    assert rows(page[page.index("### Carried") :], "COVID-SDNet")[0][-2] == "–"


def test_the_box_of_pairs_says_how_many_differ(stored):
    predictions = study(n=200, repeats=3)
    store(stored, "phantom", predictions)
    differ = (statistics.pairwise(predictions)["p_holm"] < 0.05).sum()
    page = results_page.write()
    assert 0 < differ < 3 and f"Pairs of approaches: {differ} of 3 differ in accuracy" in page
    assert rows(page[page.index("{dropdown}") :], "COVID-SDNet − mine")


def test_a_study_in_which_only_one_row_has_learned_has_a_page_where_nothing_can_be_compared(stored):
    predictions = study(approaches=("resnet50", "covid-sdnet"))
    store(stored, "phantom", predictions.assign(learned=predictions["approach"] == "resnet50"))
    page = results_page.write()
    assert "Pairs of approaches: 0 of 1 differ" in page and "0, 10 not learned" in page


def test_each_study_has_a_figure_of_its_runs_and_those_that_can_tell_one_of_the_gain(stored):
    predictions = study(approaches=("resnet50", "resnet50-crop", "covid-sdnet"))
    learned = predictions["approach"] != "resnet50"
    store(stored, "phantom", predictions.assign(learned=learned))
    store(stored, "shenzhen", study(approaches=("resnet50", "resnet50-crop")))
    page, figures = results_page.write(), results_page.figures()
    names = ["runs_phantom", "gains_phantom", "runs_shenzhen"]
    assert [*figures] == [f"images/{name}.png" for name in names]
    assert re.findall(r"^```\{figure\} (\S+)$", page, re.MULTILINE) == [*figures]
    axis = figures["images/runs_phantom.png"].axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()][0] == "ResNet-50 without segmentation"
    dots = sum(np.isfinite(row.get_offsets()).all(1).sum() for row in axis.collections[:-2])
    assert dots == 20  # ten of each that has learned
    assert "no run of ResNet-50 without segmentation has learned; ResNet-50 with segmentation " in page


def test_falls_are_those_of_areas_at_home_and_away(stored):
    names = ("resnet50-crop", "covid-sdnet")
    home, away = study(approaches=names), study(n=40, approaches=names, everybody=True, seed=1)
    store(stored, "phantom-biased", home, {"phantom": away})
    (row,) = results_page.falls().rows
    here, there = (uncertainty.scores(one)["resnet50-crop"]["auc"] for one in (home, away))
    assert row[0] == "phantom-biased to phantom" and row[2].startswith(f"{here:.3f} [")
    assert row[4] == f"{there - here:.3f}".replace("-", "−")


def test_what_is_written_by_hand_about_a_study_holds_no_number():
    written = {file.name.split(".")[0]: file.read_text() for file in (templates.FOLDER / "studies").iterdir()}
    assert set(written) == set(results_page.TITLES)
    names = r"ResNet-50|COVID-19|ChestX-ray8|Tables? \d( and \d)?|chapter \d"
    for text in written.values():
        assert not re.search(r"\d", re.sub(names, "", text, flags=re.IGNORECASE)), text


def test_the_stored_studies_make_a_page():
    page = results_page.write()
    for name in published.stored():
        assert f"## {results_page.TITLES.get(name, name)}\n" in page
    assert "nan" not in page
