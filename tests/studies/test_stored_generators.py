"""Stored generators: trained on, taken up after a kill, stored as they are measured."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sdnet_lib.files import InputError
from sdnet_lib.models.controls import makers
from sdnet_lib.models.fucitnet import checkpoints
from sdnet_lib.studies import stored_generators as made
from sdnet_lib.studies import synthetic_model

pytestmark = pytest.mark.long

TINY = replace(made.PROFILE, image_size=32, generator_epochs=2)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A few small patients, and a folder of one's own."""
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(synthetic_model, "SIZE", 64)
    monkeypatch.setattr(made, "FOLDER", tmp_path / "generators")
    monkeypatch.setattr(made, "LEARN", made.LEARN._replace(images=40))
    monkeypatch.setattr(made, "PROBED", made.PROBED._replace(images=20))
    monkeypatch.setattr(made, "VALID", 8)


def test_generators_killed_after_an_epoch_go_on_and_what_is_stored_is_what_is_measured(
    small, tmp_path, monkeypatch
):
    assert made.stored() == {}
    whole = load_file(made.make(0.1, TINY))
    ended = checkpoints.Checkpoint.after_epoch

    def killed(callback):
        ended(callback)
        raise KeyboardInterrupt

    monkeypatch.setattr(made, "FOLDER", tmp_path / "again")
    (kept,) = (tmp_path / "cache" / "generators").glob("*.safetensors")
    kept.unlink()
    monkeypatch.setattr(checkpoints.Checkpoint, "after_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        made.make(0.1, TINY)
    assert made.stored() == {}
    monkeypatch.setattr(checkpoints.Checkpoint, "after_epoch", ended)
    file = made.make(0.1, TINY)
    again = load_file(file)
    assert file.stat().st_size < 2 * 2**20 and all(torch.equal(whole[name], again[name]) for name in whole)
    ((weight, (plus, minus, card)),) = made.stored().items()
    assert weight == card["lambda"] == 0.1 and card["epochs"] == 2 and len(card["history"]) == 2
    learn = synthetic_model.drawn(made.LEARN).iloc[:32]
    assert made.probes((plus, minus), learn, 32) == {name: card[name] for name in ("tint", "probes")}
    assert "2 epochs" in made.summary(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged"):
        made.stored()


class Sharpen(nn.Module):
    """Change edges and no colour."""

    def forward(self, x):
        """Return images with their edges added, less the mean of what was added."""
        added = x - nn.functional.avg_pool2d(x, 3, 1, 1)
        return x + 0.3 * (added - added.mean((2, 3), keepdim=True))


def test_the_probe_tells_a_tint_from_more_than_a_tint(small):
    learn = synthetic_model.drawn(made.LEARN)
    tints, edges = (made.probes(pair, learn, 32) for pair in (makers("tints"), (Sharpen(), Sharpen())))
    assert min(tints["tint"].values()) > 0.8 and max(edges["tint"].values()) < 0.1
    assert list(tints["probes"]) == ["mean colours", "twins", "images"]
    for auc, low, high in tints["probes"].values():
        assert 0 <= low <= auc <= high <= 1


def test_learning_and_probing_patients_differ_and_a_thousand_are_learned_from():
    assert made.LEARN.images - made.VALID >= 1000 and made.PROFILE.image_size == 128
    assert len(made.LAMBDAS) == 3 and made.LEARN.seed != made.PROBED.seed
    parts = (synthetic_model.LEARN, synthetic_model.CALIBRATE, synthetic_model.TEST)
    assert not {part.seed for part in parts} & {made.LEARN.seed, made.PROBED.seed}
