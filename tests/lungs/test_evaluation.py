import hashlib
import json

import numpy as np
import pytest

from sdnet_lib.lungs import cross_fit, evaluation, unet
from tests.lungs.made_masks import rectangle_mask


def test_boxes_overlap_as_on_paper():
    one, two = (0, 0, 10, 10), (5, 0, 15, 20)
    assert evaluation.overlap(one, two) == 50
    assert evaluation.iou(one, two) == 50 / 250
    assert evaluation.iou(one, one) == 1 and evaluation.iou(one, (10, 0, 20, 10)) == 0


def test_a_comparison_counts_margins_where_it_says_so():
    truth = rectangle_mask(400, 400, 100, 100, 300, 300)
    found = evaluation.compare(rectangle_mask(400, 400, 110, 100, 300, 300), truth)
    assert found["dice"] == pytest.approx(2 * 190 * 200 / (190 * 200 + 200 * 200))
    assert found["coverage"] == pytest.approx(195 / 200)  # the margin of 5 pixels wins half of it back
    assert found["iou_tight"] == pytest.approx(190 / 200)
    assert found["iou"] == pytest.approx(200 / 210)
    whole = evaluation.compare(np.zeros((400, 400), bool), truth)
    assert not whole["lungs_found"] and whole["coverage"] == 1 and whole["iou_tight"] == 0.25


def test_the_stored_results_belong_to_the_shipped_weights():
    results = json.loads((unet.WEIGHTS / "lungs.json").read_text())
    for name, entry in results["networks"].items():
        content = (unet.WEIGHTS / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) == entry["bytes"] < 6_000_000


def test_the_shipped_networks_reach_their_targets():
    results = json.loads((unet.WEIGHTS / "lungs.json").read_text())
    assert results["networks"]["lungs"]["dice_mean"] >= 0.962
    outside = results["external"]["all"]
    assert outside["images"] == 467
    assert outside["covered"] >= 0.94 and outside["iou_median"] >= 0.9


def test_an_evaluation_measures_each_network_on_its_unseen_folds(cohort, tmp_path):
    patients = [f"CHNCXR_{number:04}_0" for number in range(40)]
    of_fold = [next(p for p in patients if cross_fit.fold_of(p) == fold) for fold in (0, 0, 1, 2, 3, 4)]
    known = cohort.assign(source=["Shenzhen", "Montgomery"] * 3, patient_id=of_fold)
    external = cohort.assign(mask_source="made", lung_mask=["", *cohort["lung_mask"][1:]])
    results = json.loads(evaluation.evaluate(known, external, tmp_path / "out").read_text())
    images = {name: entry["images"] for name, entry in results["networks"].items()}
    assert images == {"lungs": 2, "lungs_not_12": 2, "lungs_not_34": 2}
    assert results["external"]["all"] == results["external"]["made"] == results["external"]["PA"]
    assert results["external"]["all"]["images"] == 5
    assert min(entry["dice_mean"] for entry in results["unseen"].values()) > 0.85
