import random

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.torch_core import TensorImageBW
from fasttransform import Pipeline
from torch import nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import classifier, training_config

TINY = Profile("tiny", 32, 48, 48, 16, 2, 2, 1, 2, "resnet10t")
LONGER = Profile("longer", 32, 48, 48, 16, 16, 16, 1, 2, "resnet10t")


@pytest.fixture(scope="module")
def cohort(toy_cohort) -> pd.DataFrame:
    return toy_cohort


@pytest.fixture(scope="module")
def trained(cohort):
    learner = classifier.learner(cohort, range(16), range(16, 20), profile=LONGER, weights="none")
    return learner, classifier.fit(learner, LONGER)


def network(cohort, **options) -> nn.Sequential:
    return classifier.learner(cohort, range(16), range(16, 20), profile=TINY, weights="none", **options).model


@pytest.mark.parametrize("classes", [("N", "P"), ("P+", "P-", "N", "P")])
def test_the_head_has_512_units_and_one_output_a_class_and_all_layers_are_trained(cohort, classes):
    body, head = network(cohort, classes=classes)
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert (head[0].in_features, head[0].out_features, head[2].out_features) == (512, 512, len(classes))
    assert all(parameter.requires_grad for parameter in body.parameters())


def test_resnet50_has_the_size_of_the_paper_s_network(cohort):
    parameters = network(cohort, backbone="resnet50", classes=("N", "P", "P+", "P-")).parameters()
    assert round(sum(p.numel() for p in parameters) / 1e6, 2) == 24.56


def test_it_learns_what_is_easy(cohort, trained):
    learner, history = trained
    test = cohort.iloc[20:]
    probabilities = classifier.predict(learner, test)
    assert list(history.columns) == ["epoch", "train_loss", "valid_loss"] and history["epoch"].iloc[0] == 1
    assert np.allclose(probabilities.sum(1), 1)
    assert list(probabilities.argmax(1)) == list(test["label"].map({"N": 0, "P": 1}))


def test_predictions_follow_the_order_of_the_cohort(cohort, trained):
    forward, backward = (classifier.predict(trained[0], table) for table in (cohort, cohort[::-1]))
    assert np.allclose(forward, backward[::-1], atol=1e-5)


def test_the_best_epoch_s_weights_are_kept(trained):
    learner, history = trained
    with learner.no_bar(), learner.no_logging():
        assert learner.validate()[0] == pytest.approx(history["valid_loss"].min(), rel=1e-3)


def test_training_stops_when_validation_no_longer_improves(cohort):
    impatient = Profile("impatient", 32, 48, 48, 16, 6, 1, 1, 2, "resnet10t")
    learner = classifier.learner(cohort, range(16), range(16, 20), profile=impatient, weights="none")
    history = classifier.fit(learner, impatient, lr=1.0)  # ever worse
    assert len(history) < 6


def test_a_loss_that_is_not_a_number_is_reported(cohort):
    learner = classifier.learner(cohort, range(16), range(16, 20), profile=TINY, weights="none")
    with pytest.raises(InputError, match="not a number"):
        classifier.fit(learner, TINY, lr=1e30)


def test_same_seed_same_predictions_and_the_caller_s_generators_are_untouched(cohort):
    def run(seed: int) -> np.ndarray:
        one = Profile("one", 32, 48, 48, 16, 1, 1, 1, 2, "resnet10t")
        learner = classifier.learner(cohort, range(16), range(16, 20), profile=one, weights="none", seed=seed)
        classifier.fit(learner, one)
        return classifier.predict(learner, cohort[20:])

    state = (random.getstate(), torch.get_rng_state())
    first = run(3)
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1])
    random.random()
    assert np.array_equal(run(3), first) and not np.allclose(run(4), first)
    before = torch.get_num_threads()
    for threads in (1, 2, 3):  # whatever a notebook's kernel or a user's machine has
        torch.set_num_threads(threads)
        assert np.array_equal(run(3), first) and torch.get_num_threads() == threads
    torch.set_num_threads(before)


def test_training_is_silent_and_leaves_no_files(cohort, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    learner = classifier.learner(cohort, range(16), range(16, 20), profile=TINY, weights="none")
    classifier.fit(learner, TINY)
    classifier.predict(learner, cohort)
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_only_training_images_are_augmented(cohort):
    learner = classifier.learner(cohort, range(16), range(16, 20), profile=TINY, weights="none")
    batches = [[learner.dls[part].one_batch()[0] for _ in range(2)] for part in (0, 1)]
    assert batches[1][0].shape == (4, 3, 48, 48)
    assert torch.equal(*batches[1])
    plain = classifier.read_pixels(cohort[16:20], 48) / 255
    assert np.allclose(np.asarray(batches[1][0][:, 1]), (plain - 0.456) / 0.224, atol=1e-5)
    assert not torch.equal(*batches[0])


def test_pixels_given_replace_the_files(cohort):
    blank = np.zeros((len(cohort), 32, 32), np.uint8)
    learner = classifier.learner(
        cohort.assign(file="nowhere"), range(16), range(16, 20), profile=TINY, weights="none", pixels=blank
    )
    probabilities = classifier.predict(learner, cohort.assign(file="nowhere"), pixels=blank)
    assert np.ptp(probabilities, axis=0).max() < 1e-6


def test_what_cannot_be_trained_is_refused(cohort):
    with pytest.raises(InputError, match="empty"):
        classifier.learner(cohort, range(16), [], profile=TINY)
    with pytest.raises(InputError, match="label 'P' is not one of the classes N, Q"):
        classifier.learner(cohort, range(16), range(16, 20), profile=TINY, classes=("N", "Q"))
    with pytest.raises(InputError, match="vit_tiny_patch16_224.*48 x 48"):
        network(cohort, backbone="vit_tiny_patch16_224")


def test_frozen_features_do_not_depend_on_the_batch():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
    whole = classifier.embed(pixels, "resnet18", "none", batch=5)
    assert whole.shape == (5, 512)
    features = [classifier.embed(pixels, batch=size) for size in (2, 5)]
    assert np.allclose(*features, atol=1e-4)


def test_what_random_changes_bring_in_from_outside_is_black_and_some_images_stay_in_place():
    white = TensorImageBW(torch.ones(200, 1, 40, 40))
    torch.manual_seed(0)
    made = Pipeline(training_config.augmentations(), split_idx=0)(white)
    black = (made.amin((1, 2, 3)) < 1e-3).float().mean()
    assert 0.5 < black < 0.95  # a mirrored border is white
    shifts = training_config._shift_matrix(white)[:, :2, 2]
    assert 0.15 < (shifts == 0).all(1).float().mean() < 0.45 and shifts.abs().max() <= 0.1
