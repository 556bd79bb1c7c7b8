"""One test for each way in which what is tested could leak into what was learned.

The tests spoil the images of the tested patients and look whether anything that was learned has changed.
"""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sdnet_lib.config import Profile
from sdnet_lib.data import images
from sdnet_lib.data.cohort import check_cohort
from sdnet_lib.models import registry, training_config
from sdnet_lib.models.registry import find
from sdnet_lib.studies import crossval
from sdnet_lib.studies.study import Run, Study

pytestmark = pytest.mark.long

TINY = Profile("tiny", 24, 32, 32, 16, 3, 1, 1, 3, "tf_efficientnet_lite0", 1, (1.0, 0.01))
RUN = ("covid-sdnet", "resnet50", "darkcovidnet")


@pytest.fixture(scope="module")
def runs(make_cohort, tmp_path_factory) -> list[Study]:
    """One fold of some approaches, on a cohort and on the same with all tested images spoilt."""
    place, rng = tmp_path_factory.mktemp("leaks"), np.random.default_rng(0)
    plain, spoilt = (make_cohort(place / name) for name in ("plain", "spoilt"))
    tested = Study(place, plain, TINY).parts[0, 0].test
    for file in spoilt["file"].iloc[tested]:
        stripes = np.tile(np.linspace(0, 1, 40) ** 2, (40, 1))
        images.write_gray(file, stripes + 0.01 * rng.uniform(size=(40, 40)))
    both = [Study(place / f"runs-{k}", table, TINY) for k, table in enumerate((plain, spoilt))]
    for one in both:
        for name in RUN:
            crossval.do_run(one, Run(name, 0, 0))
    return both


def said(one: Study, name: str) -> dict:
    return json.loads(one.path(Run(name, 0, 0), ".json").read_text())["training"]


def test_the_tested_images_were_spoilt_and_that_shows(runs):
    """Without this, the other tests could pass because nothing was changed."""
    tables = [pd.read_parquet(one.path(Run("resnet50", 0, 0))) for one in runs]
    assert list(tables[0]["image_id"]) == list(tables[1]["image_id"])
    assert not np.allclose(tables[0]["prob_P"], tables[1]["prob_P"])


def test_no_leak_through_normalisation():
    """DarkCovidNet measures its normalisation: on the training part, not on the validation part either."""
    pixels = np.random.default_rng(0).integers(0, 100, (10, 8, 8), np.uint8)
    spoilt = pixels.copy()
    spoilt[6:] = 255
    assert (
        training_config.measure(pixels[:6])
        == training_config.measure(spoilt[:6])
        != training_config.measure(spoilt)
    )


def test_no_leak_through_measured_normalisation_in_a_run(runs):
    assert said(runs[0], "darkcovidnet") == said(runs[1], "darkcovidnet")


def generators(folder):
    (file,) = (f for f in (folder / ".shared").glob("r0f0-*.safetensors") if ".twins" not in f.name)
    return file


def test_no_leak_through_the_generators(runs):
    first, second = (load_file(generators(one.folder)) for one in runs)
    assert len(first) > 100 and first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_no_leak_through_the_choice_of_lambda(runs):
    first, second = (said(one, "covid-sdnet")["generators"] for one in runs)
    assert first["lambda"] in TINY.lambdas and first == second


def test_no_leak_through_early_stopping(runs):
    first, second = (said(one, "resnet50") for one in runs)
    assert first["best_epoch"] >= 1 and first == second


def test_no_leak_through_copies_of_a_picture(make_cohort, tmp_path):
    table = make_cohort(tmp_path / "images")
    table.loc[8, "file"], table.loc[11, "file"] = table.loc[0, "file"], table.loc[1, "file"]
    for part in Study(tmp_path, check_cohort(table), TINY).parts.values():
        for rows in (part.train, part.valid, part.test):
            assert (0 in rows) == (8 in rows) and (1 in rows) == (11 in rows)


def test_no_leak_through_patients(make_cohort, tmp_path):
    table = make_cohort(tmp_path / "images").assign(
        patient_id=[f"p{number // 4 * 2 + number % 2}" for number in range(24)]
    )
    asked = Study(tmp_path, check_cohort(table), TINY)
    for part in asked.parts.values():
        sides = [set(table["patient_id"].iloc[rows]) for rows in (part.train, part.valid, part.test)]
        assert not sides[0] & sides[1] and not (sides[0] | sides[1]) & sides[2]


def test_an_approach_is_never_handed_a_tested_image(make_cohort, tmp_path, monkeypatch):
    table, handed = make_cohort(tmp_path / "images"), []
    asked = Study(tmp_path / "runs", table, TINY)
    real = find("resnet50")
    spy = SimpleNamespace(
        name=real.name,
        crops=real.crops,
        image_size=real.image_size,
        prepare=real.prepare,
        module=real.module,
        package="",
        fit=lambda task: handed.append(task) or real.fit(task),
    )
    monkeypatch.setitem(registry.APPROACHES, "resnet50", spy)
    crossval.do_run(asked, Run("resnet50", 0, 1))
    tested = table.iloc[asked.parts[0, 1].test]
    assert len(handed[0].pixels) == len(table) - len(tested)
    assert not set(handed[0].cohort["image_id"]) & set(tested["image_id"])
