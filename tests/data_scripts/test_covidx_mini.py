"""The biased mixture of chapter 1."""

from data_scripts import chestxray8, registry
from data_scripts.registry import load_cohort
from tests.data_scripts.served import collection, darkcovidnet


def test_covidx_mini_fetches_both_its_parts_once(server, tmp_path):
    server.add_repository("ieee8023/covid-chestxray-dataset", collection())
    server.add_repository(chestxray8.REPOSITORY, darkcovidnet())
    registry.get("covidx-mini", tmp_path)
    registry.get("covidx-mini", tmp_path)
    assert len(server.asked) == 2
    cohort = load_cohort("covidx-mini", data=tmp_path)
    assert set(cohort[cohort["label"] == "P"]["source"]) == {"COVID-19 Image Data Collection"}
    assert set(cohort[cohort["label"] == "N"]["source"]) == {"ChestX-ray8"}
