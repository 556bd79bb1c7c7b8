"""Figure 1."""

import numpy as np

from data_scripts import registry
from data_scripts.registry import load_cohort
from tests.data_scripts.served import picture

TABLE = """patientid,offset,sex,age,finding,view,modality,imagename,notes
C-1a,,M,50+,COVID-19,AP,X-ray,,
C-1b,,M,50,COVID-19,AP,X-ray,,
C-2,,F,4,No finding,,X-ray,,
C-3,,,,,,X-ray,,
"""


def test_letters_count_a_patient_s_images(server, tmp_path):
    files = {f"images/C-{n}.jpg": picture(i, ".jpg") for i, n in enumerate(("1a", "1b", "2", "3"))}
    server.add_repository("agchung/Figure1-COVID-chestxray-dataset", {"metadata.csv": TABLE} | files)
    registry.get("figure1", tmp_path)
    cohort = load_cohort("figure1", data=tmp_path)
    assert list(cohort["patient_id"]) == ["fig1-C-1", "fig1-C-1", "fig1-C-2"]
    assert np.isnan(cohort["age"][0]) and cohort["age"][1] == 50
