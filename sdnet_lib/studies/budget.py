"""What chapters and studies cost before they run: operations, memory, minutes on a device.

`operations` counts one step of each network; the rest is arithmetic: steps, epochs, runs. It is the most that
networks can take, for training may stop early. Drawing and reading images, statistics and plots come on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import NamedTuple

import psutil
import torch
from torch.utils.benchmark import Timer

from sdnet_lib.config import IMAGENET, LITE0, Profile, one_thread, pick_device
from sdnet_lib.files import InputError
from sdnet_lib.models import registry
from sdnet_lib.models.backbones import available_weights
from sdnet_lib.models.fucitnet.generators import Block
from sdnet_lib.models.fucitnet.training import SEARCH
from sdnet_lib.models.predictors import BATCH
from sdnet_lib.models.training_config import TrainingConfig, budgeted, steps_an_epoch, steps_of_twins
from sdnet_lib.studies import chapters
from sdnet_lib.studies.operations import Cost, counter, generator_step, look, step

OVERHEAD = 2**30  # bytes that a GPU's libraries take for themselves: assumed
SCRATCH = 1.6  # times what tensors hold, a process on a CPU takes while it trains: measured
LEARN, STOP = 0.9, 0.1  # of what is not tested: to learn from, and to decide when to stop
PAIRED = tuple(name for name, one in registry.APPROACHES.items() if one.module in ("sdnet", "controls"))
MAKERS = tuple(name for name in PAIRED if registry.find(name).module == "sdnet")  # their generators learn
EMBEDDED = {"01": 9, "03": 1, "04": 7}  # times a chapter's cohort that go through EfficientNet-Lite0
MASKED = {"01": 3, "03": 3, "04": 1, "05": 1, "06": 1, "09": 1, "10": 2}  # and through the lung network
STEPS = {"smoke": (3, 16), "quick": (24, 16)}  # of the loop by hand in chapter 4, and images in each
EXPLAINED = {
    "smoke": 2,
    "quick": 24,
}  # images whose maps chapter 9 draws in all manners, 48 in other profiles
LOOKS = 80  # that these take at an image, about
SLOW, TESTED = 600, 4  # and those of the slowest methods, at two images, and at each image of the test part


class Device(NamedTuple):
    """A device: FLOP/s that training reaches, bytes, whether activations have 16 bits, and who says so."""

    name: str
    rate: float
    memory: float
    mixed: bool
    source: str


DEVICES = {
    device.name: device
    for device in (
        Device("T4", 20e12, 15e9, True, "a Colab GPU; of 65 TFLOP/s in half precision, 20 usable: assumed"),
        Device("A100", 64e12, 40e9, True, "2,600 ResNet-50 images/s published (timm, issue 1491)"),
        Device("H100", 105e12, 80e9, True, "A100's rate times the ratio of memory rates, 3.35 to 2.04 TB/s"),
    )
}


def device(name: str | None = None) -> Device:
    """Return a device of the table, or the one at hand with its rate as measured in some seconds.

    Raises
    ------
    InputError
        For a name that the table does not have.
    """
    if name is not None:
        if name.upper() not in DEVICES:
            raise InputError(f"--device {name}: choose one of {', '.join(DEVICES)}")
        return DEVICES[name.upper()]
    here = pick_device()
    gpu = here.type == "cuda"
    memory = torch.cuda.get_device_properties(0).total_memory if gpu else psutil.virtual_memory().total
    title = torch.cuda.get_device_name() if gpu else "this machine's CPU, one thread"
    return Device(title, _rate(here), memory, gpu, "measured just now: a block of a generator, both ways")


def _rate(here: torch.device) -> float:
    """Return the FLOP/s of a forward and backward pass of a generator's block."""
    gpu = here.type == "cuda"
    block = Block(torch.nn.BatchNorm2d).to(here, memory_format=torch.channels_last)
    maps = torch.rand(16 if gpu else 2, 64, 112, 112, device=here)
    maps = maps.contiguous(memory_format=torch.channels_last).requires_grad_()

    def work() -> None:
        with torch.autocast(here.type, torch.float16, enabled=gpu):
            loss = block(maps).float().mean()
        loss.backward()

    with one_thread():
        with counter() as counted:
            work()
        timer = Timer("work()", globals={"work": work})
        return counted.get_total_flops() / timer.blocked_autorange(min_run_time=1).median


