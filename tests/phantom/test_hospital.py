import numpy as np
import pandas as pd
import pytest

from sdnet_lib.data import duplicates, release, severity
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.files import InputError
from sdnet_lib.phantom import hospital, radiograph


@pytest.fixture(scope="module")
def records():
    return hospital.simulate(400, seed=0)


def test_same_seed_same_records(records):
    for one, two in zip(records, hospital.simulate(400, seed=0), strict=True):
        pd.testing.assert_frame_equal(one, two)
    assert not records.studies.equals(hospital.simulate(400, seed=1).studies)


def test_more_patients_change_nothing_in_the_first(records):
    few = hospital.simulate(30, seed=0)
    for one, many in zip(few, records, strict=True):
        pd.testing.assert_frame_equal(one, many.head(len(one)))


def test_every_study_has_one_reason_and_the_flow_adds_up(records):
    judged = release.judge(*records[:3])
    assert judged["reason"].notna().all() and len(judged) == len(records.studies)
    cohort, flow = release.release(*records[:3])
    assert flow["left"].iloc[0] == len(records.studies)
    assert (flow["left"].shift().fillna(flow["left"][0]) - flow["excluded"] == flow["left"]).all()
    assert flow["left"].iloc[-1] == len(cohort) == (judged["reason"] == release.RELEASED).sum()
    assert flow["excluded"].sum() + len(cohort) == len(records.studies)


def test_the_archive_is_untidy_enough(records):
    groups = records.truth.assign(
        picture=records.truth["picture_seed"], patient_id=records.studies["patient_id"]
    )
    studies = records.studies.assign(picture=groups["picture"])  # what comparing the pixels would find
    _, flow = release.release(studies, records.pcr, records.readings)
    rare = {"picture filed under two patients", "readers disagree, nobody decided"}
    struck = set(flow.loc[flow["excluded"] > 0, "rule"])
    assert set(flow["rule"][1:]) - struck <= rare
    assert studies.groupby("picture")["patient_id"].nunique().max() == 2


def test_the_release_keeps_the_rules_and_labels_few_wrongly(records):
    cohort, _ = release.release(*records[:3])
    assert cohort["view"].unique().tolist() == ["PA"]
    assert cohort["machine"].nunique() == 1
    assert cohort["patient_id"].is_unique
    assert (cohort["severity"] == "").eq(cohort["label"] == "N").all()
    everything = {"views": ("PA", "AP"), "machines": list(hospital.SITES), "one_per_patient": False}
    careless, _ = release.release(*records[:3], pcr_hours=np.inf, **everything)
    assert hospital.wrong_labels(cohort, records.truth) < 0.05
    assert hospital.wrong_labels(careless, records.truth) > 0.05
    assert hospital.wrong_labels(cohort.assign(label="N"), records.truth) > 0.4
    assert release.giveaway(careless, ["view", "machine"]) > 0.58
    assert release.giveaway(cohort, ["view", "machine"]) == 0.5


def test_readers_see_the_truth_but_not_always(records):
    read = records.readings.dropna(subset=["score"]).merge(
        records.truth, on="study_id", suffixes=("", "_true")
    )
    assert (severity.scores(read["parts"]) == read["score"]).all()
    off = read["score"] - severity.scores(read["parts_true"])
    assert 0.2 < (off != 0).mean() < 0.6
    assert abs(off.mean()) < 0.5
    assert (severity.severities(severity.scores(read["parts_true"])) == read["level"]).all()


def test_copies_are_found_by_likeness(records):
    truth = records.truth.set_index("study_id")
    copies = truth[(truth["copy"] != "") & (truth["view"] == "PA")].iloc[:6].index
    names = [*copies.str.removesuffix("-copy"), *copies]
    images = hospital.draw(records.truth, names, 64)
    groups = duplicates.groups(duplicates.likeness(images))
    assert (groups[:6] == groups[6:]).all()
    assert len(set(groups)) == 6


def test_pictures_show_the_parts_that_the_truth_names(records):
    row = records.truth[(records.truth["parts"] != "") & (records.truth["view"] == "PA")].iloc[0]
    bare = radiograph.radiograph(row["picture_seed"], size=96, site=row["site"], sex=row["sex"])
    change = hospital.draw(records.truth, [row["study_id"]], 96)[0] - bare.image
    masks = severity.part_masks(bare.lung_mask)
    assert {name for name in masks if change[masks[name]].any()} == set(row["parts"].split())


@pytest.mark.parametrize("name", ["S99999a", "lateral"])
def test_only_known_frontal_studies_are_drawn(records, name):
    lateral = records.truth.loc[records.truth["view"] == "LATERAL", "study_id"].iloc[0]
    with pytest.raises(InputError, match="not a frontal study"):
        hospital.draw(records.truth, [lateral if name == "lateral" else name], 64)


def test_a_release_is_a_cohort(records, tmp_path):
    cohort, _ = release.release(*records[:3])
    few = cohort.groupby("label").head(2)
    written = hospital.write_release(few, records.truth, tmp_path / "release", 64)
    again = read_cohort(tmp_path / "release")
    assert again["image_id"].tolist() == written["image_id"].tolist()
    assert again["file"].tolist() == written["file"].tolist()
    assert release.table3(again).equals(release.table3(written))
