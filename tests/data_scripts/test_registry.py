"""Cohorts by name, file or folder, and what the registry says about them."""

import pandas as pd
import pytest

from data_scripts import registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import CohortError, write_cohort
from sdnet_lib.files import InputError

PUBLIC = [name for name in registry.names() if name not in registry.SYNTHETIC]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_set_that_is_not_here_says_how_to_get_it(name, tmp_path):
    with pytest.raises(InputError, match=f"{name} is not in .*sdnet data get {name}.*--data DIR"):
        load_cohort(name, data=tmp_path)
    with pytest.raises(InputError, match=f"{name} is not in "):
        load_cohort(name)
    with pytest.raises(InputError, match="no such folder"):
        load_cohort(name, data=tmp_path / "nowhere")


def test_every_set_says_what_it_is():
    rows = registry.describe()
    assert [row.name for row in rows] == registry.names()
    assert len(set(registry.names())) == len(rows)
    for row in rows:
        assert all(isinstance(value, str) and value and "\n" not in value for value in row)
    assert [row.where for row in rows if row.name == "covidgr"] == ["not here: sdnet data get covidgr"]


def test_unknown_and_synthetic_names():
    for function in (registry.get, registry.check):
        with pytest.raises(InputError, match="unknown data set 'imagenet': choose one of phantom"):
            function("imagenet")
    with pytest.raises(InputError, match="phantom is synthetic"):
        registry.get("phantom")


@pytest.mark.parametrize("source", ["nowhere", "nowhere.csv", "Phantom"])
def test_neither_file_nor_name(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CohortError, match=f"{source}: no such file or folder, and no registered cohort"):
        load_cohort(source)


def test_a_folder_and_its_csv_read_alike(toy_cohort, tmp_path):
    file = write_cohort(toy_cohort, tmp_path)
    pd.testing.assert_frame_equal(load_cohort(tmp_path), toy_cohort)
    pd.testing.assert_frame_equal(load_cohort(str(file)), toy_cohort)
