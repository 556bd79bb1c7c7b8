import json

import numpy as np
import pandas as pd
import pytest

from data_scripts import registry as data_sets
from sdnet_lib.files import InputError, write_parquet, write_text
from sdnet_lib.models import registry
from sdnet_lib.studies import published, study


def test_every_plan_names_approaches_and_cohorts_that_exist():
    for plan in published.STUDIES.values():
        assert {plan.cohort, *plan.elsewhere} <= set(data_sets.names())
        assert set(plan.repeats) <= set(registry.APPROACHES)


def test_what_is_stored_is_whole():
    for name in published.stored():
        table, origin = published.load(name)
        runs = {(one["approach"], one["repeat"], one["fold"]) for one in origin["runs"]}
        assert runs == set(table[["approach", "repeat", "fold"]].itertuples(index=False, name=None))
        assert np.allclose(table["prob_N"] + table["prob_P"], 1, atol=1e-3)


def test_an_unknown_study_is_answered_with_the_stored_ones():
    with pytest.raises(InputError, match="no stored study 'mars': choose one of .*phantom"):
        published.load("mars")


def test_packing_keeps_predictions_and_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "folder", lambda name: tmp_path / "runs")
    monkeypatch.setattr(published, "PACKED", tmp_path / "packed")
    origin = {"cohort": {"images": 2}, "device": "cpu", "threads": 1, "versions": {}, "seed": 0}
    for fold in range(2):
        run = study.Run("resnet50", 0, fold)
        table = pd.DataFrame({"image_id": [f"i{fold}"], "patient_id": [f"p{fold}"], "label": ["NP"[fold]]})
        table = table.assign(severity="", prob_N=0.25, prob_P=0.75, **run._asdict())
        for place in (tmp_path / "runs", tmp_path / "runs" / "on-montgomery"):
            write_parquet(study.prediction_file(place, run), table)
        said = {**run._asdict(), "seconds": 1800, "training": {"epochs": fold}, "code": {"hash": "abc"}}
        text = json.dumps({**origin, **said, "profile": {"side": 64, "repeats": 1}})
        write_text(study.provenance_file(tmp_path / "runs", run), text)
    published.pack("shenzhen", tmp_path / "packed")
    assert published.stored() == ["shenzhen"]
    table, origin = published.load("shenzhen")
    assert list(table["image_id"]) == ["i0", "i1"] and origin["hours_of_computing"] == 1
    assert origin["profile"] == {"side": 64} and origin["code"] == ["abc"] and len(origin["runs"]) == 2
    assert len(published.load("shenzhen", "montgomery")[0]) == 2
