"""The trial of the builder: what is planted is found where a reader finds it, counted once, and kept."""

import json

import pandas as pd
import pytest

from sdnet_lib.build import burnt_in, protocol, trial
from sdnet_lib.phantom import archive, hospital

PATIENTS, SIZE = 14, 128


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    monkeypatch.setattr(protocol, "find_spec", lambda name: name)
    monkeypatch.setattr(trial, "PART", 20)
    return tmp_path


def reader(monkeypatch, *words):
    """Let a reader find words that fill the film, again and again; return the list of its films."""
    asked = []

    def read(picture):
        asked.append(picture.shape)
        height, width = picture.shape[:2]
        corners = [[0, 0], [width, 0], [width, height], [0, height]]
        return [(corners, word, 0.9) for word in words]

    monkeypatch.setattr(burnt_in, "reader", lambda: read)
    return asked


def rows(tables):
    return tables[""].set_index(["table", "name"])


def planted_words():
    truth = hospital.simulate(PATIENTS).truth
    frontal = truth[truth["view"] != "LATERAL"]
    return frontal.assign(word=[archive.word_of(seed) for seed in frontal["picture_seed"]])


def test_all_films_go_all_the_way_and_are_scored(cached, monkeypatch):
    reader(monkeypatch, "something long")
    tables, origin = trial.compute(1, PATIENTS, SIZE)
    found, truth = rows(tables), planted_words()
    with_word = truth["word"].notna().sum()
    assert tuple(found.loc[("words", "all")]) == (with_word, with_word) and with_word > 5
    for group in trial.SCORED:
        assert found.loc[group]["total"].sum() == with_word
    assert found.loc[("false", "found"), "right"] == found.loc[("false", "found"), "total"] > 3
    assert (found.loc["headers"]["right"] == found.loc["headers"]["total"]).all()
    assert origin["left"] == 0 and origin["hidden"] > 500 and origin["seconds"] > 0
    assert origin["films"] == len(hospital.simulate(PATIENTS).studies) == origin["built"]["flow"]["left"][0]
    assert origin["built"]["flow"]["left"][-1] == sum(origin["built"]["images"].values())


def test_what_no_reader_finds_is_not_masked_and_what_was_done_is_kept(cached, monkeypatch):
    asked = reader(monkeypatch)
    tables, origin = trial.compute(1, PATIENTS, SIZE)
    found = rows(tables)
    assert found.loc[("words", "all"), "right"] == 0 and found.loc[("false", "found"), "right"] == 0
    assert found.loc["markers"]["right"].sum() == 0
    released = sum(origin["built"]["images"].values())
    assert len(asked) == origin["films"] + released
    again = trial.compute(1, PATIENTS, SIZE)
    assert len(asked) == origin["films"] + released
    assert again[1] == origin and again[0][""].equals(tables[""])


def test_a_marker_counts_if_it_is_read_as_the_one_that_is_there(cached, monkeypatch):
    reader(monkeypatch, "L")
    found = rows(trial.compute(1, PATIENTS, SIZE)[0]).loc["markers"]
    assert found.at["L", "right"] == found.at["L", "total"] > 0 and found.drop("L")["right"].sum() == 0


def test_a_word_is_masked_if_nine_tenths_of_its_letters_are(cached, monkeypatch):
    """The reader finds the left half of all films: words on the right stay."""

    def read(picture):
        height, width = picture.shape[:2]
        return [([[0, 0], [width / 2, 0], [width / 2, height], [0, height]], "left half", 0.9)]

    monkeypatch.setattr(burnt_in, "reader", lambda: read)
    monkeypatch.setattr(burnt_in, "MARGIN", 0)
    found = rows(trial.compute(1, PATIENTS, SIZE)[0])
    right = [name for name in found.loc["place"].index if "right" in name]
    assert right and found.loc["place"].loc[right, "right"].sum() == 0


def test_an_interrupted_drawing_goes_on_with_the_same_bytes(tmp_path, monkeypatch):
    whole = archive.write(tmp_path / "whole", 4, 1, 64, words=True)
    drawn = []

    def interrupted(*arguments, draw=hospital.draw):
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(arguments)
        return draw(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(hospital, "draw", interrupted)
        archive.write(tmp_path / "again", 4, 1, 64, words=True)
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "again").rglob("*.dcm")}
    assert len(kept) >= 3
    again = archive.write(tmp_path / "again", 4, 1, 64, words=True, jobs=2)
    pd.testing.assert_frame_equal(again, whole)
    for file in (tmp_path / "whole").rglob("*"):
        if file.is_file():
            other = tmp_path / "again" / file.relative_to(tmp_path / "whole")
            assert other.read_bytes() == file.read_bytes()
            assert other.stat().st_mtime_ns == kept.get(file.name, other.stat().st_mtime_ns)


def test_copies_of_a_picture_hold_the_same_word_and_about_half_hold_one():
    truth = planted_words()
    assert truth.groupby("picture_seed")["word"].nunique(dropna=False).max() == 1
    assert 0.2 < truth["word"].notna().mean() < 0.8
    assert json.dumps([list(word) for word in truth["word"].dropna()])  # plain values that JSON takes
