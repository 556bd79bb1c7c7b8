"""The record of what `sdnet data check` says of the sets that are at hand."""

import pytest

from data_scripts import registry
from sdnet_lib.files import InputError
from sdnet_lib.studies import published_data_sets
from tests.data_scripts import test_covidx, test_rsna_pneumonia


def test_each_set_that_is_here_is_checked_and_no_other(tmp_path):
    test_covidx.lists(tmp_path)
    test_covidx.parts(tmp_path)
    tables, origin = published_data_sets.compute(tmp_path)
    lines = {name: list(lines) for name, lines in tables[""].groupby("data_set")["line"]}
    assert set(lines) == {
        *("cxr-collection", "figure1", "rsna-pneumonia", "covidx1", "covidx2", "covidx2-pneumonia")
    }
    assert lines["rsna-pneumonia"] == registry.check("rsna-pneumonia", tmp_path).splitlines()
    assert origin["covidx"]["covidx2"]["listed"] == {"normal": 3, "pneumonia": 3, "COVID-19": 4}
    assert origin["covidx"]["covidx2"]["paper"] == {"normal": 8066, "pneumonia": 8614, "COVID-19": 190}
    assert not tables[""]["line"].str.contains(str(tmp_path), regex=False).any()


def test_a_set_that_fails_its_check_is_not_recorded(tmp_path):
    folder = test_rsna_pneumonia.tree(tmp_path)
    (folder / "stage_2_train_images" / "a-0.dcm").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a-0\.dcm"):
        published_data_sets.compute(tmp_path)
