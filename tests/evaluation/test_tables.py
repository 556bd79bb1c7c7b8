import numpy as np
import pandas as pd
import pytest

from sdnet_lib.evaluation import metrics, tables
from sdnet_lib.files import InputError
from tests.evaluation.made_predictions import one_run, seal, study, write


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return study()


@pytest.fixture
def folder(predictions, tmp_path):
    return write(predictions, tmp_path / "runs")


def change(file, **columns) -> None:
    """Overwrite columns of the second row of a run."""
    run = pd.read_parquet(file)
    for column, value in columns.items():
        run.loc[1, column] = value
    run.to_parquet(file, index=False)
    seal(file)


def test_runs_come_back_in_the_papers_order(folder, predictions):
    found = tables.read_runs(folder)
    assert list(found["approach"].unique()) == ["resnet50", "covid-sdnet", "mine"]
    key = ["approach", "repeat", "fold", "image_id"]
    same = found.sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(same, predictions.sort_values(key, ignore_index=True))


def test_ten_folds_are_sorted_as_numbers(tmp_path):
    runs = [one_run("NP", "NP", fold=fold) for fold in (10, 2, 0)]
    found = tables.read_runs(write(pd.concat(runs), tmp_path))
    assert list(found["fold"].unique()) == [0, 2, 10]


def test_what_is_no_run_of_this_cohort_is_skipped(folder, predictions):
    write(study(approaches=["resnet50"], seed=5, everybody=True), folder / "on-shenzhen")
    write(predictions, folder / ".shared")
    (folder / "on-notes.txt").write_text("")
    (folder / "mine" / ".r0f0.parquet.77.part").write_text("half")
    (folder / "mine" / "r0f0.parquet.part").write_text("half")
    (folder / "mine" / "summary.parquet").write_text("no run")
    assert len(tables.read_runs(folder)) == len(predictions)
    assert tables.other_cohorts(folder) == {"shenzhen": folder / "on-shenzhen"}
    assert len(tables.read_runs(folder / "on-shenzhen")) == 2 * 5 * 120


def test_twin_probabilities_are_kept_and_blank_where_there_are_none(tmp_path):
    twins = one_run("NP", "NP", "covid-sdnet").assign(**{"plus_P+": [0.1, 0.9]})
    found = tables.read_runs(write(pd.concat([one_run("NP", "NP")]), write(twins, tmp_path)))
    assert found.set_index("approach")["plus_P+"].isna().to_dict() == {"covid-sdnet": False, "a": True}


@pytest.mark.parametrize(
    "columns, problem",
    [
        ({"prob_P": np.nan}, "a probability is missing"),
        ({"prob_N": 1.5, "prob_P": -0.5}, "not between 0 and 1"),
        ({"prob_N": 0.9, "prob_P": 0.9}, "do not sum to 1"),
        ({"label": "p"}, "the label is not one of N, P"),
        ({"severity": "Dire"}, r"not one of Normal-PCR\+, Mild, Moderate, Severe, or empty"),
        ({"severity": None}, "the severity is not one of"),
        ({"patient_id": ""}, "image_id or patient_id is empty"),
        ({"patient_id": None}, "image_id or patient_id is empty"),
        ({"fold": 4}, "not what the file's name says"),
        ({"approach": "other"}, "not what the file's name says"),
    ],
)
def test_a_bad_row_is_named_by_file_and_row(folder, columns, problem):
    file = folder / "mine" / "r1f3.parquet"
    change(file, **columns)
    with pytest.raises(InputError, match=problem) as error:
        tables.read_runs(folder)
    assert f"{file}, row 2 (i" in str(error.value) and "\n" not in str(error.value)


def test_an_image_tested_twice_is_named(folder):
    file = folder / "mine" / "r1f3.parquet"
    first = pd.read_parquet(file)["image_id"][0]
    change(file, image_id=first)
    with pytest.raises(InputError, match=rf"r1f3\.parquet, row 2 \({first}\): the image has been tested"):
        tables.read_runs(folder)


def test_a_file_that_is_no_parquet_is_named(folder):
    (folder / "mine" / "r0f1.parquet").write_bytes(b"PAR1 and then nothing")
    seal(folder / "mine" / "r0f1.parquet")
    with pytest.raises(InputError, match=r"r0f1\.parquet: not a readable parquet file") as error:
        tables.read_runs(folder)
    assert "\n" not in str(error.value)


