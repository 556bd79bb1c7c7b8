"""The budget against operations that torch counts while the real code computes, and against real memory."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from sdnet_lib.config import get_profile
from sdnet_lib.files import InputError
from sdnet_lib.models import classifier, fusion
from sdnet_lib.models.fucitnet import training, twins
from sdnet_lib.publish import plan
from sdnet_lib.studies import budget, chapters, crossval
from sdnet_lib.studies.operations import counter, generator_step, step
from sdnet_lib.studies.study import Study
from tests.conftest import make_squares

pytestmark = pytest.mark.long

SMALL = replace(get_profile("smoke"), image_size=32, epochs=2, generator_epochs=1, weights="none")
HERE = budget.Setting.of(SMALL, mixed=False)


def counted(work) -> float:
    with counter() as found:
        work()
    return found.get_total_flops()


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    cohort = make_squares(tmp_path_factory.mktemp("squares"), 40)
    return cohort, classifier.read_pixels(cohort, 32), np.arange(36), np.arange(36, 40)


def test_a_classifier_takes_what_the_budget_says(squares):
    cohort, pixels, train, valid = squares
    learner = classifier.learner(cohort, train, valid, profile=SMALL, weights="none", pixels=pixels)
    done = counted(lambda: classifier.fit(learner, SMALL))
    assert budget.training("resnet50", SMALL, 36, HERE).operations == pytest.approx(done, rel=0.05)


def test_so_does_a_network_of_twins(squares):
    cohort, pixels, train, valid = squares
    pair = np.repeat(np.repeat(pixels[:, None, None], 2, 1), 3, 2) / np.float16(255)
    learner = fusion.learner(cohort, pair, train, valid, profile=SMALL, weights="none")
    done = counted(lambda: classifier.fit(learner, SMALL))
    assert budget.training("covid-sdnet", SMALL, 36, HERE).operations == pytest.approx(done, rel=0.05)


def test_so_do_generators_and_their_twins(squares):
    cohort, pixels, train, valid = squares
    made = []
    work = lambda: made.append(  # noqa: E731
        training.fit(pixels, cohort["label"], train, valid, profile=SMALL)
    )
    assert budget.generators(SMALL, 36, HERE).operations == pytest.approx(counted(work), rel=0.1)
    done = counted(lambda: twins.transform(made[0], pixels))
    assert 40 * budget._twins(SMALL, HERE).operations == pytest.approx(done, rel=0.05)


@pytest.mark.parametrize("name", ["darkcovidnet", "covid-sdnet"])
def test_so_does_a_cross_validation(squares, tmp_path, name):
    sizes = replace(SMALL, epochs=1, folds=2)
    study = Study(tmp_path / "runs", squares[0], sizes)
    done = counted(lambda: crossval.run_study(study, [name], jobs=1))
    said = budget.study([name], sizes, 40, HERE).operations
    assert said == pytest.approx(done, rel=0.25)  # whole batches: of 18 images 16 are learned from


MEASURE = """
import json, sys
from sdnet_lib.studies.bench import fucitnet as bench
print(json.dumps(bench._measure("ours", **json.loads(sys.argv[1]))))
"""


def test_memory_is_that_of_a_process_that_trains():
    given = json.dumps({"batch": 8, "image_size": 64, "steps": 1, "threads": 1})
    done = subprocess.run([sys.executable, "-c", MEASURE, given], capture_output=True, text=True, check=True)
    said = generator_step("resnet18", 64, 8, False, True)
    assert budget.memory(said, mixed=False) == pytest.approx(json.loads(done.stdout)["memory"], rel=0.25)


def test_half_the_bits_take_about_half_the_memory_and_as_many_operations():
    single, half = (step("cnn", "resnet18", 96, 64, mixed) for mixed in (False, True))
    assert half.operations == single.operations
    assert 0.5 < half.memory / single.memory < 0.95


def test_grouped_convolutions_are_counted_once():
    """Forward and two gradients are three times one look, but for the first layer's input gradient."""
    one = budget.look("features", "tf_efficientnet_lite0", 64, 8, False).operations
    trained = step("cnn", "tf_efficientnet_lite0", 64, 8, False).operations / 8
    assert 2.5 < trained / one < 3.3


def test_full_fits_a_free_colab_gpu():
    full, t4 = get_profile("full"), budget.DEVICES["T4"]
    setting = budget.Setting(True, True)
    rows = dict(budget.book(full, setting))
    rows["06"] += budget.studies(full, setting)
    for chapter, cost in rows.items():
        assert cost.operations / t4.rate / 60 <= plan.MINUTES, chapter
        assert budget.memory(cost, mixed=True) <= plan.GIGABYTES * 1e9, chapter


def test_the_plan_has_a_row_for_each_chapter_and_names_its_device():
    lines = plan.describe(get_profile("smoke"), "t4").splitlines()
    assert lines[0].startswith("profile smoke on T4: 20 TFLOP/s, 15 GB")
    assert [line[:2] for line in lines[3:-1]] == [f"{number:02}" for number in range(1, 11)]


def test_the_device_at_hand_is_measured():
    assert budget.device().rate > 1e8
    with pytest.raises(InputError, match="--device P100: choose one of T4, A100, H100"):
        budget.device("P100")


def test_chapters_ask_for_the_studies_that_are_done_before(squares, monkeypatch, tmp_path):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    cohort = squares[0].assign(severity=["", "Mild", "", "Normal-PCR+"] * 10)
    whole, easier = chapters.studies(cohort, "phantom", None, "full", 0)
    assert easier.folder.name == whole.folder.name + chapters.NO_PCR == "phantom-full-0-no-pcr"
    assert len(whole.cohort) == 40 and len(easier.cohort) == 30
    assert whole.profile == get_profile("full")


def test_a_compiler_without_a_gpu_is_no_news(tmp_path):
    variables = os.environ | {"CUDA_HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", "import sdnet_lib.studies.budget"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert not done.stdout + done.stderr
