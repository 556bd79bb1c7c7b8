"""How fast a training step of FuCiTNet is: ours, and a plain one that works image by image.

The plain step does what the authors' program does: each image by itself through each generator, a backward
pass through everything for each loss, VGG's features anew for each generator, all once more for a log line.
Each is measured in a process of its own, so that neither finds memory or caches of the other.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import DataLoaders
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer

from sdnet_lib.children import module
from sdnet_lib.config import memory_kept, pick_device
from sdnet_lib.data.cohort import LABELS
from sdnet_lib.models.batches import loader
from sdnet_lib.models.fucitnet import loop
from sdnet_lib.models.fucitnet.losses import PERCEPTUAL, VARIATION, losses
from sdnet_lib.models.fucitnet.networks import Networks, start
from sdnet_lib.models.training_config import UNCHANGED
from sdnet_lib.studies.operations import counter

WEIGHT = 0.1  # the paper's lambda; speed does not depend on it
BATCH = 8
IMAGE_SIZES = {"cpu": 64, "cuda": 224}
TITLES = {"ours": "ours", "plain": "image by image"}


def compare(
    batch: int = BATCH, image_size: int | None = None, steps: int = 3, threads: int | None = None
) -> dict[str, object]:
    """Measure both training steps with the networks of the paper: two generators, ResNet-18 and VGG-16.

    All weights are random, which changes no speed. In the generators ours normalises over the batch, as the
    paper says, and the plain step, with one image at a time, over each image.

    Parameters
    ----------
    batch : int
        Images in a step.
    image_size : int, optional
        Height and width in pixels, at least 32; 64 on a CPU and 224 on a GPU if not given.
    steps : int
        Steps to time, after the first ones.
    threads : int, optional
        On the CPU; as many as there are cores if not given.

    Returns
    -------
    dict
        `device`, `batch`, `image_size`; for `ours` and `plain` each a dict of `images_per_second`, `seconds`
        and `flop` (of a step), `of_peak` and `memory` (at its highest, in bytes: on a GPU all of it, on a CPU
        what the networks and their steps add); `ratio` of speeds, `peak` (FLOP/s of a matrix product),
        `peak_type` (its numbers), `difference` (the largest relative one between the losses of both).
    """
    device = pick_device()
    threads = threads or os.cpu_count() or 1
    image_size = image_size or IMAGE_SIZES[device.type]
    given = {"batch": batch, "image_size": image_size, "steps": steps, "threads": threads}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        peak, peak_type = _matrix_product(device)
        difference = _difference(device, batch, image_size)
    finally:
        torch.set_num_threads(before)
    result = {name: _in_a_process({"variant": name} | given) for name in TITLES}
    for row in result.values():
        row["images_per_second"] = batch / row["seconds"]
        row["of_peak"] = row["flop"] / row["seconds"] / peak
    return result | {
        "device": machine(device, threads),
        "batch": batch,
        "image_size": image_size,
        "ratio": result["plain"]["seconds"] / result["ours"]["seconds"],
        "peak": peak,
        "peak_type": peak_type,
        "difference": difference,
    }


def machine(device: torch.device, threads: int | None = None) -> str:
    """Name what computes."""
    gpu = device.type == "cuda"
    return torch.cuda.get_device_name() if gpu else f"CPU with {threads or os.cpu_count()} threads"


def _in_a_process(given: dict) -> dict[str, float]:
    done = subprocess.run(
        module("sdnet_lib.studies.bench.fucitnet", json.dumps(given)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the bench of {given['variant']!r} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _matrix_product(device: torch.device) -> tuple[float, str]:
    """Return how many FLOP/s a product of square matrices reaches, and of which numbers."""
    size, dtype = (8192, torch.float16) if device.type == "cuda" else (1024, torch.float32)
    a = torch.rand(size, size, device=device, dtype=dtype)
    return 2 * size**3 / _seconds(lambda: a @ a, 10), str(dtype).removeprefix("torch.")


def _seconds(work: Callable[[], object], times: int) -> float:
    """Return the mean time of a few repetitions, after two that do not count."""
    threads = torch.get_num_threads()  # which Timer would set to one
    return Timer("work()", globals={"work": work}, num_threads=threads).timeit(times).mean


def _setting(variant: str, device: torch.device) -> tuple[Networks, nn.Module]:
    """Return networks to train and VGG-16's features, all with the same random weights each time."""
    torch.manual_seed(0)
    networks = start("resnet18", "none", variant)
    vgg = torchvision.models.vgg
    features = vgg.make_layers(vgg.cfgs["D"]).requires_grad_(False).eval()
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # else nothing that is left after 13 layers would show in the losses
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    for network in (networks, features):
        network.to(device)
    return networks, features


def _data(batch: int, image_size: int, batches: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (batches * batch, image_size, image_size), np.uint8)
    return images, np.arange(len(images)) % len(LABELS)


