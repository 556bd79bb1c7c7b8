"""The stages of `sdnet bench`: for each the course's code, and a plain reference that does the same.

A stage is prepared with cohorts of its own, one for each round, so that nothing comes from a cache that a
user's first call would not have. What is returned does one round and says how many images it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from sdnet_lib.config import get_profile, one_thread, pick_device
from sdnet_lib.data.images import read_gray
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.explain import saliency
from sdnet_lib.lungs import crop, segmentation, unet
from sdnet_lib.models import classifier
from sdnet_lib.models.fucitnet.generators import generator
from sdnet_lib.models.fucitnet.twins import through
from sdnet_lib.models.predictors import Single, to_images
from sdnet_lib.models.training_config import TrainingConfig
from sdnet_lib.phantom import cohorts
from sdnet_lib.studies import crossval
from sdnet_lib.studies.study import Study

SIZES = {"cpu": 64, "cuda": 224}  # of what networks see
Round = Callable[[int], int]
Prepared = Callable[[list[pd.DataFrame], Path], Round]


class Stage(NamedTuple):
    """A stage: what is measured, what the plain reference is, and both."""

    title: str
    plain_title: str
    ours: Prepared
    plain: Prepared


def _size() -> int:
    return SIZES[pick_device().type]


def _phantom(workers: int | None) -> Prepared:
    def prepare(given: list[pd.DataFrame], folder: Path) -> Round:
        count = len(given[0])

        def work(turn: int) -> int:
            return len(cohorts.homogeneous(count, 100 + turn, folder / f"drawn{turn}", workers=workers))

        return work

    return prepare


def _read(given: list[pd.DataFrame], _: Path) -> Round:
    return lambda turn: len(read_pixels(given[turn], 224))


def _read_plainly(given: list[pd.DataFrame], _: Path) -> Round:
    def work(turn: int) -> int:
        files = given[turn]["file"]
        return len(np.stack([np.asarray(Image.open(f).convert("L").resize((224, 224))) for f in files]))

    return work


def _crop(given: list[pd.DataFrame], folder: Path) -> Round:
    return lambda turn: len(crop.crop_cohort(given[turn], folder / f"crops{turn}"))


def _crop_plainly(given: list[pd.DataFrame], folder: Path) -> Round:
    model = unet.load()

    def work(turn: int) -> int:
        for file in given[turn]["file"]:
            image = read_gray(file)
            box = crop.bounding_box(segmentation.lung_masks(model, [image])[0])
            left, top, right, bottom = box or (0, 0, *image.shape[::-1])
            cut = (255 * image[top:bottom, left:right]).round().astype(np.uint8)
            Image.fromarray(cut).save(folder / f"plain{turn}-{Path(file).name}.png")
        return len(given[turn])

    return work


def _network(backbone: str = "resnet18", image_size: int | None = None) -> Single:
    torch.manual_seed(0)
    return Single(*classifier.network(backbone, "none", 2, image_size or _size())).ready()


def _fit(given: list[pd.DataFrame], _: Path) -> Round:
    sizes = replace(get_profile("smoke"), image_size=_size(), epochs=1, backbone="resnet18", weights="none")

    network, config = _network().network, TrainingConfig(batch=sizes.batch)  # made before, as the plain one

    def work(turn: int) -> int:
        rows = np.arange(len(given[turn]))
        pixels = read_pixels(given[turn], _size())
        learner = classifier.learner(
            given[turn], rows, rows[:4], profile=sizes, model=network, config=config, pixels=pixels
        )
        classifier.fit(learner, sizes)
        return len(rows)

    return work


def plain_fit(backbone: str, batch: int, image_size: int) -> Prepared:
    """Return what reads each file when its turn comes, changes it by itself, trains in single precision."""
    from torchvision.transforms import v2

    change = v2.Compose([v2.RandomAffine(10, (0.05, 0.05), (0.8, 1.2)), v2.ColorJitter(0.05, 0.05)])

    def prepare(given: list[pd.DataFrame], _: Path) -> Round:
        network = _network(backbone, image_size).network.train()
        optimiser = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.9)

        def work(turn: int) -> int:
            targets = torch.tensor((given[turn]["label"] == "P").to_numpy()).long()
            files = given[turn]["file"].tolist()
            for start in range(0, len(files), batch):
                now = slice(start, start + batch)
                images = [Image.open(f).convert("RGB").resize((image_size,) * 2) for f in files[now]]
                tensors = torch.stack([v2.functional.to_tensor(change(image)) for image in images])
                wanted = targets[now].to(pick_device())
                F.cross_entropy(network(tensors.to(pick_device())), wanted).backward()
                optimiser.step()
                optimiser.zero_grad()
            return len(files)

        return work

    return prepare


def _fit_plainly(given: list[pd.DataFrame], folder: Path) -> Round:
    return plain_fit("resnet18", 16, _size())(given, folder)


def _transform(given: list[pd.DataFrame], _: Path) -> Round:
    pair = generator(), generator()
    return lambda turn: len(through(pair, read_pixels(given[turn], _size())))


def _transform_plainly(given: list[pd.DataFrame], _: Path) -> Round:
    pair = [generator().eval().to(pick_device()) for _ in range(2)]

    def work(turn: int) -> int:
        pixels = read_pixels(given[turn], _size())
        with torch.no_grad():
            for image in pixels:
                colours = to_images(image[None]).expand(-1, 3, -1, -1)
                _ = [network(colours).clamp(0, 1).cpu().numpy() for network in pair]
        return len(pixels)

    return work


def _cv(jobs: int | None) -> Prepared:
    def prepare(given: list[pd.DataFrame], folder: Path) -> Round:
        sizes = replace(get_profile("smoke"), image_size=32)

        def work(turn: int) -> int:
            study = Study(folder / f"study{turn}", given[turn], sizes)
            crossval.run_study(study, ["resnet50"], jobs)
            return len(given[turn])

        return work

    return prepare


def _explain(given: list[pd.DataFrame], _: Path) -> Round:
    predictor = _network()
    return lambda turn: len(saliency.pair(predictor, read_pixels(given[turn], _size())))


def _explain_plainly(given: list[pd.DataFrame], _: Path) -> Round:
    predictor = _network()
    return lambda turn: sum(
        len(saliency.pair(predictor, image[None])) for image in read_pixels(given[turn], _size())
    )


def _predict(given: list[pd.DataFrame], _: Path) -> Round:
    predictor = _network()
    return lambda turn: len(predictor.predict(read_pixels(given[turn], _size()))["prob_P"])


def _predict_plainly(given: list[pd.DataFrame], _: Path) -> Round:
    predictor = _network()

    def work(turn: int) -> int:
        with torch.no_grad():
            for file in given[turn]["file"]:
                image = np.asarray(Image.open(file).convert("L").resize((_size(),) * 2))
                predictor(to_images(image[None])).softmax(-1).cpu().numpy()
        return len(given[turn])

    return work


STAGES = {
    "phantom": Stage("draw a cohort", "in one process", _phantom(None), _phantom(1)),
    "read": Stage("read images for a network", "Pillow alone, no checks", _read, _read_plainly),
    "crop": Stage("find lungs and crop", "one image at a time", _crop, _crop_plainly),
    "classifier": Stage("train an epoch of ResNet-18", "files, CPU changes, fp32", _fit, _fit_plainly),
    "transform": Stage("make twins", "one image at a time", _transform, _transform_plainly),
    "cv": Stage("cross-validate", "one run at a time", _cv(None), _cv(1)),
    "explain": Stage("Grad-CAM, both answers", "one image at a time", _explain, _explain_plainly),
    "predict": Stage("predict files", "one file at a time", _predict, _predict_plainly),
}


def prepare(name: str, plain: bool, given: list[pd.DataFrame], folder: Path) -> Round:
    """Return what does one round of a stage, of the course's code or of the reference."""
    with one_thread():
        return (STAGES[name].plain if plain else STAGES[name].ours)(given, folder)
