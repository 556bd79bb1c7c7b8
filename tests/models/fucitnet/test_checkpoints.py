import random

import pytest
import torch

from sdnet_lib.checksums import beside, write_seal
from sdnet_lib.files import InputError
from sdnet_lib.models.fucitnet import checkpoints, generators
from tests.models.fucitnet.small import fit, same


class Exploit:
    def __reduce__(self):
        return (random.seed, (0,))


@pytest.mark.parametrize("variant", generators.VARIANTS)
def test_an_interrupted_training_goes_on_and_ends_the_same(data, tmp_path, monkeypatch, variant):
    whole = fit(data, variant=variant)
    after_epoch = checkpoints.Checkpoint.after_epoch

    def interrupt(self):
        after_epoch(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints.Checkpoint, "after_epoch", interrupt)
        fit(data, variant=variant, checkpoint=tmp_path / "run")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.lambda-0.1", "run.lambda-0.1.json"]
    with pytest.raises(
        InputError, match=r"run\.lambda-0\.1: the checkpoint of other data or settings; delete"
    ):
        fit(data, variant=variant, seed=1, checkpoint=tmp_path / "run")
    again = fit(data, variant=variant, checkpoint=tmp_path / "run")
    assert same(whole, again) and whole.history.equals(again.history) and whole.origin == again.origin
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_passed_over_and_named(data, tmp_path, caplog, content):
    file = tmp_path / "run.lambda-0.1"
    file.write_bytes(b"another")
    write_seal(beside(file), {"key": ""}, file)
    file.write_bytes(content)
    assert same(fit(data, checkpoint=tmp_path / "run"), fit(data))
    assert caplog.messages == [
        f"{file}: damaged or replaced, run.lambda-0.1.json has another checksum; it is made again"
    ]


def test_a_checkpoint_with_code_is_never_run(data, tmp_path):
    torch.save({"key": Exploit()}, tmp_path / "run.lambda-0.1")
    state = random.getstate()
    fit(data, checkpoint=tmp_path / "run")
    assert random.getstate() == state
