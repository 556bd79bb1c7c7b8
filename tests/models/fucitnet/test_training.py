import copy
import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import nn

from sdnet_lib.config import LITE0
from sdnet_lib.files import InputError
from sdnet_lib.models.fucitnet import checkpoints, generators, loop, training, twins
from sdnet_lib.models.fucitnet.approach import Fucitnet
from sdnet_lib.models.fucitnet.losses import losses
from tests.models.fucitnet.small import TINY, TRAIN, VALID, fit, same


def test_origin_and_history_say_what_happened(fitted):
    origin = fitted.origin
    assert origin["perceptual"] == "one layer, normalise=True" and origin["classifier"] == "small imagenet"
    assert [row["lambda"] for row in origin["lambdas_tried"]] == [1.0, 0.001]
    best = min(origin["lambdas_tried"], key=lambda row: row["valid_loss"])
    assert origin["lambda"] == best["lambda"] and origin["way"] == "paper" and origin["seed"] == 0
    assert (origin["side"], origin["images"], origin["epochs"]) == (32, [8, 4], 2)
    assert list(fitted.history["epoch"]) == [1, 2]
    assert list(fitted.history.columns) == checkpoints.COLUMNS
    assert fitted.history.loc[origin["best_epoch"] - 1, "valid_loss"] == fitted.history["valid_loss"].min()


def test_the_terms_of_the_history_add_up(fitted):
    table = fitted.history
    for label in "NP":
        terms = [table[f"{term}_{label}"] for term in ("mse", "perceptual", "cross_entropy")]
        total = terms[0] + 0.006 * terms[1] + fitted.origin["lambda"] * terms[2]
        assert np.allclose(total, table[f"loss_{label}"])


def test_the_last_training_of_a_search_is_the_one_without_a_search(data, fitted):
    alone = dataclasses.replace(TINY, lambdas=(fitted.origin["lambda"],))
    assert same(fit(data, alone), fitted)


def test_both_generators_leave_the_identity_and_each_other_but_images_stay_recognisable(data, fitted):
    made, x = twins.transform(fitted, data[0]).astype(float), data[0][:, None] / 255
    errors = [np.abs(made[:, k] - x).mean() for k in (0, 1)]
    assert min(errors) > 1e-4 and max(errors) < 0.1
    assert np.abs(made[:, 0] - made[:, 1]).mean() > 1e-4


def test_images_outside_both_parts_do_not_matter_and_seeds_do(data):
    other = data[0].copy(), data[1].copy()
    other[0][12:], other[1][12:] = 0, "N"
    one = dataclasses.replace(TINY, generator_epochs=1)
    state = random.getstate(), torch.get_rng_state()
    first = fit(data, one)
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1])
    random.random()
    assert same(first, fit(other, one)) and not same(first, fit(data, one, seed=1))


def test_generators_learn_from_a_classifier_whose_statistics_stand_still(data, monkeypatch):
    modes = []

    def watched(twins, images, targets, classifier, *rest):
        modes.append({module.training for module in classifier.modules()})
        return losses(twins, images, targets, classifier, *rest)

    monkeypatch.setattr(loop, "losses", watched)
    fitted = fit(data)
    assert modes == [{False}] * 4  # two epochs of two batches
    assert fitted.classifier[1].bn1.num_batches_tracked == 2 * fitted.origin["best_epoch"]


def test_the_authors_variant_judges_in_train_mode_but_counts_each_batch_once(data, monkeypatch):
    modes = []

    def watched(twins, images, targets, classifier, *rest):
        modes.append(classifier[1].bn1.training)
        before = classifier[1].bn1.running_mean.clone()
        terms = losses(twins, images, targets, classifier, *rest)
        assert torch.equal(classifier[1].bn1.running_mean, before)
        return terms

    monkeypatch.setattr(loop, "losses", watched)
    fit(data, dataclasses.replace(TINY, generator_epochs=1), variant="code")
    assert modes == [True] * 2


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best(data, monkeypatch):
    monkeypatch.setattr(loop, "GENERATOR_LR", 0.0)
    monkeypatch.setattr(loop, "CLASSIFIER_LR", 0.5)  # ever worse
    fitted = fit(data, dataclasses.replace(TINY, generator_epochs=9, patience=1))
    best = fitted.origin["best_epoch"]
    assert len(fitted.history) == best + 1 < 9
    outputs = Fucitnet(fitted.plus, fitted.minus, fitted.classifier).outputs(data[0][VALID])
    targets = torch.tensor([0, 1, 0, 1])
    loss = np.mean([nn.functional.cross_entropy(twin, targets).item() for twin in outputs.chunk(2, 1)])
    assert loss == pytest.approx(fitted.history["valid_loss"].min(), rel=1e-2, abs=1e-4)


