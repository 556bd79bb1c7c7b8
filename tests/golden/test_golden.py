"""The golden record: what `record.py` computes now is what is stored.

Integers, texts, boxes, masks and tables must be equal. Grey levels may differ by 1, for a value that lies on
the border of two. Floats have a tolerance, because processors add in different orders; see `TOLERANCES`.
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


# Two records on one machine are equal to the bit. Where another processor sums in another order, rounding
# grows while a network learns: these bounds hold with SSE in place of AVX2 for torch and oneDNN, and with
# either of two paths of MKL. In five epochs it may decide which one is kept.
ONE_EPOCH = 1e-3
TOLERANCES = {
    ("smoke", "covid-caps"): 5e-2,
    ("smoke", "fucitnet"): 5e-3,
    ("smoke", "covid-sdnet"): 1e-2,
    ("smoke", "deepcovidexplainer"): 1e-2,
    ("quick", "resnet50"): 2e-2,
    ("quick", "resnet50-crop"): 2e-2,
    ("quick", "fucitnet"): 5e-2,
    ("quick", "covid-sdnet"): 5e-2,
}


@pytest.mark.long
def test_runs_of_all_approaches(rest):
    assert_equal_texts(rest, "runs/approaches.txt")
    for old, new in pairs(rest, "runs/*.parquet"):
        after, before = (parts(pd.read_parquet(file)) for file in (new, old))
        assert after.keys() == before.keys()
        for key, rows in before.items():
            tolerance = TOLERANCES.get(key, ONE_EPOCH)
            pd.testing.assert_frame_equal(after[key], rows, obj=" ".join(key), rtol=tolerance, atol=tolerance)


def parts(runs):
    """Return the rows of each profile and approach; tensors are of one profile alone.

    After five epochs whether a network has learned is a near thing at this size, and left out.
    """
    runs = runs if "profile" in runs else runs.assign(profile="smoke")
    found = {key: rows.reset_index(drop=True) for key, rows in runs.groupby(["profile", "approach"])}
    return {key: rows.drop(columns="learned") if key[0] == "quick" else rows for key, rows in found.items()}