def test_missing_columns_and_rows_are_named(folder, predictions):
    file = folder / "mine" / "r0f1.parquet"
    run = pd.read_parquet(file)
    run.drop(columns=["prob_N", "severity"]).to_parquet(file)
    seal(file)
    with pytest.raises(InputError, match=r"r0f1\.parquet: no column severity, prob_N"):
        tables.read_runs(folder)
    run.iloc[:0].to_parquet(file)
    seal(file)
    with pytest.raises(InputError, match=r"r0f1\.parquet: no rows"):
        tables.read_runs(folder)
    run.assign(prob_P=run["prob_P"].astype(str)).to_parquet(file)
    seal(file)
    with pytest.raises(InputError, match=r"r0f1\.parquet: prob_P is (large_)?string, not a float"):
        tables.read_runs(folder)


def test_runs_whose_columns_cannot_be_joined_are_an_error(folder):
    file = folder / "mine" / "r0f1.parquet"
    pd.read_parquet(file).assign(label=7).to_parquet(file)
    seal(file)
    with pytest.raises(InputError, match="the runs differ in the types of columns"):
        tables.read_runs(folder)


def test_no_folder_and_no_runs(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        tables.read_runs(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no runs \(APPROACH/r0f0\.parquet\)"):
        tables.read_runs(tmp_path)


def test_missing_runs_are_listed(predictions):
    assert tables.missing_runs(predictions) == []
    short = predictions[
        ~(
            (predictions["approach"] == "mine")
            & (predictions["repeat"] == 1)
            & predictions["fold"].isin([2, 4])
        )
    ]
    assert tables.missing_runs(short) == [("mine", 1, 2), ("mine", 1, 4)]


def test_table_5_is_mean_and_sample_sd_over_runs(predictions):
    found = tables.table_5(predictions)
    assert list(found.index) == ["covid-sdnet", "resnet50", "mine"]
    assert list(found.columns.unique(0)) == list(metrics.METRICS)
    values = metrics.per_run(predictions).loc["resnet50"]
    for measure in metrics.METRICS:
        assert found.at["resnet50", (measure, "mean")] == pytest.approx(np.mean(values[measure]))
        assert found.at["resnet50", (measure, "sd")] == pytest.approx(np.std(values[measure], ddof=1))
    assert (found.loc[:, (slice(None), "runs")] == 10).all(axis=None)


def test_undefined_runs_are_counted_and_left_out_of_the_mean():
    never = one_run("NNPP", "NNNN", fold=0)
    half = one_run("NNPP", "NPPN", fold=1)
    right = one_run("NNPP", "NNPP", fold=2)
    found = tables.table_5(pd.concat([never, half, right]).assign(learned=True)).loc["a"]
    assert found["precision_P"].to_dict() == pytest.approx(
        {"mean": 0.75, "sd": np.std([0.5, 1], ddof=1), "runs": 2, "undefined": 1, "unlearned": 0}
    )
    assert found["sensitivity", "mean"] == 0.5 and found["sensitivity", "undefined"] == 0


def test_one_run_has_no_sd():
    found = tables.table_5(one_run("NNPP", "NPPP")).loc["a"]
    assert found["accuracy", "mean"] == 0.75 and np.isnan(found["accuracy", "sd"])


def test_table_6_is_over_repetitions_unless_asked_for_folds(predictions):
    pooled, folds = tables.table_6(predictions), tables.table_6(predictions, "fold")
    assert (pooled.loc[:, (slice(None), "runs")] == 2).all(axis=None)
    by_hand = metrics.by_severity(predictions).loc["mine", "Mild"]
    assert pooled.at["mine", ("Mild", "mean")] == pytest.approx(by_hand.mean())
    assert pooled.at["mine", ("Mild", "sd")] == pytest.approx(by_hand.std(ddof=1))
    assert folds.at["mine", ("Severe", "runs")] + folds.at["mine", ("Severe", "undefined")] == 10


@pytest.mark.parametrize(
    "levels, numbers",
    [
        (("Normal-PCR+", "Mild", "Moderate", "Severe"), (5, 6)),
        (("Mild", "Moderate", "Severe"), (7, 8)),
        (("",), (5, None)),
    ],
)
def test_the_levels_say_which_table_it_is(levels, numbers):
    assert tables.table_numbers(study(levels=levels, repeats=1)) == numbers


def unbalanced() -> pd.DataFrame:
    whole = study(levels=("Mild", "Severe"), repeats=3)
    return whole[(whole["label"] == "N") | (whole["severity"] == "Severe")].reset_index(drop=True)


def test_negatives_are_matched_in_each_repetition():
    whole = unbalanced()
    found = tables.match_negatives(whole)
    for _, run in found.groupby(["approach", "repeat"]):
        assert (run["label"] == "N").sum() == (run["label"] == "P").sum() > 0
    assert (found["label"] == "P").sum() == (whole["label"] == "P").sum()
    merged = found.merge(whole, on=list(found), how="left", indicator=True)
    assert (merged["_merge"] == "both").all()


def test_the_same_negatives_are_dropped_for_every_approach_and_others_in_each_repetition():
    found = tables.match_negatives(unbalanced())
    kept = found.groupby(["approach", "repeat"])["image_id"].agg(frozenset).unstack("repeat")
    assert all(kept[repeat].nunique() == 1 for repeat in kept)
    assert kept.iloc[0].nunique() == 3


def test_matching_depends_on_the_seed_alone():
    whole = unbalanced()
    shuffled = whole.sample(frac=1, random_state=3)
    once, again = tables.match_negatives(whole), tables.match_negatives(shuffled)
    key = ["approach", "repeat", "image_id"]
    pd.testing.assert_frame_equal(
        once.sort_values(key, ignore_index=True), again.sort_values(key, ignore_index=True)
    )
    kept = [
        set(found[found["repeat"] == 0]["image_id"]) for found in (once, tables.match_negatives(whole, 1))
    ]
    assert kept[0] != kept[1] and len(kept[0]) == len(kept[1])


def test_nothing_is_dropped_where_positives_are_many():
    few = pd.concat([one_run("NPP", "NPN"), one_run("NPP", "NPN", repeat=1)], ignore_index=True)
    pd.testing.assert_frame_equal(tables.match_negatives(few), few)


def test_the_papers_tables_as_printed():
    assert tables.printed(5).at["resnet50", "f1_P"] == "72.689"
    assert tables.printed(4).at["covidnet-published", "specificity_sd"] == ""
    assert tables.printed(6).loc["covid-sdnet"].tolist()[1:] == [
        *("28.42", "2.58", "61.80", "5.49", "86.90", "3.20", "97.72", "0.95")
    ]
    assert tables.printed(7).at["covid-sdnet", "f1_P_sd"] == "0.04"
    assert tables.printed(8).at["covid-sdnet", "Mild"] == "46.00"
    assert [len(tables.printed(number)) for number in range(4, 9)] == [4, 6, 1, 5, 1]


def test_the_papers_tables_as_fractions():
    found = tables.paper(5)
    assert list(found.columns.unique(0)) == list(metrics.METRICS)
    assert found.at["covid-sdnet", ("accuracy", "mean")] == pytest.approx(0.7618)
    assert found.at["covid-sdnet", ("accuracy", "sd")] == pytest.approx(0.027)
    assert np.isnan(tables.paper(4).at["covid-caps-published", ("accuracy", "sd")])


def test_tables_4_and_5_print_the_same_retrained_rivals():
    four, five = tables.printed(4), tables.printed(5)
    shared = [column for column in four if column != "model"]
    pd.testing.assert_frame_equal(
        four.loc[["covidnet", "covid-caps-retrained"], shared],
        five.loc[["covidnet", "covid-caps-retrained"], shared],
    )


def test_another_table_is_an_error():
    with pytest.raises(InputError, match="table 3: the paper's results are Tables 4 to 8"):
        tables.printed(3)


def test_beside_the_paper(predictions):
    table = tables.table_5(predictions)
    found = tables.beside_paper(table, 5)
    assert list(found["approach"].unique()) == ["covid-sdnet", "resnet50"]
    assert list(found["measure"][:7]) == list(metrics.METRICS)
    row = found[(found["approach"] == "resnet50") & (found["measure"] == "accuracy")].iloc[0]
    assert row["mean"] == table.at["resnet50", ("accuracy", "mean")]
    assert row["difference"] == pytest.approx(row["mean"] - 0.7425) and row["paper_sd"] == 0.0361


def test_beside_table_4_only_its_five_measures(predictions):
    renamed = predictions.replace({"approach": {"mine": "covid-caps-published"}})
    found = tables.beside_paper(tables.table_5(renamed), 4)
    assert list(found["measure"]) == [
        *("specificity", "precision_N", "sensitivity", "precision_P", "accuracy")
    ]
    assert found["paper_mean"].iloc[0] == pytest.approx(0.263)


def test_approaches_that_the_paper_lacks_are_not_beside_it(predictions):
    mine = predictions[predictions["approach"] == "mine"]
    found = tables.beside_paper(tables.table_5(mine), 5)
    assert found.empty and "difference" in found


def test_rows_come_in_the_papers_order_and_others_after_them():
    ordered = ["covidnet", "covid-caps", "resnet50", "resnet50-crop", "fucitnet", "covid-sdnet", "mine"]
    assert sorted(reversed(ordered), key=tables.place) == ordered
