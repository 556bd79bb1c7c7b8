"""DarkCovidNet's part of ChestX-ray8, whole and matched by view."""

import numpy as np
import pandas as pd
import pytest

from data_scripts import chestxray8, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import CohortError
from sdnet_lib.data.splits import splits
from sdnet_lib.files import InputError
from tests.data_scripts.served import darkcovidnet, local_copy


def test_chestxray8_fetched_and_matched_by_view(server, tmp_path):
    server.add_repository(chestxray8.REPOSITORY, darkcovidnet())
    registry.get("chestxray8", tmp_path)
    cohort = load_cohort("chestxray8", data=tmp_path)
    assert (cohort["label"] == "N").sum() == 3 and (cohort["label"] == "P").sum() == 2
    assert cohort["patient_id"].nunique() == 4
    with pytest.raises(CohortError, match="column view: blank; views come from NIH's Data_Entry"):
        load_cohort("nih-pneumonia", data=tmp_path)


def test_nihs_own_table_adds_the_views(server, tmp_path):
    server.add_repository(chestxray8.REPOSITORY, darkcovidnet())
    names = ["00000001_000", "00000002_000", "00000003_000", "00000002_001", "00000004_001"]
    table = pd.DataFrame({"Image Index": [f"{name}.png" for name in names], "Finding Labels": "x"})
    table["View Position"], table["Patient Age"], table["Patient Gender"] = (
        ["AP", "PA", "PA", "PA", "AP"],
        30,
        "M",
    )
    table.to_csv(tmp_path / "Data_Entry_2017.csv", index=False)
    registry.get("nih-pneumonia", tmp_path)
    cohort = load_cohort("nih-pneumonia", data=tmp_path)
    assert cohort.groupby(["view", "label"]).size().to_dict() == dict.fromkeys(
        [("AP", "N"), ("AP", "P"), ("PA", "N"), ("PA", "P")], 1
    )
    assert set(cohort["sex"]) == {"M"} and set(cohort["age"]) == {30}


def test_a_repository_that_has_changed_beyond_recognition(server, tmp_path):
    server.add_repository(chestxray8.REPOSITORY, {"README.md": "moved"})
    with pytest.raises(InputError, match="no .*No_findings.* in what was fetched; the source has"):
        registry.get("chestxray8", tmp_path)
    assert not (tmp_path / chestxray8.FOLDER).exists()
    server.add_repository("agchung/Actualmed-COVID-chestxray-dataset", {"README.md": "moved"})
    with pytest.raises(InputError, match="the source's table cannot be read"):
        registry.get("actualmed", tmp_path)


def test_an_error_names_the_row_of_the_metadata(tmp_path):
    rows = [{"image_id": f"i{n}", "group_id": n, "finding": "No_findings", "view": "PA"} for n in range(3)]
    folder = local_copy(tmp_path, chestxray8.FOLDER, rows)
    (folder / "images" / "i1.png").unlink()
    with pytest.raises(CohortError, match=r"metadata\.csv, row 3, column file: no such file"):
        load_cohort("chestxray8", data=tmp_path)


def test_matching_by_view_is_balanced_and_the_same_each_time(tmp_path):
    generator = np.random.default_rng(0)
    rows = [
        {
            "image_id": f"i{number:03}",
            "group_id": f"g{number // 2}",
            "finding": str(generator.choice(["No_findings", "Pneumonia"], p=[0.3, 0.7])),
            "view": str(generator.choice(["PA", "AP"], p=[0.8, 0.2])),
        }
        for number in range(60)
    ]
    local_copy(tmp_path, chestxray8.FOLDER, rows)
    cohort = load_cohort("nih-pneumonia", data=tmp_path)
    counts = cohort.groupby(["view", "label"]).size().unstack()
    assert (counts["N"] == counts["P"]).all() and len(cohort) > 10
    pd.testing.assert_frame_equal(cohort, load_cohort("nih-pneumonia", data=tmp_path, seed=5))
    both = {"N", "P"}
    for split in splits(cohort, 1, 2):
        assert not set(cohort["patient_id"].iloc[split.test]) & set(cohort["patient_id"].iloc[split.train])
        assert set(cohort["label"].iloc[split.test]) == both