def memory(cost: Cost, mixed: bool) -> float:
    """Return the bytes that a process needs, on a GPU if `mixed`."""
    return 0 if not cost.memory else cost.memory + OVERHEAD if mixed else cost.memory * SCRATCH


class Setting(NamedTuple):
    """What else decides a cost: activations of 16 bits or not, and the perceptual network that is there."""

    mixed: bool
    vgg: bool

    @classmethod
    def of(cls, profile: Profile, mixed: bool) -> Setting:
        """Return the setting of a profile on this machine."""
        return cls(mixed, profile.weights == IMAGENET or available_weights("vgg16") != "none")


def generators(profile: Profile, images: float, setting: Setting) -> Cost:
    """Return the cost of training generators on so many images: first a search for lambda."""
    epochs = profile.generator_epochs
    tried = len(profile.lambdas) - 1
    epochs += tried * max(1, epochs // SEARCH)
    one = generator_step(profile.generator_backbone, profile.image_size, profile.batch, *setting)
    valid = asking("fucitnet", profile, setting) * (images * STOP / LEARN)
    first = _twins(profile, setting) * profile.batch  # for the running averages, whenever training begins
    return (one * max(1, int(images) // profile.batch) + valid) * epochs + first * (1 + tried)


def training(name: str, profile: Profile, images: float, setting: Setting) -> Cost:
    """Return the cost of training an approach's classifier on so many images."""
    approach, paired = registry.find(name), name in PAIRED
    own = getattr(import_module(f"sdnet_lib.models.{approach.module}"), "CONFIG", None)
    steps = steps_of_twins(int(images), profile.batch) if paired or approach.training.get("matched") else None
    config = budgeted(own or TrainingConfig(batch=profile.batch, steps=steps), profile, int(images))
    valid = _answers(name, profile, setting) * (images * STOP / LEARN)
    one = step(*_network(name, profile), min(config.batch, int(images)), setting.mixed)
    return (one * steps_an_epoch(config, int(images)) + valid) * config.epochs


def longest_step(name: str, profile: Profile) -> Cost:
    """Return the cost of an optimiser step on a GPU; of an approach whose generators learn, of theirs."""
    setting = Setting.of(profile, mixed=True)
    if name in ("fucitnet", *MAKERS):
        return generator_step(profile.generator_backbone, profile.image_size, profile.batch, *setting)
    return step(*_network(name, profile), profile.batch, setting.mixed)


def _network(name: str, profile: Profile) -> tuple[str, str, int]:
    """Return which network an approach has, its backbone and its image size."""
    if name == "fucitnet":
        return "fucitnet", profile.generator_backbone, profile.image_size
    kind = "twins" if name in PAIRED else "cnn" if registry.find(name).module == "cnn" else name
    return kind, profile.backbone, profile.image_size


def _answers(name: str, profile: Profile, setting: Setting) -> Cost:
    views = 2 if name in (*PAIRED, "fucitnet") else 1
    return look(*_network(name, profile), BATCH, setting.mixed) * views


def _twins(profile: Profile, setting: Setting) -> Cost:
    return look("generators", LITE0, profile.image_size, BATCH, setting.mixed)


def asking(name: str, profile: Profile, setting: Setting) -> Cost:
    """Return the cost of one image's answer by a trained approach, its twins included."""
    made = _twins(profile, setting) if name in (*MAKERS, "fucitnet") else Cost()
    return _answers(name, profile, setting) + made


def study(names: Sequence[str], profile: Profile, images: float, setting: Setting) -> Cost:
    """Return the cost of a cross-validation; approaches with generators share those of each part."""
    runs, rest = profile.repeats * profile.folds, images * (1 - 1 / profile.folds)
    total = Cost()
    for name in names:
        size = registry.find(name).image_size if profile.name in chapters.APPROACHES else profile.image_size
        own = replace(profile, image_size=size)
        run = asking(name, own, setting) * images  # the tested part, and all others for `learned`
        if name != "fucitnet":
            run += training(name, own, rest * LEARN, setting)
        if name in MAKERS:
            run += _twins(own, setting) * rest
        total += run * runs
    if {"fucitnet", *MAKERS} & set(names):
        total += generators(profile, rest * LEARN, setting) * runs
    return total


def studies(profile: Profile, setting: Setting) -> Cost:
    """Return the cost of the studies of chapter 6: all images, then those without Normal-PCR+."""
    own, names = chapters.sizes(profile, 6), chapters.approaches(profile.name)
    return sum((study(names, own, images, setting) for images in images_of_studies(profile)), Cost())


def images_of_studies(profile: Profile) -> list[float]:
    """Return how many images each study of chapter 6 has: all, and in long ones those without Normal-PCR+."""
    whole = 24 if profile.name == "smoke" else profile.images  # chapter 6 takes a part of the smallest
    easier = [profile.images * (1 - 76 / 852)] if chapters.is_long(profile.name) else []  # as in COVIDGR
    return [whole, *easier]


def book(profile: Profile, setting: Setting) -> Iterator[tuple[str, Cost]]:
    """Yield the number and cost of each chapter, without the `studies` that are done before them."""
    n, fold = profile.images, 1 - 1 / profile.folds
    answer = asking("resnet50", profile, setting)
    short = Cost() if chapters.is_long(profile.name) else studies(profile, setting)
    own = {
        "01": training("resnet50", profile, n * fold * LEARN, setting) * 2 + answer * (2.2 * n),
        "02": Cost(),
        "03": Cost(),
        "04": _chapter_4(chapters.sizes(profile, 4), setting),
        "05": _chapter_5(chapters.sizes(profile, 5), setting),
        "06": short,
        "07": Cost(),
        "08": Cost(),
        "09": _chapter_9(chapters.sizes(profile, 9), setting),
        "10": Cost(),
    }
    for number, cost in own.items():
        images, size = chapters.sizes(profile, int(number)).images, profile.image_size
        if number in EMBEDDED:
            size = chapters.sizes(profile, int(number)).image_size
            cost += look("features", LITE0, size, 32, setting.mixed) * (EMBEDDED[number] * images)
        yield number, cost + look("lungs", "", 256, 4, setting.mixed) * (MASKED.get(number, 0) * n)


def _chapter_4(sizes: Profile, setting: Setting) -> Cost:
    half, once = sizes.images / 2, replace(sizes, lambdas=sizes.lambdas[:1])
    steps, batch = STEPS.get(sizes.name, (120, 8))
    by_hand = generator_step(sizes.generator_backbone, sizes.image_size, batch, False, setting.vgg)
    made = generators(once, half * LEARN, setting) + _twins(sizes, setting) * sizes.images
    return by_hand * steps + made * 3


def _chapter_5(sizes: Profile, setting: Setting) -> Cost:
    fair, half = replace(sizes, budget="equal-steps"), sizes.images / 2
    names = ("covid-sdnet", "crop-matched", "twins-tinted")
    trained = sum((training(name, fair, half * LEARN, setting) for name in names), Cost())
    asked = sum((asking(name, sizes, setting) for name in ("fucitnet", *names[1:])), Cost()) * half
    made = generators(sizes, half * LEARN, setting) + _twins(sizes, setting) * sizes.images
    # the model that comes with the course looks at the test part, the frozen encoder at all
    expert = look("features", LITE0, 224, BATCH, setting.mixed) * (half + sizes.images)
    return trained + asked + made + expert


def _chapter_9(sizes: Profile, setting: Setting) -> Cost:
    half = sizes.images / 2
    asked = asking("resnet50-crop", sizes, setting) * (4 * half)
    drawn = EXPLAINED.get(sizes.name, 48) * LOOKS
    explained = look("features", LITE0, 224, BATCH, setting.mixed) * (SLOW + drawn + half * TESTED)
    explained += look("features", LITE0, sizes.image_size, BATCH, setting.mixed) * drawn  # by the innocent
    explained += step("cnn", LITE0, 224, BATCH, False) * 0  # its memory: maps need gradients
    return training("resnet50-crop", sizes, half * LEARN, setting) * 3 + asked + explained
