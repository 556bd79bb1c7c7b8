import inspect
import json
from importlib import import_module

import pytest

from sdnet_lib.config import BUDGETS
from sdnet_lib.evaluation import trained
from sdnet_lib.files import InputError
from sdnet_lib.models.registry import APPROACHES, title
from sdnet_lib.studies import published

# where a module leaves the question to another one
USED = {
    "sdnet_lib.models.controls": ("sdnet_lib.models.sdnet",),
    "sdnet_lib.models.fucitnet.approach": ("sdnet_lib.models.fucitnet.training",),
}
SGD = {"optimiser": "SGD", "lr": 0.01, "schedule": "plateau", "batch": 16, "views": 1, "stopping": "best"}


def run(approach: str, training: dict, seconds: float = 10.0) -> dict:
    return {"approach": approach, "seconds": seconds, "training": training}


def test_a_row_says_start_steps_images_and_stopping():
    one = SGD | {"weights": "imagenet", "steps": 40, "steps_kept": 20}
    table = trained.table(
        [run("resnet50", one), run("resnet50", one | {"steps": 60, "steps_kept": 30}, 20.0)]
    )
    stops = trained.STOPPING["best"]
    assert table.rows == [
        [
            "ResNet-50 without segmentation",
            "2",
            "imagenet",
            "50 (25)",
            "16 x 1",
            "SGD 0.01, plateau",
            stops,
            "15",
        ]
    ]


def test_generators_say_their_start_but_their_steps_are_not_the_network_s():
    generators = {
        "classifier": "resnet18 imagenet",
        "perceptual": "vgg16 imagenet",
        "steps": 999,
        "batch": 16,
    }
    both = SGD | {
        "weights": "none",
        "views": 2,
        "batch": 8,
        "steps": 40,
        "steps_kept": 40,
        "generators": generators,
    }
    cells = trained.table([run("covid-sdnet", both)]).rows[0]
    assert cells[2:5] == [f"{trained.OTHER_START}, resnet18 imagenet, vgg16 imagenet", "40 (40)", "8 x 2"]


def test_what_an_older_study_does_not_say_is_a_dash():
    assert trained.table([run("darkcovidnet", {"weights": "none"})]).rows[0][2:] == ["none", *["–"] * 4, "10"]


@pytest.mark.parametrize("name", [name for name, one in APPROACHES.items() if not one.frozen])
def test_a_row_that_starts_otherwise_than_its_paper_says_so(name):
    """Whether it does is looked up in the code: who can start from ImageNet asks for these weights."""
    module = f"sdnet_lib.models.{APPROACHES[name].module}"
    asks = any(
        "available_weights" in inspect.getsource(import_module(one))
        for one in (module, *USED.get(module, ()))
    )
    assert asks != APPROACHES[name].from_scratch
    cell = trained.table([run(name, {"weights": "none"})]).rows[0][2]
    assert cell == ("none" if APPROACHES[name].from_scratch else "none (its paper: imagenet)")
    assert trained.table([run(name, {"weights": "imagenet"})]).rows[0][2] == "imagenet"


def test_a_frozen_encoder_makes_no_steps_and_says_what_was_trained():
    notes = {"weights": "imagenet", "trained": "logistic regression", "C": 0.01}
    row = trained.table([run("lite0-probe", notes)]).rows[0]
    assert row[2:] == ["imagenet", "–", "–", "logistic regression", "–", "10"]


@pytest.mark.parametrize("name", published.stored())
def test_stored_studies_name_each_start(name):
    runs = published.load(name)[1]["runs"]
    for row in trained.table(runs).rows:
        assert row[2] not in ("", "–"), row
        approach = next(one["approach"] for one in runs if title(one["approach"]) == row[0])
        assert row[2] != "none" or APPROACHES[approach].from_scratch, row


def test_both_budgets_say_what_is_equal():
    for budget in BUDGETS:
        assert budget in trained.table([run("resnet50", {})], budget).notes[0]


def test_a_damaged_origin_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "r0f0.json").write_text(json.dumps({"training": {}}))
    assert len(trained.read_origins(tmp_path)) == 1
    (tmp_path / "a" / "r0f1.json").write_text("{")
    with pytest.raises(InputError, match=r"r0f1\.json: cannot be read"):
        trained.read_origins(tmp_path)
