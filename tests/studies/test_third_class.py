"""A third class: learned from in every fold, tested in none."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from sdnet_lib.config import LITE0, Profile
from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.data.images import read_gray, write_gray
from sdnet_lib.evaluation import tables
from sdnet_lib.evaluation.trained import read_origins, table
from sdnet_lib.files import InputError
from sdnet_lib.models.task import THIRD
from sdnet_lib.studies import crossval, final, model_file, third_class
from sdnet_lib.studies.study import Run, Study

TINY = Profile("tiny", 24, 32, 32, 16, 1, 1, 1, 3, LITE0)


@pytest.fixture(scope="module")
def folders(make_cohort, tmp_path_factory) -> list[str]:
    """Two cohorts on disk; the films of the second are turned around, so they are other pictures."""
    places = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for place, step in zip(places, (1, -1), strict=True):
        made = make_cohort(place)
        for file in made["file"]:
            write_gray(file, read_gray(file)[:, ::step])
        write_cohort(made.assign(patient_id=place.name + made["patient_id"]), place)
    return [str(place) for place in places]


@pytest.fixture(scope="module")
def third(make_cohort, tmp_path_factory) -> pd.DataFrame:
    """Squares of other patients, noisier in other places."""
    made = make_cohort(tmp_path_factory.mktemp("third"))
    made = made.assign(image_id="t" + made["image_id"], patient_id="t" + made["patient_id"])
    return third_class.drawn(made, 12, 0)


@pytest.fixture(scope="module")
def study(make_cohort, third, tmp_path_factory) -> Study:
    place = tmp_path_factory.mktemp("study")
    cohort = make_cohort(place / "images")
    done = Study(place / "runs", cohort, TINY, third_class=third, keep_models=True)
    crossval.run_study(done, ["covidnet-c", "resnet50-crop"])
    return done


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_fold_leaves_its_share_of_patients_out_and_none_is_in_two_parts(folds):
    patients = pd.Series([f"p{number // 2}" for number in range(120)])
    seen = np.zeros(120, int)
    for fold in range(folds):
        train, valid = (set(rows) for rows in third_class.parts(patients, folds, fold, 3))
        assert not set(patients[list(train)]) & set(patients[list(valid)])
        assert len(train | valid) == pytest.approx(120 * (1 - 1 / folds), abs=2) and 0 < len(
            valid
        ) < 0.25 * len(train)
        seen[list(train | valid)] += 1
    assert set(seen) == {folds - 1}
    everybody = np.concatenate(third_class.parts(patients, 1, None, 3))
    assert sorted(everybody) == list(range(120))
    with pytest.raises(InputError, match=f"{folds} folds need {2 * folds} patients of the third class"):
        third_class.parts(patients[:2], folds, 0, 3)


@pytest.mark.long
def test_only_what_has_a_third_class_learns_from_it(study, third):
    for fold in range(3):
        plain, more = (study.task(Run(name, 0, fold)) for name in ("resnet50-crop", "covidnet-c"))
        assert THIRD not in set(plain.cohort["label"])
        extra = more.cohort[more.cohort["label"] == THIRD]
        assert set(extra["image_id"]) < set(third["image_id"]) and len(extra) >= 6
        assert len(more.pixels) == len(more.cohort) == len(more.train) + len(more.valid)
        assert {THIRD} < set(more.cohort["label"].iloc[more.train])
        assert THIRD in set(more.cohort["label"].iloc[more.valid])
        pd.testing.assert_frame_equal(more.cohort[more.cohort["label"] != THIRD], plain.cohort)


def test_no_image_of_the_third_class_is_in_the_test_s_counts(study):
    rows = tables.read_runs(study.folder)
    assert set(rows["label"]) == {"N", "P"} and set(rows["image_id"]) == set(study.cohort["image_id"])
    assert rows.groupby("approach").size().to_dict() == {"covidnet-c": 24, "resnet50-crop": 24}
    assert set(rows.loc[rows["approach"] == "covidnet-c", "vote"]) <= {"N", "P", THIRD}


def test_the_row_and_its_provenance_name_the_third_class(study):
    said = {name: json.loads(study.path(Run(name, 0, 0), ".json").read_text()) for name in ("covidnet-c",)}
    assert said["covidnet-c"]["cohort"]["third_class"]["images"] == 12
    assert 0 < said["covidnet-c"]["training"]["third_class"] < 12
    other = json.loads(study.path(Run("resnet50-crop", 0, 0), ".json").read_text())
    assert "third_class" not in other["cohort"] and "third_class" not in other["training"]
    assert "as a third class: COVID-Net (PEPX c)." in table(read_origins(study.folder)).notes[-1]


def test_a_folder_holds_studies_with_one_third_class_only(study):
    for other in (None, study.third_class.iloc[1:]):
        with pytest.raises(InputError, match="another study, name another folder: third_class"):
            Study(study.folder, study.cohort, TINY, third_class=other, keep_models=True).open()


def test_the_class_is_the_positives_of_another_cohort_without_patients_of_this_one(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "copy")
    with pytest.raises(InputError, match="--third-class .*copy: all its patients are in .*one0 too"):
        crossval.study_of(folders[0], tmp_path / "runs", third_class=str(tmp_path / "copy"))
    made = crossval.study_of(folders[0], tmp_path / "runs", profile="smoke", third_class=folders[1])
    assert set(made.third_class["label"]) == {"P"} and len(made.third_class) == 12  # as many as negatives
    with pytest.raises(InputError, match="no image with the label P"):
        third_class.drawn(made.cohort[made.cohort["label"] == "N"], 3, 0)


def test_a_model_of_the_whole_cohort_learns_the_whole_third_class(folders, tmp_path):
    file, sizes = tmp_path / "model.safetensors", {"image_size": 32, "epochs": 1, "folds": 3}
    options = {"profile": "smoke", "changes": sizes, "third_class": folders[1]}
    made = final.train(folders[0], "covidnet-c", file, **options)
    plain = model_file.read(file)
    third = plain.card["cohort"]["third_class"]["images"]
    assert third == 12 and made.card["training"]["third_class"] == pytest.approx(0.9 * third, abs=1)
    assert plain.card["cohort"]["N"] + plain.card["cohort"]["P"] == plain.card["cohort"]["images"] == 24
    assert plain.card["limits"][0].startswith(f"Taught {folders[1]} as a third class")
    columns = plain.predictor.predict(np.zeros((2, 32, 32), np.uint8))
    assert set(columns) == {"prob_N", "prob_P", "prob_pneumonia", "vote"}


def test_what_has_no_place_for_a_third_class_is_refused_before_a_cohort_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(crossval, "study_of", None)
    with pytest.raises(
        InputError, match="--third-class: resnet50 tells N from P only; these learn a third: covidnet,"
    ):
        final.train("phantom", "resnet50", tmp_path / "m.safetensors", third_class="phantom-pneumonia")
