import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from sdnet_lib.config import LITE0, PROFILES, Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.models.baselines import covidcaps
from sdnet_lib.models.fucitnet import training
from sdnet_lib.models.task import Task
from tests.models.squares import squares

TABLE_5 = ("resnet50", "resnet50-crop", "fucitnet", "covid-sdnet", "covidnet", "covid-caps")
TINY = Profile("tiny", 24, 32, 32, 16, 1, 1, 1, 2, LITE0)
ALONE = (  # one of each module; those that share generators have a test of their own
    *("resnet50", "covidnet-c", "covid-caps", "darkcovidnet", "deepcovidexplainer"),
    *("bayesian-resnet50v2", "mobilenet"),
)


@pytest.fixture
def task(tmp_path) -> Task:
    return squares(16, 12, TINY, tmp_path)


def test_asking_for_titles_imports_no_library_for_networks():
    code = (
        "import sys; from sdnet_lib.models import registry; registry.title('covidnet'); "
        "sys.exit(bool({'torch', 'timm', 'fastai'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_system_of_the_paper_s_tables_is_there_with_a_title_of_its_own():
    rows = set(TABLE_5) | {"darkcovidnet", "deepcovidexplainer", "bayesian-resnet50v2", "mobilenet"}
    assert rows <= set(registry.APPROACHES) < set(registry.ORDER)
    titles = [registry.title(name) for name in registry.ORDER]
    assert len(set(titles)) == len(registry.ORDER) and not set(titles) & set(registry.ORDER)
    assert registry.title("covidnet-published") == "COVID-Net as published"
    assert registry.title("my own") == "my own"


def test_the_list_says_how_large_each_is_and_what_was_reported():
    lines = registry.describe(PROFILES["paper"]).splitlines()[1:]
    found = {line.split()[0]: line for line in lines}
    assert list(found) == list(registry.APPROACHES)
    assert found["covid-caps"].split()[1:3] == ["295,360", "224"]  # 295,488 with running means and variances
    assert found["darkcovidnet"].split()[1:3] == ["1,164,434", "256"] and "98.08" in found["darkcovidnet"]
    assert round(int(found["resnet50"].split()[1].replace(",", "")) / 1e6, 2) == 24.56
    assert "budget-matched" in found["covidnet"] and found["covidnet"].split()[2] == "480"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="unknown approach 'vgg': choose from resnet50, .*mobilenet"):
        registry.find("vgg")


def check(task: Task, name: str) -> dict:
    """Train an approach, look at what it predicts, fill an untrained one with it; return its notes."""
    approach = registry.find(name)
    predictor, notes = approach.fit(task)
    columns = predictor.predict(task.pixels[:5])
    assert np.allclose(columns["prob_N"] + columns["prob_P"], 1, atol=1e-5)
    assert all(len(column) == 5 for column in columns.values()) and notes
    assert approach.build(task.profile).load_state_dict(predictor.state_dict())
    if name != "bayesian-resnet50v2":  # whose dropout is drawn for a batch as a whole
        alone = predictor.predict(task.pixels[3:4])
        assert np.allclose(alone["prob_P"], columns["prob_P"][3], atol=1e-3)
    return notes | {"columns": set(columns)}


@pytest.mark.parametrize("name", ALONE)
def test_each_learns_from_a_task_and_predicts_two_probabilities(task, name, monkeypatch, learning_threads):
    short = dataclasses.replace(
        covidcaps.CONFIG, epochs=2
    )  # it trains to its recipe's end in the golden record
    monkeypatch.setattr(covidcaps, "CONFIG", short)
    check(task, name)
    assert learning_threads == {1}


@pytest.mark.long
def test_fucitnet_and_sdnet_share_generators_that_were_trained_once(task, monkeypatch):
    alone = check(task, "fucitnet")
    monkeypatch.setattr(training, "fit", None)
    both = check(task, "covid-sdnet")
    assert {"plus_P+", "minus_N-"} <= both["columns"]
    assert both["generators"]["lambda"] == alone["lambda"] and alone["lambda"] in TINY.lambdas
    other = task._replace(shared=task.shared.with_name("r0f1"))
    with pytest.raises(TypeError):
        registry.find("covid-sdnet").fit(other)


def test_published_weights_are_asked_for_by_name(task):
    for name in ("covid-caps-published", "covid-caps-retrained"):
        with pytest.raises(InputError, match=r"covidcaps/weights-improvement-binary-86\.h5 in --data"):
            registry.find(name).fit(task)


def test_a_baseline_trains_by_its_own_configuration(task):
    """DarkCovidNet has no early stopping: it trains as many epochs as the profile allows."""
    longer = task._replace(profile=dataclasses.replace(TINY, epochs=4, patience=1))
    assert registry.find("darkcovidnet").fit(longer)[1]["epochs"] == 4
