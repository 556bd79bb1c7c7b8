"""Images kept as one tensor: the same batches as image by image, wherever they lie, whatever is free."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.load import DataLoader
from fastai.torch_core import TensorCategory, TensorImageBW, no_random
from fastai.vision.augment import aug_transforms
from fasttransform import Pipeline

from sdnet_lib.config import LITE0, get_profile, one_thread
from sdnet_lib.models import batches, classifier, training_config
from sdnet_lib.models.training_config import TrainingConfig

NORMAL = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = np.random.default_rng(0).integers(0, 256, (37, 24, 24), np.uint8)
TARGETS = np.arange(37) % 2


def one_by_one(config: TrainingConfig) -> list:
    """Batches as fastai makes them from a list of images, with its own way of turning them."""
    items = [
        (TensorImageBW(torch.from_numpy(image[None])), TensorCategory(torch.as_tensor(target)))
        for image, target in zip(PIXELS, TARGETS, strict=True)
    ]
    steps = batches._steps(PIXELS, NORMAL, config.augment())
    return list(DataLoader(items, bs=config.batch, shuffle=True, drop_last=True, after_batch=steps))


@pytest.mark.parametrize("augment", [training_config.augmentations, aug_transforms, list])
def test_batches_are_those_that_are_put_together_image_by_image(augment):
    config = TrainingConfig(augment=augment)
    with no_random(5):
        ours = list(batches.training_loader(PIXELS, TARGETS, NORMAL, config))
    with no_random(5):
        plain = one_by_one(config)
    assert len(ours) == len(plain) == 2
    for (x, y), (a, b) in zip(ours, plain, strict=True):
        assert torch.equal(x.as_subclass(torch.Tensor), a.as_subclass(torch.Tensor)) and torch.equal(y, b)
        assert x.shape == (16, 3, 24, 24) and x.dtype == torch.float32


def test_without_changes_all_images_come_in_their_order_the_last_ones_too():
    served = list(batches.loader(PIXELS, TARGETS, (NORMAL[0][:1], NORMAL[1][:1]), 16))
    assert [len(y) for _, y in served] == [16, 16, 5] == [len(x) for x, _ in served]
    images = torch.cat([x for x, _ in served])[:, 0].as_subclass(torch.Tensor)
    assert np.allclose(images, (PIXELS / 255 - 0.485) / 0.229, atol=1e-5)
    assert torch.cat([y for _, y in served]).tolist() == TARGETS.tolist()


def test_they_are_kept_with_eight_bits_a_pixel_and_not_copied():
    kept = batches.loader(PIXELS, TARGETS, NORMAL, 16).dataset.tensors[0]
    assert kept.dtype == torch.uint8 and kept.data_ptr() == PIXELS.ctypes.data


@pytest.mark.parametrize("free, place", [(8 * PIXELS.nbytes, "cuda"), (2 * PIXELS.nbytes, "cpu")])
def test_what_does_not_fit_into_the_memory_of_a_gpu_stays_outside(monkeypatch, free, place):
    monkeypatch.setattr(batches, "pick_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(batches, "free_memory", lambda _: free)
    assert batches.home(PIXELS.nbytes).type == place


def test_a_small_memory_changes_no_batch(monkeypatch):
    def made() -> list:
        with no_random(1):
            return list(batches.training_loader(PIXELS, TARGETS, NORMAL, TrainingConfig()))

    roomy = made()
    monkeypatch.setattr(batches, "free_memory", lambda _: 0)
    assert all(torch.equal(x, a) and torch.equal(y, b) for (x, y), (a, b) in zip(roomy, made(), strict=True))


def test_an_epoch_of_fixed_steps_has_so_many_and_shows_all_images_equally_often():
    config = TrainingConfig(steps=7, augment=list)
    served = batches.training_loader(PIXELS, np.arange(37), NORMAL, config)
    rows = torch.cat([y for _, y in served]).tolist()
    assert len(rows) == 7 * 16 and set(np.bincount(rows)) == {3, 4}


def test_no_number_leaves_the_device_while_images_are_changed(monkeypatch):
    """What would make a GPU wait is a tensor's item, its values as a list or its truth."""
    made = Pipeline(training_config.augmentations(), split_idx=0)
    films = batches.Films(torch.rand(4, 1, 16, 16))

    def refuse(*_):
        raise AssertionError("a number was asked for")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    made(films)
    with pytest.raises(AssertionError, match="asked for"):  # as fastai's own does
        made(TensorImageBW(torch.rand(4, 1, 16, 16)))


@pytest.mark.long
def test_the_data_path_is_under_a_tenth_of_a_step_at_64_pixels():
    """By CPU seconds, which a busy machine alters little; the smallest network that a profile trains."""
    pixels, rows = np.random.default_rng(0).integers(0, 256, (176, 64, 64), np.uint8), np.arange(176)
    cohort = pd.DataFrame({"label": ["N", "P"] * 88})
    profile = replace(get_profile("smoke"), image_size=64, epochs=1)
    given = {"profile": profile, "backbone": LITE0, "weights": "none", "pixels": pixels}
    with one_thread():
        learner = classifier.learner(cohort, rows[:160], rows[160:], config=TrainingConfig(batch=16), **given)
        next(iter(learner.dls.train))
        start = time.process_time()
        assert len(list(learner.dls.train)) == 10
        data = time.process_time() - start
        start = time.process_time()
        classifier.fit(learner, profile)
        steps = time.process_time() - start
    assert data < 0.1 * steps
