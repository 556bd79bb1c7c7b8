"""The golden record: what `record.py` computes now is what is stored.

Integers, texts, boxes, masks and tables must be equal. Grey levels may differ by 1, for a value that lies on
the border of two. Floats have a tolerance, because processors add in different orders; see `FIVE_EPOCHS`.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).parent / "stored"


def record(folder, *parts):
    """Return a folder with a new record, made by a process of its own with its own settings of torch."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.record", folder, *parts],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """What is compared whenever the tests run."""
    return record(tmp_path_factory.mktemp("golden") / "fresh", "phantoms", "crops", "predict", "grad_cam")


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    """What takes minutes: all tables, and all approaches."""
    return record(tmp_path_factory.mktemp("golden") / "rest", "tables", "runs")


def files(folder, pattern):
    return sorted(str(file.relative_to(folder)) for file in folder.glob(pattern))


def pairs(fresh, pattern):
    """Each stored file of a pattern and its fresh counterpart; there must be no other."""
    names = files(STORED, pattern)
    assert names and names == files(fresh, pattern)
    return [(STORED / name, fresh / name) for name in names]


def assert_equal_texts(fresh, pattern):
    for old, new in pairs(fresh, pattern):
        assert new.read_text() == old.read_text(), new


def assert_equal_images(fresh, pattern, levels):
    for old, new in pairs(fresh, pattern):
        before, after = (np.asarray(Image.open(file)).astype(int) for file in (old, new))
        assert before.shape == after.shape and np.abs(before - after).max() <= levels, new


def test_phantoms(fresh):
    assert_equal_texts(fresh, "phantoms/*/cohort.csv")
    assert_equal_images(fresh, "phantoms/*/images/*", 1)
    assert_equal_images(fresh, "phantoms/*/*_masks/*", 0)


def test_crops(fresh):
    assert_equal_texts(fresh, "crops/*/*.csv")
    assert_equal_images(fresh, "crops/*/images/*", 1)
    assert_equal_images(fresh, "crops/*/*masks/*", 0)


def test_predict(fresh):
    assert_equal_texts(fresh, "predict/*/said.txt")
    assert_equal_texts(fresh, "predict/*/panels.csv")
    for old, new in pairs(fresh, "predict/*/predictions.csv"):
        before, after = (pd.read_csv(file, skiprows=1) for file in (old, new))
        assert old.open().readline() == new.open().readline()
        # written with four digits, so a tiny change may turn the last one
        pd.testing.assert_frame_equal(after, before, rtol=0, atol=1.01e-4)


def test_grad_cam(fresh):
    ((old, new),) = pairs(fresh, "grad_cam/maps.npz")
    before, after = np.load(old), np.load(new)
    assert before.files == after.files
    for name in before.files:
        assert before[name].shape == after[name].shape and before[name].max() == 1
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-3)


@pytest.mark.long
def test_tables_in_all_formats(rest):
    assert_equal_texts(rest, "tables/*")


# Two records on one machine are equal to the bit. Between machines, what has trained for one epoch differs by
# up to 5e-4. In five epochs rounding grows: from the machine of the record to one with another processor
# (AMD EPYC) networks moved by 3e-3, and COVID-SDNet, which kept another epoch, by 1.4e-2 (3e-2 with AVX-512).
# Another seed moves every approach by at least 3e-3 (COVID-CAPS only in its tensors, 8e-3). One more epoch
# moves each that trains by epochs by 2e-3 to 3e-1, but for COVID-CAPS, which answers 0.5 at this size.
ONE_EPOCH = 1e-3
FIVE_EPOCHS = {"resnet50": 5e-3, "resnet50-crop": 5e-3, "fucitnet": 5e-3, "covid-sdnet": 3e-2}


@pytest.mark.long
def test_runs_of_all_approaches(rest):
    assert_equal_texts(rest, "runs/approaches.txt")
    for old, new in pairs(rest, "runs/*.parquet"):
        before, after = pd.read_parquet(old), pd.read_parquet(new)
        assert set(after["approach"]) == set(before["approach"])
        for name in before["approach"].unique():
            tolerance = FIVE_EPOCHS.get(name, ONE_EPOCH)
            pd.testing.assert_frame_equal(
                *(table[table["approach"] == name].reset_index(drop=True) for table in (after, before)),
                obj=name,
                rtol=tolerance,
                atol=tolerance,
            )
