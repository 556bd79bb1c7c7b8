import json

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.audit import shortcuts
from sdnet_lib.config import Profile
from sdnet_lib.data import images
from sdnet_lib.models.backbones import LITE0
from sdnet_lib.studies import published_shortcuts

TINY = Profile("tiny", 24, 32, 32, 8, 1, 1, 1, 2, LITE0)


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
    monkeypatch.setattr(published_shortcuts, "load_cohort", lambda name, data: cohorts[name])
    monkeypatch.setattr(published_shortcuts, "get_profile", lambda name: TINY)
    monkeypatch.setattr(published_shortcuts.classifier, "embed", look)
    monkeypatch.setattr(
        published_shortcuts, "COHORTS", {"here": ("here", ""), "here, PA only": ("here", "view == 'PA'")}
    )
    monkeypatch.setattr(published_shortcuts, "ELSEWHERE", (("here", "there"),))
    published_shortcuts.bench.cache_clear()
    yield looks
    published_shortcuts.bench.cache_clear()


def run(tmp_path, folds: int = 1) -> tuple[pd.DataFrame, dict]:
    out = tmp_path / "results" / "table.csv"
    published_shortcuts.main(["--data", "anywhere", "-o", str(out), "--folds", str(folds)])
    assert sorted(file.name for file in out.parent.iterdir()) == ["table.csv", "table.json"]
    return pd.read_csv(out), json.loads(out.with_suffix(".json").read_text())


def test_the_table_has_a_row_an_experiment(small_world, tmp_path):
    table, origin = run(tmp_path)
    audited = table[table["model"] != published_shortcuts.TRAINED].query("trained_on == tested_on")
    whole = audited[audited["trained_on"] == "here"]
    assert list(whole["clue"]) == [
        *shortcuts.IMAGE_SHORTCUTS,
        shortcuts.THUMBNAIL,
        shortcuts.FILE,
        shortcuts.PATIENT,
    ]
    assert (whole["images"] == 24).all() and (
        whole.set_index("clue")["auc"][[shortcuts.FULL, shortcuts.BORDER]] > 0.9
    ).all()
    assert (audited.loc[audited["trained_on"] == "here, PA only", "images"] == 12).all()
    away = table[table["tested_on"] == "there"]
    assert list(zip(away["model"], away["clue"], strict=True)) == [
        (model, clue)
        for model in (published_shortcuts.FROZEN, published_shortcuts.TRAINED)
        for clue in published_shortcuts.TWICE
    ]
    at_home = table[(table["model"] == published_shortcuts.TRAINED) & (table["tested_on"] == "here")]
    assert list(at_home["clue"]) == list(published_shortcuts.TWICE) and at_home["images"].between(4, 6).all()
    assert origin["cohorts"]["here"]["P"] == origin["cohorts"]["here"]["N"] == 12
    assert origin["profile"]["name"] == "tiny" and "torch" in origin["versions"]


def test_an_interrupted_run_goes_on_where_it_stopped(small_world, tmp_path):
    first, _ = run(tmp_path, folds=0)
    assert small_world and published_shortcuts.TRAINED not in set(first["model"])
    small_world.clear()
    second, _ = run(tmp_path, folds=0)
    assert not small_world
    pd.testing.assert_frame_equal(first, second)


def test_a_wrong_name_is_one_line(small_world, tmp_path, monkeypatch):
    def refuse(_name, data):
        raise published_shortcuts.InputError(f"nothing in {data}")

    monkeypatch.setattr(published_shortcuts, "load_cohort", refuse)
    with pytest.raises(SystemExit, match="error: nothing in anywhere"):
        run(tmp_path)


def test_the_committed_table_is_whole():
    table, origin = published_shortcuts.load()
    audited = table[
        (table["trained_on"] == table["tested_on"]) & (table["model"] != published_shortcuts.TRAINED)
    ]
    assert set(audited["trained_on"]) == set(published_shortcuts.COHORTS)
    for _, rows in audited.groupby("trained_on"):
        assert {*shortcuts.IMAGE_SHORTCUTS, shortcuts.THUMBNAIL, shortcuts.FILE} <= set(rows["clue"])
    assert table["auc"].between(0, 1).all() and (table["auc_low"] <= table["auc_high"]).all()
    for name, (registered, query) in published_shortcuts.COHORTS.items():
        if not query:
            counts = origin["cohorts"][registered]
            assert (audited.loc[audited["trained_on"] == name, "positives"] == counts["P"]).all()
    assert len(origin["code"]) == 12 and origin["versions"]["torch"]
