from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.transforms import IntToFloatTensor
from fastai.torch_core import TensorImageBW
from fasttransform import Pipeline

from sdnet_lib.config import LITE0, Profile
from sdnet_lib.data import images
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.files import InputError
from sdnet_lib.models.baselines import covidnet
from sdnet_lib.models.baselines.common import untrained
from sdnet_lib.models.baselines.covidnet_network import network
from tests.models.baselines.eight_images import learn
from tests.models.squares import squares

SMALL = Profile("small", 24, 32, 32, 16, 1, 1, 1, 2, LITE0)
COUNTS = np.repeat([0, 1, 2], [30, 25, 10])


def test_it_learns_eight_images():
    learn(network("c", 3, 32), covidnet.CONFIG, classes=(0, 2))


@pytest.mark.parametrize("percent", [0.3, 0.33])
def test_the_published_sampler_puts_two_of_eight(percent):
    rows = covidnet.published_order(COUNTS, 8, np.random.default_rng(0), percent)
    batches = [rows[first : first + 8] for first in range(0, len(rows), 8)]
    assert [len(batch) for batch in batches] == [8] * 6 + [7]
    for batch in batches:
        assert (COUNTS[batch] == 2).sum() == 2 and len(set(batch)) == len(batch)
    others = rows[COUNTS[rows] != 2]
    assert len(set(others)) == len(others) == 55 - 14  # once each, and as many skipped as overwritten


def test_the_published_sampler_takes_one_where_the_fraction_gives_none_and_fits_a_short_last_batch():
    rows = covidnet.published_order(np.repeat([0, 2], [9, 5]), 8, np.random.default_rng(0), 0.05)
    assert len(rows) == 9 and (rows >= 9).tolist().count(True) == 2
    assert rows[-1] >= 9


def test_epochs_differ_and_the_same_generator_repeats_them():
    rng = np.random.default_rng(3)
    first, second = (covidnet.published_order(COUNTS, 8, rng) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, covidnet.published_order(COUNTS, 8, np.random.default_rng(3)))


@pytest.mark.parametrize("targets", [[0] * 9, [0] * 9 + [2], [2] * 9])
def test_a_cohort_that_fills_no_batch_is_refused(targets):
    with pytest.raises(InputError, match="needs 2 COVID-19 images or more, and others"):
        covidnet.published_order(np.array(targets), 8, np.random.default_rng(0))


def test_the_balanced_sampler_shows_every_image_and_each_class_as_often():
    rows = covidnet.balanced_order(COUNTS, 8, np.random.default_rng(0))
    assert np.bincount(COUNTS[rows]).tolist() == [30, 30, 30]
    assert set(rows) == set(range(len(COUNTS)))
    assert np.bincount(rows)[COUNTS == 2].tolist() == [3] * 10


def changed(x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    return Pipeline([IntToFloatTensor(), *covidnet.augmentations()], split_idx=0)(TensorImageBW(x))


def test_random_changes_keep_a_square_s_place_roughly_and_bring_black_in():
    image = torch.zeros(200, 1, 40, 40, dtype=torch.uint8)
    image[:, :, 4:-4, 4:-4] = 200
    made = changed(image)
    assert made.shape == image.shape and made.dtype == torch.float32
    assert (
        0.9 * 200 / 255 - 1e-4 < made[:, 0, 20, 20].min() < made[:, 0, 20, 20].max() < 1.1 * 200 / 255 + 1e-4
    )
    areas = (made > 0.3).float().sum((1, 2, 3)) / 32**2
    assert 0.6 < areas.min() < 0.8 < 1.1 < areas.max() < 1.5
    white = changed(torch.full_like(image, 255))
    assert (white.amin((1, 2, 3)) == 0).float().mean() > 0.8


def test_half_of_the_images_are_flipped():
    image = torch.zeros(400, 1, 32, 32, dtype=torch.uint8)
    image[..., :12] = 255
    made = changed(image)
    mirrored = made[..., 16:].sum((1, 2, 3)) > made[..., :16].sum((1, 2, 3))
    assert 0.4 < mirrored.float().mean() < 0.6


def test_no_pixel_of_a_crop_is_lost(tmp_path):
    """Whatever is at the border of a crop, of any shape, is still at the border of what the network sees."""
    for shape in ((100, 60), (60, 100), (80, 80)):
        image = np.pad(np.full((shape[0] - 8, shape[1] - 8), 0.2), 4, constant_values=1)
        file = tmp_path / f"{shape[0]}.png"
        images.write_gray(file, image)
        seen = read_pixels(pd.DataFrame({"file": [file]}), 60, covidnet.prepare)[0]
        border = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
        assert seen.shape == (60, 60) and seen.dtype == np.uint8 and border.min() == 255
        assert seen[30, 30] == 51


def test_an_epoch_shows_as_many_of_the_third_class_as_negatives():
    """The paper's fold: 307 of each class to learn from, 5 positives in each batch of 16."""
    targets = np.repeat([0, 1, 2], 307)
    epochs = [
        np.bincount(targets[covidnet.published_order(targets, 16, np.random.default_rng(seed))])
        for seed in range(20)
    ]
    negative, third, positive = np.mean(epochs, 0)
    assert all(epoch.sum() == 614 for epoch in epochs)
    assert {epoch[2] for epoch in epochs} == {39 * 5}  # 38 whole batches and one of 6
    assert abs(negative - third) < 8 and abs(negative - (614 - 195) / 2) < 5


def test_the_third_class_is_learned_by_the_third_output(tmp_path):
    task = squares(24, 18, SMALL, tmp_path)
    labels = ["N", "P", "Pneumonia"] * 8
    task = task._replace(cohort=task.cohort.assign(label=labels))
    predictor, notes = covidnet.fit(task, "c")
    assert notes["third_class"] == 6 and set(predictor.predict(task.pixels)["vote"]) <= set(labels)
    start = untrained(partial(network, "c", 3), covidnet.CONFIG, task, covidnet.CLASSES)
    assert [int(target) for _, target in start.dls.train.dataset] == [0, 2, 1] * 6
    learn(network("c", 3, 32), covidnet.CONFIG, classes=(0, 1))
    assert covidnet.fit(squares(24, 18, SMALL, tmp_path), "c")[1]["third_class"] == 0


def test_a_vote_for_pneumonia_is_kept_apart():
    columns = covidnet.two_classes(np.array([[0.6, 0.2, 0.2], [0.1, 0.6, 0.3], [0, 1, 0]]))
    assert columns["prob_N"] == pytest.approx([0.75, 0.25, 0.5])
    assert columns["prob_P"] == pytest.approx([0.25, 0.75, 0.5])
    assert columns["prob_pneumonia"] == pytest.approx([0.2, 0.6, 1])
    assert list(columns["vote"]) == ["N", "Pneumonia", "Pneumonia"]
    with pytest.raises(InputError, match=r"three probabilities per image are needed, not an array \(4, 2\)"):
        covidnet.two_classes(np.ones((4, 2)))


def test_the_configuration_is_the_paper_s():
    config = covidnet.CONFIG
    assert (config.lr, config.batch, config.epochs, config.schedule) == (2e-4, 16, 10, "constant")
    assert covidnet.BALANCED.order is covidnet.balanced_order