def _difference(device: torch.device, batch: int, image_size: int) -> float:
    """Return the largest relative difference between the first losses of both.

    They are the same if the generators normalise each image by itself and the classifier's statistics are
    fixed; in the published program they are those of all twins of the batch.
    """
    networks, features = _setting("code", device)
    networks.classifier.eval()
    pixels, labels = _data(batch, image_size, 1)
    images = torch.from_numpy(pixels).to(device)[:, None].expand(-1, 3, -1, -1) / 255
    targets = torch.from_numpy(labels).to(device)
    with torch.no_grad():
        twins = torch.stack([network(images) for network in networks.generators])
        ours = losses(twins, images, targets, networks.classifier, features, WEIGHT, "code").total
        plain = torch.stack(_plain_losses(networks, features, images, targets)[1])
    return ((ours - plain).abs() / plain).max().item()


def _plain_losses(
    networks: Networks, features: nn.Module, images: Tensor, targets: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return the classifier's loss and each generator's; every image goes alone through every generator."""
    count = len(networks.generators)
    twins = torch.cat([network(image[None]) for image in images for network in networks.generators])
    labels = targets.repeat_interleave(count)
    logits = networks.classifier(twins)
    totals = []
    for k in range(count):
        own = twins[k::count]
        total = F.mse_loss(own, images) + PERCEPTUAL * F.mse_loss(features(own), features(images))
        down, across = own[..., 1:, :] - own[..., :-1, :], own[..., 1:] - own[..., :-1]
        total = total + VARIATION * 2 * (down.square().mean() + across.square().mean())
        rows = [row for row, label in enumerate(labels.tolist()) if label == k]
        if rows:
            total = total + WEIGHT * F.cross_entropy(logits[rows], labels[rows])
        totals.append(total)
    return F.cross_entropy(logits, labels), totals


def _plain_step(
    networks: Networks,
    features: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    images: Tensor,
    targets: Tensor,
) -> list[float]:
    """Train the classifier and each generator on a batch; return the losses afterwards, for a log.

    All optimisers step at the end: steps in between, as published, would change weights that later backward
    passes through the same graph need.
    """
    classifier_loss, totals = _plain_losses(networks, features, images, targets)
    trained = [networks.classifier, *networks.generators]
    gradients = []
    for network, loss in zip(trained, [classifier_loss, *totals], strict=True):
        for other in trained:
            other.zero_grad()
        loss.backward(retain_graph=True)
        gradients.append([parameter.grad for parameter in network.parameters()])
    for network, kept, optimiser in zip(trained, gradients, optimisers, strict=True):
        for parameter, gradient in zip(network.parameters(), kept, strict=True):
            parameter.grad = gradient
        optimiser.step()
    return [loss.item() for loss in _plain_losses(networks, features, images, targets)[1]]


class _Clock(Callback):
    """Time fastai's loop from batch to batch, count the first batch's operations, leave after the last."""

    order = -10  # before all others

    def __init__(self) -> None:
        self.counter, self.times = counter(), []

    def before_train(self) -> None:
        self.counter.__enter__()

    def before_batch(self) -> None:
        if self.iter == 1:
            self.counter.__exit__(None, None, None)
        self.times.append(timer())

    def after_train(self) -> None:
        self.times.append(timer())
        raise CancelFitException


def _run_ours(batch: int, image_size: int, steps: int) -> tuple[float, int]:
    networks, features = _setting("paper", pick_device())
    batches = loader(*_data(batch, image_size, steps + 2), UNCHANGED, batch)
    clock = _Clock()
    training = loop.learner(DataLoaders(batches, batches), networks, features, WEIGHT, "paper")
    with training.no_bar(), training.no_logging(), memory_kept():  # as `one_thread` has it
        training.fit(1, cbs=clock)
    return float(np.diff(clock.times)[2:].mean()), clock.counter.get_total_flops()  # as `_seconds` does


def _run_plain(batch: int, image_size: int, steps: int) -> tuple[float, int]:
    device = pick_device()
    networks, features = _setting("paper", device)
    for block in [*networks.generators.modules()]:
        for name, part in block.named_children():
            if isinstance(part, nn.PReLU):  # torch's own, as one would first write it
                setattr(block, name, nn.PReLU())
    trained = [networks.classifier, *networks.generators]
    optimisers = [torch.optim.Adam(network.parameters(), 1e-4) for network in trained]
    pixels, labels = _data(batch, image_size, 1)
    images = torch.from_numpy(pixels).to(device)[:, None].expand(-1, 3, -1, -1) / 255
    step = partial(_plain_step, networks, features, optimisers, images, torch.from_numpy(labels).to(device))
    with counter() as counted:
        step()
    return _seconds(step, steps), counted.get_total_flops()


def _measure(variant: str, batch: int, image_size: int, steps: int, threads: int) -> dict[str, float]:
    """Run one of the two in this process, which should do nothing else."""
    torch.set_num_threads(threads)
    before = _resident()
    seconds, flop = {"ours": _run_ours, "plain": _run_plain}[variant](batch, image_size, steps)
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _resident() - before
    return {"seconds": seconds, "flop": flop, "memory": memory}


def _resident() -> int:
    """Return the most memory that this process has held, in bytes.

    Linux tells `resource.getrusage` the highest of what the parent and this process have held, because a
    process begins as a copy of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts in bytes


if __name__ == "__main__":
    print(json.dumps(_measure(**json.loads(sys.argv[1]))))
