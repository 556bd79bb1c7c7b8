import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from segmentation_models_pytorch.losses import DiceLoss
from torch.nn import functional as F

from sdnet_lib.files import InputError
from sdnet_lib.lungs import cross_fit, evaluation, training, unet
from sdnet_lib.lungs.augmentation import augment
from sdnet_lib.phantom import cohorts


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return cohorts.homogeneous(14, 0, tmp_path_factory.mktemp("small") / "cohort", size=64, workers=1)


def test_training_writes_weights_that_load(small, tmp_path, monkeypatch, learning_threads):
    monkeypatch.setattr(unet, "IMAGE_SIZE", 64)
    file = training.train(small, tmp_path / "w", exclude=(0,), epochs=1)
    assert file == tmp_path / "w" / "lungs.safetensors" and unet.load(file) is not None
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    with safe_open(file, "pt") as stored:
        record = json.loads(stored.metadata()["record"])
    seen = [patient for patient in small["patient_id"] if cross_fit.fold_of(patient) != 0]
    assert record["learned_from"] == len(seen) and record["epochs"] == 1
    assert learning_threads == {record["threads"]} == {1}


@pytest.mark.parametrize("folds", [(), (7,), (0, 1, 2, 3, 4)])
def test_impossible_folds_are_refused(small, folds, tmp_path):
    with pytest.raises(InputError, match="leave out some of the folds"):
        training.train(small, tmp_path, exclude=folds)


def test_augmentation_moves_image_and_mask_together():
    torch.manual_seed(0)
    mask = torch.zeros(16, 1, 64, 64, dtype=torch.uint8)
    mask[:, :, 16:40, 10:50] = 255
    image, moved = augment((mask, mask))
    assert image.shape == moved.shape == mask.shape
    assert image.min() >= -1 and image.max() <= 1 and moved.min() >= 0 and moved.max() <= 1
    inside, outside = image[moved > 0.9], image[moved < 0.1]
    assert inside.mean() > outside.mean() + 0.5
    assert len(torch.unique(moved.sum((1, 2, 3)).round())) > 8


def test_the_loss_prefers_the_truth():
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    right, wrong = (mask - 0.5) * 20, (0.5 - mask) * 20
    assert training.loss(right, mask) < 0.01 < 1 < training.loss(wrong, mask)
    assert training.dice(right, mask) == 1 and training.dice(wrong, mask) == 0


def test_the_loss_on_hard_masks_is_that_of_the_library():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 1, 32, 32), (torch.rand(3, 1, 32, 32) > 0.7).float()
    dice = DiceLoss("binary", smooth=0.5)  # added to half of the sums that ours adds 1 to
    pairs = zip(logits.split(1), masks.split(1), strict=True)
    by_library = torch.stack([dice(*pair) + F.binary_cross_entropy_with_logits(*pair) for pair in pairs])
    torch.testing.assert_close(training.loss(logits, masks), by_library.mean())


def test_the_metric_of_training_is_the_mean_of_the_images_dice():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 1, 32, 32), torch.rand(3, 1, 32, 32)
    pairs = zip((logits > 0).numpy(), (masks > 0.5).numpy(), strict=True)
    assert training.dice(logits, masks) == pytest.approx(np.mean([evaluation.dice(*pair) for pair in pairs]))