def test_a_loss_that_is_not_a_number_is_reported(data, monkeypatch):
    monkeypatch.setattr(loop, "GENERATOR_LR", 1e30)
    with pytest.raises(InputError, match=r"lambda 0\.1: the validation loss is not a number"):
        fit(data)


def test_the_authors_variant_freezes_early_layers_and_normalises_nothing(data, monkeypatch):
    started, start = [], training.start

    def watched_start(*given):
        started.append(start(*given))
        return copy.deepcopy(started[0])

    monkeypatch.setattr(training, "start", watched_start)
    fitted = fit(data, dataclasses.replace(TINY, generator_epochs=1), variant="code")
    before = started[0].classifier.state_dict()
    moved = {
        key.split(".")[1] for key, t in fitted.classifier.state_dict().items() if not t.equal(before[key])
    }
    assert moved == {"bn1", "layer3", "weight", "bias"}  # of bn1 its statistics
    assert torch.equal(fitted.classifier[1].bn1.weight, torch.ones(8))
    assert isinstance(fitted.classifier[0], nn.Identity) and "normalise=False" in fitted.origin["perceptual"]
    assert isinstance(fitted.plus.block2.bn1, generators.PerImageNorm)


def test_the_code_s_learning_rate_falls_every_five_epochs_and_its_classes_are_weighed(data, monkeypatch):
    lrs, weights = [], []
    monkeypatch.setattr(loop, "GENERATOR_LR", 0.0)

    class Watch(checkpoints.Checkpoint):
        name = "checkpoint"

        def before_train(self):
            lrs.append(self.opt.hypers[0]["lr"])
            weights.append(self.loss_func.func.weight.tolist())

    monkeypatch.setattr(training, "Checkpoint", Watch)
    rows = [0, 2, 4, 1]  # three of N, one of P
    profile = dataclasses.replace(TINY, generator_epochs=6, patience=9)
    training.fit(*data, rows, VALID, profile=profile, variant="code")
    assert np.allclose(lrs, [1e-3] * 4 + [1e-4] * 2)
    assert np.allclose(weights[0], [1 / 3, 1])


def test_the_offline_backbone_trains(data):
    fitted = fit(data, dataclasses.replace(TINY, generator_epochs=1, generator_backbone=LITE0))
    assert fitted.origin["classifier"] == "tf_efficientnet_lite0 imagenet" and len(fitted.history) == 1


def test_offline_the_classifier_starts_at_random_and_says_so(data, monkeypatch):
    monkeypatch.setattr(training, "available_weights", lambda backbone, wanted: "none")
    profile = dataclasses.replace(TINY, generator_epochs=1, generator_backbone="resnet18")
    assert (
        fit(data, profile).origin["classifier"].startswith("resnet18 random (its ImageNet weights could not")
    )


def test_one_thread_trains_however_many_there_are(data, learning_threads):
    fit(data, dataclasses.replace(TINY, generator_epochs=1))
    assert learning_threads == {1}


def test_training_is_silent_and_leaves_no_files(data, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    fit(data, dataclasses.replace(TINY, generator_epochs=1, lambdas=(1.0, 0.1)))
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_what_cannot_be_trained_is_refused(data):
    pixels, labels = data
    with pytest.raises(InputError, match="unknown variant"):
        fit(data, variant="best")
    with pytest.raises(InputError, match="validation part has no image of class N"):
        training.fit(pixels, labels, TRAIN, [9, 11], profile=TINY)
    with pytest.raises(InputError, match="training part has no image of class N"):
        training.fit(pixels, labels, [], VALID, profile=TINY)
    with pytest.raises(InputError, match="label 'Q' is not one of N, P"):
        training.fit(pixels, np.where(np.arange(16) == 3, "Q", labels), TRAIN, VALID, profile=TINY)
    with pytest.raises(InputError, match="float64 of shape"):
        training.fit(pixels / 255, labels, TRAIN, VALID, profile=TINY)
    with pytest.raises(InputError, match="16 x 16, 32 is the least"):
        training.fit(pixels[:, :16, :16], labels, TRAIN, VALID, profile=TINY)
    with pytest.raises(InputError, match="15 labels for 16 images"):
        training.fit(pixels, labels[1:], TRAIN, VALID, profile=TINY)
