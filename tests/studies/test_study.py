import json
from dataclasses import replace

import pandas as pd
import pytest

from sdnet_lib.checksums import write_seal
from sdnet_lib.config import PROFILES, Profile
from sdnet_lib.files import InputError, write_json, write_text
from sdnet_lib.models import registry
from sdnet_lib.studies import crossval, plan
from sdnet_lib.studies import study as study_module
from sdnet_lib.studies.study import STATES, Run, Study

TINY = Profile("tiny", 24, 32, 32, 16, 1, 1, 2, 3, "tf_efficientnet_lite0")


def finish(study: Study, run: Run) -> None:
    write_text(study.path(run), "predictions")
    write_seal(study.path(run, ".json"), study.provenance(run, {}, 3), *study.files(run))


def test_a_folder_holds_one_study(toy_cohort, tmp_path):
    Study(tmp_path, toy_cohort, TINY).open()
    for other, what in (
        (Study(tmp_path, toy_cohort.iloc[:-1], TINY), "cohort"),
        (Study(tmp_path, toy_cohort, TINY, seed=1), "seed 0 there, 1 asked for"),
        (Study(tmp_path, toy_cohort, replace(TINY, image_size=48)), "image_size 32 there, 48 asked for"),
        (Study(tmp_path, toy_cohort, TINY, external={"other": toy_cohort}), "external"),
        (Study(tmp_path, toy_cohort, TINY, match_negatives=True), "match_negatives False there"),
        (Study(tmp_path, toy_cohort, replace(TINY, weights="none")), "weights available there, none asked"),
        (Study(tmp_path, toy_cohort, replace(TINY, budget="equal-steps")), "budget own-recipe there"),
    ):
        with pytest.raises(InputError, match=f"another study.*{what}"):
            other.open()


def test_a_study_of_an_older_version_goes_on(toy_cohort, tmp_path):
    """Then external cohorts were `elsewhere`, `image_size` was `side` and `radiograph_size` `image_size`."""
    study = Study(tmp_path, toy_cohort, TINY, external={"other": toy_cohort})
    study.open()
    stored = json.loads((tmp_path / "study.json").read_text())
    del stored["files"], stored["checksum"]
    stored["elsewhere"] = stored.pop("external")
    del stored["match_negatives"], stored["profile"]["budget"], stored["profile"]["weights"]
    profile = stored["profile"]
    profile["side"], profile["image_size"] = profile["image_size"], profile.pop("radiograph_size")
    write_json(tmp_path / "study.json", stored)
    study.open()
    with pytest.raises(InputError, match="image_size 32 there, 48 asked for"):
        replace(study, profile=replace(TINY, image_size=48)).open()


def test_a_run_is_done_when_all_that_it_should_leave_is_there(toy_cohort, tmp_path):
    study, run = Study(tmp_path, toy_cohort, TINY), Run("resnet50", 0, 1)
    finish(study, run)
    assert study.done(run) and not replace(study, keep_models=True).done(run)
    assert not replace(study, external={"other": toy_cohort}).done(run)
    study = replace(study, keep_models=True)
    write_text(study.path(run, ".safetensors"), "")
    assert study.state(run)[0] == "damaged"  # not of this run
    finish(study, run)
    assert study.done(run)
    study.path(run).unlink()
    assert study.state(run) == ("missing", "")
    assert study.path(run, external="other") == tmp_path / "on-other" / "resnet50" / "r0f1.parquet"


def test_a_plan_says_what_is_known(toy_cohort, tmp_path):
    study = Study(tmp_path, toy_cohort, TINY)
    text = plan.describe(study.plan(["resnet50"]), 2)
    assert "0 of 6 runs done, 2 at a time" in text and text.count("unknown") == 2
    assert not list(tmp_path.iterdir())
    table = pd.DataFrame(
        {"approach": "a", "state": ["done", "unchecked", *STATES[2:]], "seconds": 60.0, "silent": 0}
    )
    _, line, *notes = plan.describe(table, 2).splitlines()
    assert line.split() == ["a", "2", "1", "1", "1", "60", "1.5"]
    assert notes == [
        "runs of older code, and damaged ones, are done again",
        "1 of those done are of an early version, without checksum and version of code",
        "2 of 5 runs done, 2 at a time",
    ]


