"""COVID-19 Image Data Collection."""

import io

import pandas as pd
import pytest

from data_scripts import cxr_collection, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data import extents
from sdnet_lib.files import InputError
from tests.data_scripts.served import collection, local_copy


def test_cxr_collection_fetched(server, tmp_path):
    server.add_repository("ieee8023/covid-chestxray-dataset", collection())
    said = registry.get("cxr-collection", tmp_path / "new")
    assert "licence: per image" in said and "cite: Cohen" in said and "the published set has" in said
    cohort = load_cohort("cxr-collection", data=tmp_path / "new").set_index("image_id")
    assert dict(cohort["label"]) == {"a_b": "P", "b": "P", "c": "P", "d": "N", "e": "N", "other-of-9": "P"}
    assert cohort.loc["a_b", "severity"] == "Normal-PCR+" and cohort.loc["c", "severity"] == "Severe"
    assert cohort.loc["other-of-9", "patient_id"] == cohort.loc["a_b", "patient_id"] == "cxr-1"
    assert (cohort.loc["a_b", "original_width"], cohort.loc["a_b", "original_height"]) == (12, 10)
    assert cohort.loc["a_b", "age"] == 50 and cohort.loc["a_b", "finding"] == "COVID-19"


@pytest.mark.parametrize("gone", ["patientid", "finding", "filename"])
def test_a_table_that_has_lost_a_column(gone, server, tmp_path):
    files = collection()
    table = pd.read_csv(io.StringIO(files["metadata.csv"])).drop(columns=gone)
    files["metadata.csv"] = table.to_csv(index=False)
    server.add_repository("ieee8023/covid-chestxray-dataset", files)
    with pytest.raises(
        InputError, match=f"metadata.csv: no column {gone}; the source has changed its layout"
    ):
        registry.get("cxr-collection", tmp_path)


def test_a_group_is_a_patient_and_todo_stays_out(tmp_path):
    rows = [
        {"image_id": "a", "patient_id": 1, "group_id": "cxr-1", "finding": "COVID-19", "view": "PA"},
        {"image_id": "b", "patient_id": 2, "group_id": "cxr-1", "finding": "COVID-19, ARDS", "view": "AP"},
        {"image_id": "c", "patient_id": 3, "group_id": "cxr-3", "finding": "todo", "view": "PA"},
        {"image_id": "d", "patient_id": 4, "group_id": "cxr-4", "finding": "SARS", "view": "PA"},
    ]
    local_copy(tmp_path, "cxr_collection", rows)
    cohort = load_cohort("cxr-collection", data=tmp_path)
    assert list(cohort["image_id"]) == ["a", "b", "d"] and list(cohort["label"]) == ["P", "P", "N"]
    assert list(cohort["patient_id"]) == ["cxr-1", "cxr-1", "cxr-4"]


def test_its_scores_can_be_measured(server, tmp_path):
    server.add_repository(cxr_collection.REPOSITORY, collection())
    registry.get("cxr-collection", tmp_path)
    scores = extents.measure(load_cohort("cxr-collection", data=tmp_path))
    assert scores.to_dict("list") == {"extent": [0.3, 7.0], "opacity": [0.3, 4.0]}
