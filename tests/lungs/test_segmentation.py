import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sdnet_lib.lungs import cross_fit, evaluation, segmentation
from sdnet_lib.phantom import radiograph
from tests.lungs.made_masks import rectangle_mask


def test_tidy_keeps_the_two_largest_parts_without_their_holes():
    left = rectangle_mask(100, 100, 10, 10, 40, 80)
    right = rectangle_mask(100, 100, 60, 10, 90, 60)
    hole, third = rectangle_mask(100, 100, 20, 20, 25, 30), rectangle_mask(100, 100, 45, 90, 55, 95)
    assert (segmentation.tidy((left | right | third) & ~hole) == (left | right)).all()


def test_tidy_takes_no_speck_for_a_second_lung():
    lung, speck = rectangle_mask(100, 100, 10, 10, 40, 80), rectangle_mask(100, 100, 95, 95, 99, 99)
    assert (segmentation.tidy(lung | speck) == lung).all()
    assert not segmentation.tidy(np.zeros((9, 9), bool)).any()


def test_work_is_handed_out_no_faster_than_it_is_taken():
    taken, begun = 0, []
    with ThreadPoolExecutor(segmentation.THREADS) as pool:
        for done in segmentation.in_turn(pool, lambda task: begun.append(task) or -task, range(200)):
            assert done == -taken
            taken += 1
            assert len(begun) <= taken + segmentation.THREADS + 1
    assert taken == len(begun) == 200


def test_every_patient_of_the_training_sets_has_a_network_that_never_saw_them():
    for number in range(200):
        patient = f"CHNCXR_{number:04}_0"
        assert cross_fit.fold_of(patient) in cross_fit.NETWORKS[cross_fit.unseen_network("Shenzhen", patient)]
    assert cross_fit.unseen_network("another hospital", "CHNCXR_0001_0") == "lungs"


def test_folds_are_the_same_everywhere():
    assert [cross_fit.fold_of(f"MCUCXR_000{n}_0") for n in (1, 2, 3)] == [
        int(hashlib.sha256(f"MCUCXR_000{n}_0".encode()).hexdigest(), 16) % 5 for n in (1, 2, 3)
    ]


def test_masks_fit_the_lungs_of_phantoms_at_the_size_of_the_image(model):
    patients = [
        radiograph.radiograph(seed, size=300, view=view) for seed in range(3) for view in ("PA", "AP")
    ]
    masks = segmentation.lung_masks(model, [patient.image for patient in patients])
    for mask, patient in zip(masks, patients, strict=True):
        assert mask.dtype == bool and mask.shape == patient.image.shape
        assert evaluation.dice(mask, patient.lung_mask) > 0.85


def test_an_image_gets_the_same_mask_alone_and_in_a_batch(model):
    images = [radiograph.radiograph(seed, size=size).image for seed, size in ((1, 128), (2, 300), (3, 200))]
    before = images[0].copy()
    together = segmentation.lung_masks(model, images)
    assert all(
        (segmentation.lung_mask(model, image) == mask).mean() > 0.999
        for image, mask in zip(images, together, strict=True)
    )
    assert (images[0] == before).all() and segmentation.lung_masks(model, []) == []


def test_a_cohort_is_segmented_by_networks_that_never_saw_its_patients(cohort, model):
    mixed = cohort.assign(source=["Shenzhen", "Montgomery", *cohort["source"][2:]])
    found = {row["image_id"]: (image, mask) for row, image, mask in segmentation.segment(mixed)}
    assert set(found) == set(cohort["image_id"])
    for name in cohort["image_id"][2:]:
        image, mask = found[name]
        assert (segmentation.lung_mask(model, image) == mask).mean() > 0.999