def test_a_run_of_other_code_or_with_damage_is_not_done(toy_cohort, tmp_path, monkeypatch):
    study, run = Study(tmp_path, toy_cohort, TINY), Run("resnet50", 0, 0)
    finish(study, run)
    for file in (study.path(run), study.path(run, ".json")):
        content = file.read_bytes()
        file.write_bytes(content[:-3] + b"x" + content[-2:])
        assert study.state(run)[0] == "damaged" and str(file) in study.state(run)[1]
        file.write_bytes(content)
    assert study.state(run) == ("done", "")
    monkeypatch.setattr(study_module, "code_of", lambda _: {"hash": "another"})
    assert study.state(run) == ("older code", "")
    assert list(study.plan(["resnet50"])["state"]) == ["older code"] + ["missing"] * 5
    assert "resnet50                     0           1        0        5" in plan.describe(
        study.plan(["resnet50"]), 1
    )


def test_a_run_of_an_early_version_counts_as_done(toy_cohort, tmp_path):
    study, run = Study(tmp_path, toy_cohort, TINY), Run("resnet50", 0, 0)
    write_text(study.path(run), "")
    write_json(study.path(run, ".json"), {"seconds": 3, "code": {"version": "0.1.0", "hash": "313d3c1def0d"}})
    assert study.done(run) and list(study.plan(["resnet50"])["seconds"]) == [3] * 6


def test_copies_of_a_picture_under_two_patients_stay_in_one_part(toy_cohort, tmp_path):
    twice = toy_cohort.copy()
    twice.loc[4, "file"], twice.loc[6, "file"] = twice.loc[0, "file"], twice.loc[2, "file"]
    for part in Study(tmp_path, twice, TINY).parts.values():
        sides = {row: name for name in ("train", "valid", "test") for row in getattr(part, name)}
        assert sides[4] == sides[0] and sides[6] == sides[2]


def test_the_whole_cohort_is_learned_from_but_for_a_tenth_of_other_patients(make_cohort, tmp_path):
    cohort = make_cohort(tmp_path / "images", 40)
    task = Study(tmp_path, cohort, TINY, seed=2).whole_task("resnet50")
    assert sorted(task.cohort["image_id"]) == sorted(cohort["image_id"]) and task.seed == 2
    assert len(task.train) + len(task.valid) == len(task.pixels) == 40 and 2 <= len(task.valid) <= 8
    patients = task.cohort["patient_id"]
    assert not set(patients.iloc[task.train]) & set(patients.iloc[task.valid])


def test_each_approach_sees_its_paper_s_image_size_in_a_full_profile_only(toy_cohort, tmp_path):
    covidnet = registry.find("covidnet")
    for profile, image_size in (
        (PROFILES["paper"], 480),
        (PROFILES["quick"], PROFILES["quick"].image_size),
        (replace(PROFILES["paper"], image_size=96), 96),
    ):
        assert Study(tmp_path, toy_cohort, profile).profile_of(covidnet).image_size == image_size


def test_normal_pcr_can_be_left_out(toy_cohort):
    kept = crossval.without_normal_pcr(toy_cohort)
    assert len(kept) == len(toy_cohort) - 4 and "Normal-PCR+" not in set(kept["severity"])
    with pytest.raises(InputError, match="nothing to leave out"):
        crossval.without_normal_pcr(kept)


def test_one_row_cannot_mix_two_starts(toy_cohort, tmp_path):
    study, run = Study(tmp_path, toy_cohort, TINY), Run("mobilenet", 0, 0)
    write_json(study.path(run, ".json"), {"training": {"deep": {"weights": "none"}}})
    study.check_start(Run("mobilenet", 0, 1), {"weights": "none"})
    study.check_start(Run("resnet50", 0, 1), {"weights": "imagenet"})
    with pytest.raises(InputError, match="r0f1 starts from imagenet, but r0f0 started from none: one row"):
        study.check_start(Run("mobilenet", 0, 1), {"weights": "imagenet"})
