import numpy as np
import pandas as pd
import pytest

from data_scripts import registry as data_sets
from sdnet_lib.files import InputError, write_json, write_parquet
from sdnet_lib.models import registry
from sdnet_lib.studies import published, published_experiments
from sdnet_lib.studies.study import Run, Study


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder in the place of the package's results."""
    monkeypatch.setattr(published, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(published, "PACKED", tmp_path / "results" / "runs")
    return tmp_path / "results"


def test_every_plan_names_approaches_and_cohorts_that_exist():
    for plan in published_experiments.STUDIES.values():
        third = {plan.third_class} - {None}
        assert {plan.cohort, *plan.external, *third} <= set(data_sets.names())
        assert all(registry.find(name).third_class for name in plan.repeats) or not third
        assert set(plan.repeats) <= set(registry.APPROACHES)


def test_what_is_stored_is_whole():
    for name in published.stored():
        table, origin = published.load(name)
        runs = {(one["approach"], one["repeat"], one["fold"]) for one in origin["runs"]}
        assert runs == set(table[["approach", "repeat", "fold"]].itertuples(index=False, name=None))
        assert np.allclose(table["prob_N"] + table["prob_P"], 1, atol=1e-3)


def test_an_unknown_name_is_answered_with_those_that_there_are(tmp_path):
    with pytest.raises(InputError, match="no stored study 'mars': choose one of .*phantom"):
        published.load("mars")
    with pytest.raises(InputError, match="unknown result 'mars': choose from shenzhen, .*pointing"):
        published_experiments.publish("mars", tmp_path, 1)


def test_a_cross_validation_is_stored_with_where_it_comes_from(results, toy_cohort, tmp_path):
    study = Study(tmp_path / "runs", toy_cohort, profile=None)
    origin = {"cohort": {"images": 2}, "device": "cpu", "threads": 1, "versions": {}, "seed": 0}
    for fold in range(2):
        run = Run("resnet50", 0, fold)
        table = pd.DataFrame({"image_id": [f"i{fold}"], "patient_id": [f"p{fold}"], "label": ["NP"[fold]]})
        table = table.assign(severity="", prob_N=0.25, prob_P=0.75, **run._asdict())
        for external in ("", "montgomery"):
            write_parquet(study.path(run, external=external), table)
        origin |= {**run._asdict(), "seconds": 1800, "training": {"epochs": fold}, "code": {"hash": "abc"}}
        write_json(study.path(run, ".json"), origin | {"profile": {"image_size": 64, "repeats": 1}})
    write_json(study.folder / ".shared" / "r0f0-abc.safetensors.json", {"epochs": 1})  # of two runs
    published.store("shenzhen", *published_experiments.gathered(study.folder))
    assert published.stored() == ["shenzhen"]
    table, origin = published.load("shenzhen")
    assert list(table["image_id"]) == ["i0", "i1"] and origin["hours_of_computing"] == 1
    assert origin["profile"] == {"image_size": 64} and origin["code"] == ["abc"] and len(origin["runs"]) == 2
    assert origin["command"] == "sdnet maintain published shenzhen --data DIR"
    assert len(published.load("shenzhen", "montgomery")[0]) == 2


def test_other_tables_are_stored_as_text_whose_blanks_come_back(results):
    table = pd.DataFrame({"code": ["0012", "ab"], "mean": [0.12345, np.nan], "shortcut": ["file", "lungs"]})
    published.store("pointing", {"": table}, {"folds": 5})
    read, origin = published.load("pointing")
    assert list(read["code"]) == ["0012", "ab"] and read["mean"].iloc[0] == 0.1235
    assert (results / "pointing.csv").read_text().startswith("code,mean,shortcut\n")
    assert list(read["shortcut"]) == ["file", "lungs"]
    assert read["mean"].isna().iloc[1] and origin["folds"] == 5 and origin["versions"]["torch"]


def test_what_was_made_is_not_made_again(tmp_path):
    made = []

    def make() -> dict:
        made.append(1)
        return {"pixels": np.arange(3)}

    def table() -> pd.DataFrame:
        made.append(2)
        return pd.DataFrame({"a": [1.5, np.nan], "b": ["x", ""]})

    for _ in range(2):
        assert list(published.kept(tmp_path / "made" / "x.npz", make)["pixels"]) == [0, 1, 2]
        pd.testing.assert_frame_equal(published.kept(tmp_path / "made" / "y.parquet", table), table())
    assert made == [1, 2, 2, 2]
    assert 0 <= published.hours(tmp_path / "made") < 0.01


def test_damage_to_what_is_stored_is_named(results):
    published.store("pointing", {"": pd.DataFrame({"mean": [0.5]})}, {"code": "ab"})
    (results / "pointing.csv").write_text("mean\n0.6000\n")
    with pytest.raises(InputError, match=r"pointing\.csv: damaged or replaced"):
        published.load("pointing")


def test_a_result_of_an_early_version_is_loaded_and_that_is_said_once(results, caplog):
    published.store("pointing", {"": pd.DataFrame({"mean": [0.5]})}, {"code": "ab"})
    write_json(results / "pointing.json", {"code": "ab"})
    for _ in range(2):
        assert published.load("pointing")[1]["code"] == "ab"
    assert caplog.messages == [f"{results / 'pointing.json'}: no checksums, as early versions wrote it"]


def test_stored_results_name_a_command_that_exists_today():
    for name in (*published.stored(), *published.TABLES):
        words = published.load(name)[1]["command"].split()
        assert words == ["sdnet", "maintain", "published", name, "--data", "DIR"]
        assert name in published_experiments.NAMES
