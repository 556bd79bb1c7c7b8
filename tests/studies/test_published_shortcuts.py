from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.audit import shortcuts
from sdnet_lib.config import Profile
from sdnet_lib.data import images
from sdnet_lib.models.backbones import LITE0
from sdnet_lib.studies import published
from sdnet_lib.studies import published_shortcuts as experiments

TINY = Profile("tiny", 24, 32, 32, 16, 1, 1, 1, 2, LITE0)


def make_cohort(folder, source: str) -> pd.DataFrame:
    """Noise with two square lungs; the positives have a bright upper edge. Half of the views are AP."""
    rng, rows = np.random.default_rng(len(source)), []
    for number in range(24):
        image, mask = rng.uniform(0.3, 0.7, (40, 40)), np.zeros((40, 40))
        mask[8:32, 6:18] = mask[8:32, 22:34] = 1
        image[:4] += 0.3 * (number % 2)
        files = [str(folder / f"{source}-{kind}{number}.png") for kind in ("image", "mask")]
        images.write_gray(files[0], image)
        images.write_gray(files[1], mask)
        row = {"image_id": f"{source}{number}", "file": files[0], "label": "NP"[number % 2], "severity": ""}
        row |= {"patient_id": f"{source}{number}", "source": source, "view": ("PA", "AP")[number // 2 % 2]}
        rows.append(row | {"lung_mask": files[1], "lesion_mask": ""})
    return pd.DataFrame(rows)


@pytest.fixture
def small_world(tmp_path, monkeypatch):
    """Two tiny cohorts in the place of the real ones, and 25 grey values in the place of features."""
    cohorts = {name: make_cohort(tmp_path, name) for name in ("here", "there")}
    looks = []

    def look(pixels: np.ndarray) -> np.ndarray:
        looks.append(len(pixels))
        return shortcuts.thumbnails(pixels, 5)

    monkeypatch.setenv("SDNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(experiments, "load_cohort", lambda name, data: cohorts[name])
    monkeypatch.setattr(experiments.classifier, "embed", look)
    monkeypatch.setattr(experiments, "COHORTS", {"here": ("here", ""), "here, PA": ("here", "view == 'PA'")})
    monkeypatch.setattr(experiments, "EXTERNAL", (("here", "there"),))
    return looks


def run(folds: int) -> tuple[pd.DataFrame, dict]:
    tables, origin = experiments.compute(Path("anywhere"), TINY, folds)
    return tables[""], origin


@pytest.mark.long
def test_the_table_has_a_row_an_experiment(small_world):
    table, origin = run(folds=1)
    tuned = table["model"] == experiments.TRAINED
    audited = table[~tuned & (table["trained_on"] == table["tested_on"])]
    whole = audited[audited["trained_on"] == "here"].set_index("shortcut")
    shown = [*shortcuts.IMAGE_SHORTCUTS, shortcuts.THUMBNAIL, shortcuts.FILE, shortcuts.PATIENT]
    assert list(whole.index) == shown and (whole["images"] == 24).all()
    assert (whole["auc"][[shortcuts.FULL, shortcuts.BORDER]] > 0.9).all()
    assert (audited.loc[audited["trained_on"] == "here, PA", "images"] == 12).all()
    external = table[table["tested_on"] == "there"]
    both = [(model, one) for model in (experiments.FROZEN, experiments.TRAINED) for one in experiments.TWICE]
    assert sorted(zip(external["model"], external["shortcut"], strict=True)) == sorted(both)
    at_home = table[tuned & (table["tested_on"] == "here")]
    assert list(at_home["shortcut"]) == list(experiments.TWICE) and at_home["images"].between(4, 6).all()
    assert origin["cohorts"]["here"]["P"] == origin["cohorts"]["here"]["N"] == 12
    assert origin["profile"]["name"] == "tiny" and origin["hours_of_computing"] >= 0


@pytest.mark.long
def test_an_interrupted_run_goes_on_where_it_stopped(small_world):
    first, _ = run(folds=0)
    assert small_world and experiments.TRAINED not in set(first["model"])
    small_world.clear()
    second, _ = run(folds=0)
    assert not small_world
    pd.testing.assert_frame_equal(first, second)


def test_the_stored_table_is_whole():
    table, origin = published.load("shortcuts")
    same = table["trained_on"] == table["tested_on"]
    audited = table[same & (table["model"] != experiments.TRAINED)]
    assert set(audited["trained_on"]) == set(experiments.COHORTS)
    for _, rows in audited.groupby("trained_on"):
        assert {*shortcuts.IMAGE_SHORTCUTS, shortcuts.THUMBNAIL, shortcuts.FILE} <= set(rows["shortcut"])
    assert table["auc"].between(0, 1).all() and (table["auc_low"] <= table["auc_high"]).all()
    for name, (registered, query) in experiments.COHORTS.items():
        if not query:
            counts = origin["cohorts"][registered]
            assert (audited.loc[audited["trained_on"] == name, "positives"] == counts["P"]).all()
    assert len(origin["code"]) == 12 and origin["versions"]["torch"]
