"""What a notebook calls: its first and last lines, cohorts, studies and stored results."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from data_scripts import registry
from sdnet_lib import config
from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.files import InputError
from sdnet_lib.publish import course


def test_start_seeds_and_returns_the_profile(capsys):
    import numpy as np
    import torch

    draws = []
    torch.set_num_threads(2)
    for _ in range(2):
        settings = course.start("smoke", 3)
        draws.append((np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    assert settings is config.PROFILES["smoke"] and torch.get_num_threads() == 1
    assert "profile smoke, seed 3, device" in capsys.readouterr().out


def test_an_unknown_profile_is_refused():
    with pytest.raises(InputError, match="unknown profile 'big': choose one of smoke, quick, full, paper"):
        course.start("big")


@pytest.mark.parametrize("gigabytes, profile", [(0, "quick"), (8, "quick"), (15, "full"), (40, "full")])
def test_auto_picks_the_profile_by_the_gpu_and_says_what_it_found(monkeypatch, capsys, gigabytes, profile):
    import torch

    card = type("Card", (), {"total_memory": gigabytes * 1e9})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gigabytes > 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch, "manual_seed", lambda _: None)
    monkeypatch.setenv("SDNET_CACHE", "/content/drive/MyDrive/sdnet")
    assert course.start("auto").name == profile
    said = capsys.readouterr().out
    assert f"profile {profile}, seed 0, device {'cuda (Tesla T4' if gigabytes else 'cpu'}" in said
    assert said.endswith("what is kept goes to $SDNET_CACHE\n")


def test_finish_says_when_on_what_and_with_which_versions(capsys):
    course.start("quick", 5)
    course.finish()
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"\d{4}-\d\d-\d\d, \d+\.\d min on (cpu|cuda), Python 3\.", line)
    for part in ("sdnet-lib", "torch", "fastai", "profile quick, seed 5"):
        assert part in line


def test_glue_stores_a_value_for_the_prose(monkeypatch):
    import myst_nb

    stored = []
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: stored.append((name, value, display)))
    course.glue("c1_accuracy", "97 %")
    assert stored == [("c1_accuracy", "97 %", False)]


def test_glue_does_nothing_where_there_is_no_book():
    check = (
        "import sys; sys.modules['myst_nb'] = None\nfrom sdnet_lib.publish import course\ncourse.glue('a', 1)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_importing_it_waits_for_nothing_heavy():
    check = (
        "import sys, sdnet_lib.publish.course\n"
        "assert not {'torch', 'pandas', 'fastai', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_synthetic_cohort_has_the_notebook_s_profile_and_seed():
    course.start("smoke", 1)
    cohort = course.load_cohort("phantom")
    assert len(cohort) == config.get_profile("smoke").images
    pd.testing.assert_frame_equal(cohort, registry.load_cohort("phantom", profile="smoke", seed=1))


def test_a_public_set_that_is_not_here_is_none_and_a_broken_one_an_error(tmp_path):
    course.start("smoke")
    assert course.load_if_here("cxr-collection", None) is None
    assert course.load_if_here("cxr-collection", tmp_path) is None
    (tmp_path / "cxr_collection").mkdir()
    (tmp_path / "cxr_collection" / "metadata.csv").touch()
    with pytest.raises(InputError, match="empty file"):
        course.load_if_here("cxr-collection", tmp_path)


def test_a_study_tests_each_image_once_by_a_network_that_never_saw_its_patient(toy_cohort, tmp_path):
    course.start("smoke")
    write_cohort(toy_cohort, tmp_path)
    study = course.study(course.load_cohort(tmp_path), tmp_path / "runs", image_size=32)
    live = course.run_study(study, ["darkcovidnet"])
    assert sorted(live["image_id"]) == sorted(toy_cohort["image_id"])
    for (repeat, fold), split in study.parts.items():
        tested = live[(live["repeat"] == repeat) & (live["fold"] == fold)]
        assert set(tested["image_id"]) == set(toy_cohort["image_id"].iloc[split.test])
        seen = toy_cohort["patient_id"].iloc[[*split.train, *split.valid]]
        assert not set(seen) & set(tested["patient_id"])


def test_stored_results_come_with_their_origin():
    for name in course.published_studies():
        predictions, origin = course.published(name)
        assert predictions["prob_P"].between(0, 1).all()
        assert {"images", "protocol", "code"} <= course.provenance(predictions, origin).keys()
    for name in ("shortcuts", "pointing"):
        table, origin = course.published(name)
        assert len(table) and origin["command"]
    with pytest.raises(InputError, match="no stored study 'nothing'"):
        course.published("nothing")


def test_the_deep_study_is_the_stored_one_and_with_a_cohort_of_one_s_own_a_live_one(
    toy_cohort, tmp_path, monkeypatch
):
    course.start("smoke")
    whole, facts = course.deep_study("phantom")
    easier, _ = course.deep_study("phantom", without_normal_pcr=True)
    assert facts["run"] == "stored: phantom" and "protocol" in facts
    assert set(whole["severity"]) - set(easier["severity"]) == {"Normal-PCR+"}
    write_cohort(toy_cohort, tmp_path)
    monkeypatch.setattr(course, "approaches", lambda: ["darkcovidnet"])
    run = course.run_study  # as if its few steps were enough
    monkeypatch.setattr(course, "run_study", lambda *given: run(*given).assign(learned=True))
    live, facts = course.deep_study(str(tmp_path))
    assert facts["run"].startswith("live") and set(live["image_id"]) == set(toy_cohort["image_id"])
    again, _ = course.deep_study(str(tmp_path))  # found done
    pd.testing.assert_frame_equal(live, again)
    left, _ = course.deep_study(str(tmp_path), without_normal_pcr=True)
    assert set(left["image_id"]) == set(toy_cohort.query("severity != 'Normal-PCR+'")["image_id"])


def test_where_no_run_has_learned_the_stored_study_stands_in_and_is_named(toy_cohort, tmp_path, monkeypatch):
    course.start("smoke")
    write_cohort(toy_cohort, tmp_path)
    monkeypatch.setattr(course, "approaches", lambda: ["darkcovidnet"])
    run = course.run_study
    monkeypatch.setattr(course, "run_study", lambda *given: run(*given).assign(learned=False))
    found, facts = course.deep_study(str(tmp_path))
    assert facts["instead of"].endswith("only 0 of 2 runs have learned") and facts["run"] == "stored: phantom"
    pd.testing.assert_frame_equal(found, course.deep_study("phantom")[0])
    easier, facts = course.deep_study(str(tmp_path), without_normal_pcr=True)
    assert facts["run"] == "stored: phantom-no-pcr" and "Normal-PCR+" not in set(easier["severity"])
    monkeypatch.setattr(course, "published_studies", list)  # a copy of the course without stored studies
    assert course.deep_study(str(tmp_path))[1]["run"].startswith("live")


def test_networks_that_were_carried_are_those_from_home():
    home, away = course.published("phantom-biased")[0], course.published("phantom-biased", "phantom")[0]
    assert set(home["approach"]) == set(away["approach"])


def test_a_shipped_model_has_its_card():
    assert "medical device" in course.model("synthetic").card["warning"]
