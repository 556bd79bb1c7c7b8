"""DarkCovidNet's two classes."""

from data_scripts import chestxray8, registry
from data_scripts.registry import load_cohort
from tests.data_scripts.served import collection, darkcovidnet


def test_darkcovidnet_fetched_knows_whose_images_they_are(server, tmp_path):
    server.add_repository(chestxray8.REPOSITORY, darkcovidnet())
    server.files["/ieee8023/covid-chestxray-dataset/master/metadata.csv"] = collection()[
        "metadata.csv"
    ].encode()
    registry.get("darkcovidnet", tmp_path)
    cohort = load_cohort("darkcovidnet", data=tmp_path)
    assert cohort["label"].value_counts().to_dict() == {"N": 3, "P": 2}
    positive = cohort[cohort["label"] == "P"].set_index("image_id")
    assert positive.loc["b", "patient_id"] == "cxr-1" and positive.loc["b", "view"] == "AP Supine"
    assert positive.loc["unknown", "patient_id"] == "cxr-unknown"
