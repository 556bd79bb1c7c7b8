import numpy as np
import pandas as pd
import pytest

from sdnet_lib.audit import findings
from sdnet_lib.studies import published_audit
from sdnet_lib.studies.published_audit import NAMES, NONE, Cell


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    return {name: published_audit.drawn(name, 90, folder) for name in (NONE, "aspect", "view", "marker")}


@pytest.mark.long
def test_the_same_patients_are_drawn_with_every_shortcut(films):
    for cohort, _ in films.values():
        assert cohort["patient_id"].equals(films[NONE][0]["patient_id"])
        for _, sexes in cohort.groupby("label")["sex"]:
            assert abs((sexes == "F").sum() - (sexes == "M").sum()) <= 1
    assert set(films["view"][0]["view"]) == {"AP"} and set(films[NONE][0]["view"]) == {"PA"}


@pytest.mark.parametrize("strength, planted", [(1.0, (20, 0)), (0.6, (16, 4)), (0.3, (13, 7))])
def test_a_strength_is_kept_to_the_image(strength, planted, films):
    cohort, evidence = published_audit.planted(Cell("aspect", strength, 40), 0, films)
    narrow = evidence.facts["aspect ratio"] < 0.95
    counts = cohort["label"].groupby(narrow).value_counts()
    assert tuple(int(counts.get((True, label), 0)) for label in "PN") == planted
    assert cohort["patient_id"].is_unique and len(cohort) == len(evidence.facts) == 40


def test_women_are_chosen_for_the_shortcut_of_sex(films):
    cohort, _ = published_audit.planted(Cell("sex", 1.0, 24), 0, films)
    assert (cohort["sex"] == cohort["label"].map({"P": "F", "N": "M"})).all()


def test_another_seed_is_another_cohort(films):
    one, two, same = (published_audit.planted(Cell(NONE, 0, 40), seed, films)[0] for seed in (0, 1, 0))
    assert one.equals(same) and set(one["image_id"]) != set(two["image_id"])


def test_a_planted_aspect_is_named(films):
    row = published_audit.audited(Cell("aspect", 1.0, 60), 0, films)
    assert (
        row["verdict"] == "red" and "aspect" in row["named"].split("; ") or "size" in row["named"].split("; ")
    )


def test_a_summary_counts_names_and_others():
    rows = [
        ("marker", "red", "marker; file alone"),
        ("marker", "red", "marker; sharpness"),
        ("marker", "green", np.nan),
        ("none", "green", ""),
    ]
    table = pd.DataFrame(rows, columns=["shortcut", "verdict", "named"]).assign(strength=1.0, images=200)
    found = published_audit.summary(table).set_index("shortcut")
    assert found.loc["marker", ["named", "others", "red"]].tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    assert np.isnan(found.loc["none", "named"]) and found.loc["none", "green"] == 1


def test_every_shortcut_has_names_that_the_audit_knows_and_every_cell_is_planned_once():
    assert set().union(*NAMES.values()) <= set(findings.CAUSES)
    assert len(set(published_audit.CELLS)) == len(published_audit.CELLS) == 2 + 3 * 2 * 8
