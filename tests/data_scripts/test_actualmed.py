"""Actualmed."""

from data_scripts import registry
from data_scripts.registry import load_cohort
from tests.data_scripts.served import picture

TABLE = """patientid,offset,sex,age,finding,view,modality,imagename,notes
A1,,,,COVID-19,AP,X-ray,x.1.png,
A2,,,,No finding,PA,X-ray,x.2.png,
A2,,,,,PA,X-ray,x.3.png,unsure
"""


def test_what_is_inconclusive_is_fetched_and_left_out(server, tmp_path):
    files = {f"images/x.{n}.png": picture(n) for n in (1, 2, 3)}
    server.add_repository("agchung/Actualmed-COVID-chestxray-dataset", {"metadata.csv": TABLE} | files)
    registry.get("actualmed", tmp_path)
    cohort = load_cohort("actualmed", data=tmp_path)
    assert dict(cohort.set_index("image_id")["label"]) == {"x.1": "P", "x.2": "N"}
    assert len(list((tmp_path / "actualmed" / "images").iterdir())) == 3
