"""PA or AP by the pixels: learned where the views look different, believed where it is sure, and said so."""

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread

from sdnet_lib.build import make, view
from sdnet_lib.checksums import Damaged
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.phantom import archive
from tests.build.conftest import PROTOCOL, build
from tests.conftest import make_squares


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A place for the weights other than the package's."""
    monkeypatch.setattr(view, "STORED", tmp_path / "own.safetensors")
    monkeypatch.setattr(view, "CARD", tmp_path / "own.json")


@pytest.fixture
def squares(tmp_path):
    """Two sources in which the bright half of a square gives the view away."""
    found = {}
    for name, n in (("one", 48), ("two", 40)):
        (tmp_path / name).mkdir()
        cohort = make_squares(tmp_path / name, n)
        found[name] = cohort.assign(view=np.where(cohort["label"] == "P", "PA", "AP Supine"))
    return found


def test_what_can_be_seen_is_learned_and_measured_in_the_other_source(own, squares):
    card = view.train(squares)
    assert card["sources"] == {"one": {"PA": 24, "AP": 24}, "two": {"PA": 20, "AP": 20}}
    assert all(worth["auc"] == 1 and not worth["wrong"] > 0 for worth in card["unseen"].values())
    assert view.summary(card).count("AUC 1.00") == 2
    films = view.read_pixels(squares["one"], view.SIZE)
    assert ((view.likely(films) > 0.5) == (squares["one"]["view"] == "PA")).all()


def test_views_that_nobody_can_see_are_worth_a_coin(own, squares):
    shuffled = {
        name: cohort.assign(view=np.random.default_rng(3).permutation(cohort["view"]))
        for name, cohort in squares.items()
    }
    assert all(0.25 < worth["auc"] < 0.75 for worth in view.train(shuffled)["unseen"].values())


def test_damaged_weights_are_named(own, squares):
    view.train(squares)
    damaged = bytearray(view.STORED.read_bytes())
    damaged[-1] ^= 1
    view.STORED.write_bytes(damaged)
    with pytest.raises(Damaged, match=r"own\.safetensors"):
        view.likely(np.zeros((1, view.SIZE, view.SIZE), np.uint8))


def test_the_stored_card_tells_how_often_it_is_wrong_elsewhere():
    assert all(0.5 < worth["auc"] < 1 and 0 < worth["sure"] < 1 for worth in view.card()["unseen"].values())


@pytest.fixture
def silent(tmp_path):
    """An archive in which no header says a view."""
    archive.write(tmp_path / "source", patients=25, size=80)
    for file in (tmp_path / "source" / archive.FILMS).rglob("*"):
        if file.is_file() and (data := dcmread(file, force=True)).get("Modality") in {"CR", "DX"}:
            for name in ("ViewPosition", "ViewCodeSequence"):
                if name in data:
                    delattr(data, name)
            data.save_as(file)
    return tmp_path / "source"


@pytest.mark.parametrize("answer, released", [(0.97, True), (0.6, False), (0.02, False)])
def test_a_silent_header_is_judged_only_if_asked_and_sure(silent, tmp_path, monkeypatch, answer, released):
    monkeypatch.setattr(view, "likely", lambda films: np.full(len(films), answer))
    with pytest.raises(make.InputError, match="no .* film is left: .*view not in the tags"):
        build(silent, tmp_path / "release", tmp_path / "salt")
    protocol = PROTOCOL._replace(guess_view=True)
    if not released:
        with pytest.raises(make.InputError, match="no .* film is left: .*view"):
            build(silent, tmp_path / "release", tmp_path / "salt", protocol)
        return
    files = build(silent, tmp_path / "release", tmp_path / "salt", protocol)
    cohort = read_cohort(tmp_path / "release")
    assert set(cohort["view"]) == {"PA"} and len(cohort) > 4
    sheet = (tmp_path / "release" / "data_sheet.md").read_text(encoding="utf-8")
    asked = int(files["view_likely"].notna().sum())
    assert f"{asked} films judged: {asked} with an answer, {len(cohort)} of them in the release" in sheet
    assert "actualmed 6 %" in sheet and "a lateral one whose header is silent may pass" in " ".join(
        sheet.split()
    )
    trail = pd.read_csv(tmp_path / "release" / "trail.csv", keep_default_na=False)
    assert set(trail.loc[trail["decision"] == "released", "view_from"]) == {"pixels"}
    assert (trail["view_from"] == "pixels").sum() == asked and "header" not in set(trail["view_from"])


def test_only_readable_chest_films_without_a_view_are_asked(tmp_path, monkeypatch):
    squares = make_squares(tmp_path, 4)
    files = pd.DataFrame(
        {
            "file": [*squares["file"].map(lambda file: file.rsplit("/", 1)[-1]), "missing.png"],
            "problem": ["", "", "", "damaged", ""],
            "kind": "",
            "body": ["CHEST", "CHEST", "SKULL", "CHEST", "CHEST"],
            "view": ["", "LATERAL", "", "", ""],
        }
    )
    monkeypatch.setattr(view, "likely", lambda films: np.full(len(films), 0.95))
    filled = view.fill(files, tmp_path)
    assert list(filled["view"]) == ["PA", "LATERAL", "", "", ""]
    assert filled["view_likely"].notna().tolist() == [True, False, False, False, False]
