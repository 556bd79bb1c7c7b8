"""The parts of `gpu`: stages of `sdnet bench`, then what a GPU should reach.

ResNet-50 beside the plain route, rows of the 5 x 5 cross-validation on 852 images, FuCiTNet's step beside the
authors' loop, a chapter of the profile `full`, all chapters at the smallest size in a bundle. Each reports
after every step, so that little is lost when its time is up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import cpu_count

from sdnet_lib import children
from sdnet_lib.checksums import read_seal
from sdnet_lib.config import NONE, Profile, get_profile, pick_device
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import write_gray
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.files import InputError, one_line, write_json
from sdnet_lib.lungs.crop import cached_crops
from sdnet_lib.models import classifier
from sdnet_lib.phantom import cohorts
from sdnet_lib.studies import budget, crossval
from sdnet_lib.studies.bench import NAMES, measure, stages
from sdnet_lib.studies.study import Study

ROWS = {"row-crop": ("resnet50-crop", 6), "row-sdnet": ("covid-sdnet", 45)}  # minutes wanted for 5 x 5
SHORTER = {"row-sdnet": {"generator_epochs": 5, "epochs": 10}}  # one whole run would outlast its time
CHAPTERS = 4  # of the smallest size at a time
BOOK = """
from sdnet_lib.children import end_with
end_with(int(sys.argv[1]))
sys.argv[:2] = ["sdnet", "book"]
from sdnet_lib.cli.main import main
main()
"""
MARGIN = 15  # seconds in which a row's process begins and ends
Report = Callable[[dict], None]


class Sizes(NamedTuple):
    """How large all is.

    Attributes
    ----------
    profile : Profile
        Of the networks.
    images, film : int
        Of the synthetic cohort, and their longest side in pixels.
    bench : pair of int
        Images and rounds of a stage; see `measure.bench`.
    epochs : int
        That `fit` is timed for.
    book : pair of str
        Profile and number of the chapter.
    """

    profile: Profile
    images: int = 852
    film: int = 512
    bench: tuple[int, int] = (measure.IMAGES, measure.ROUNDS)
    epochs: int = 4
    book: tuple[str, str] = ("full", "01")  # profile and chapter

    @classmethod
    def of(cls, given: dict) -> Sizes:
        """Return what was sent as JSON."""
        profile = given["profile"] | {"lambdas": tuple(given["profile"]["lambdas"])}
        return cls(**given | {"profile": Profile(**profile)})


FULL = Sizes(replace(get_profile("paper"), weights=NONE))  # ImageNet's weights are a download


def _goal(what: str, reached: float, wanted: float, unit: str, note: str) -> dict:
    return {"what": what, "reached": float(reached), "wanted": wanted, "unit": unit, "note": note}


def films(folder: Path, sizes: Sizes) -> pd.DataFrame:
    """Return the cohort of this measurement, drawn by the first who asks."""
    place = folder / "films"
    if not (place / "cohort.csv").exists():
        cohorts.homogeneous(sizes.images, 0, place, size=sizes.film)
    return read_cohort(place / "cohort.csv")


def stage(name: str, sizes: Sizes, report: Report) -> None:
    """Measure a stage of `sdnet bench`; FuCiTNet's is a goal too."""
    found = measure.bench([name], *sizes.bench)
    if name == measure.FUCITNET:
        note = f"the authors' way, {found['stages'][name]['plain_title']}"
        ratio = found["stages"][name]["ratio"]
        found["goals"] = [_goal("FuCiTNet's step, ours to the authors' way", ratio, 8, "times", note)]
    report(found)


def fit(batch: int, folder: Path, sizes: Sizes, report: Report) -> None:
    """Train ResNet-50 on images decoded once, then as anybody would: from files, on the CPU, in fp32."""
    cohort = films(folder, sizes)
    profile = replace(sizes.profile, batch=batch, epochs=sizes.epochs, patience=sizes.epochs)
    pixels, rows = read_pixels(cohort, profile.image_size), np.arange(len(cohort))

    def train(epochs: int) -> tuple[float, int]:
        learner = classifier.learner(
            cohort, rows, rows[:batch], profile=replace(profile, epochs=epochs), weights=NONE, pixels=pixels
        )
        start = time.perf_counter()
        classifier.fit(learner, profile)
        return learner.steps * batch / (time.perf_counter() - start), learner.steps

    train(1)
    ours, _ = train(sizes.epochs)
    title = f"ResNet-50 in fit, {profile.image_size} px, batches of {batch}"
    goals = [_goal(title, ours, 2000, "images/s", f"{sizes.epochs} epochs, synthetic films decoded once")]
    if pick_device().type == "cuda":
        waits, steps = _waits(lambda: train(1)[1])
        goals.append(_goal(f"{title}: waits in an epoch", waits, 10, "waits", f"of {steps} steps"))
    report({"goals": goals})
    files = jpegs(cohort.iloc[: 8 * batch], sizes.film, folder / "jpeg")
    plain = stages.plain_fit("resnet50", batch, profile.image_size)([files], folder)
    plain(0)
    start = time.perf_counter()
    plain_speed = plain(0) / (time.perf_counter() - start)
    note = f"plain: JPEG files, changes on the CPU, fp32: {plain_speed:,.0f} images/s"
    report({"goals": [*goals, _goal(f"{title}: ours to plain", ours / plain_speed, 3, "times", note)]})


def _waits(work: Callable[[], int]) -> tuple[int, int]:
    """Return how often the processor waited for the card, and what `work` returns."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught), result


def jpegs(cohort: pd.DataFrame, size: int, folder: Path) -> pd.DataFrame:
    """Return a cohort whose images are JPEG files of some size."""
    folder.mkdir(exist_ok=True)
    pixels = read_pixels(cohort, size) / np.float32(255)
    names = [str(folder / f"{number}.jpg") for number in range(len(cohort))]
    for name, image in zip(names, pixels, strict=True):
        write_gray(name, image)
    return cohort.assign(file=names)


def row(name: str, folder: Path, sizes: Sizes, limit: float, report: Report) -> None:
    """Do runs of a row of the 5 x 5 table, one after the other, and say what all of them would take.

    Where a whole run would outlast the time, shorter ones are done. Their time is multiplied by the ratio of
    operations, as if none stopped early, with the paper's VGG-16 in place of what stands in for it here.
    """
    end = time.monotonic() + limit - MARGIN
    approach, wanted = ROWS[name]
    changed = shorter(name, sizes.profile)
    study = Study(folder / name, films(folder, sizes), replace(sizes.profile, **changed))
    study.open()
    cached_crops(study.cohort)
    scale = 1.0
    if changed:
        images, here = len(study.cohort), budget.Setting.of(study.profile, True)
        whole = budget.study([approach], sizes.profile, images, budget.Setting(True, True))
        scale = whole.operations / budget.study([approach], study.profile, images, here).operations
    runs, seconds, epochs = study.runs([approach]), [], []
    for run in runs:
        if seconds and time.monotonic() + max(seconds) > end:
            break
        if not study.done(run):
            crossval.do_run(study, run)
        origin = read_seal(study.path(run, ".json"), study.path(run))
        seconds.append(origin["seconds"])
        epochs.append(origin["training"]["epochs"])
        mean = float(np.mean(seconds))
        note = (
            f"{len(seconds)} of {len(runs)} runs on {len(study.cohort)} images, from random weights, "
            f"{mean:.0f} s and {np.mean(epochs):.0f} epochs each"
            + (f", with {changed}, times {scale:.1f}" if changed else "")
        )
        minutes = mean * scale * len(runs) / 60
        report({"goals": [_goal(f"5 x 5 of {approach}", minutes, wanted, "minutes", note)]})


def shorter(name: str, profile: Profile) -> dict[str, int]:
    """Return what a row changes of the sizes."""
    return {key: min(getattr(profile, key), most) for key, most in SHORTER.get(name, {}).items()}


def side_by_side(folder: Path, sizes: Sizes, report: Report) -> None:
    """Do the folds of one repeat at the same time, for a card that one run cannot fill."""
    approach, wanted = ROWS["row-crop"]
    study = Study(folder / "side-by-side", films(folder, sizes), replace(sizes.profile, repeats=1), seed=9)
    cached_crops(study.cohort)
    start, jobs = time.monotonic(), sizes.profile.folds
    crossval.run_study(study, [approach], jobs)
    minutes = (time.monotonic() - start) * sizes.profile.repeats / 60
    note = f"one repeat, its {jobs} runs at the same time, on one card"
    report({"goals": [_goal(f"5 x 5 of {approach}, {jobs} at a time", minutes, wanted, "minutes", note)]})


def chapter(folder: Path, sizes: Sizes, report: Report) -> None:
    """Build one chapter of the book; what it needs (`pip install .[book]`) must be there."""
    profile, number = sizes.book
    minutes = _book("--profile", profile, "--only", number, "--output", folder / "book")
    report({"goals": [_goal(f"Chapter {number} in {profile}", minutes, 20, "minutes", "built from nothing")]})


def bundle(folder: Path, _: Sizes, report: Report) -> None:
    """Run all chapters at the smallest size, pack them, and render the book from the bundle alone."""
    packed, jobs = folder / "book.zip", min(CHAPTERS, cpu_count())
    made = _book("--profile", "smoke", "--jobs", jobs, "--output", folder / "whole", "--bundle", packed)
    rendered = _book("--from-bundle", packed, "--output", folder / "rendered")
    note = f"{jobs} chapters at a time, made in {made:.1f}, rendered from the bundle in {rendered:.1f}"
    report({"goals": [_goal("All chapters in smoke, as a bundle", made + rendered, 4, "minutes", note)]})


def _book(*options: object) -> float:
    """Run `sdnet book`, which ends if this process does; return its minutes."""
    start = time.monotonic()
    given = [str(os.getpid()), *map(str, options)]
    done = subprocess.run(children.python(BOOK, *given), capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"sdnet book ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
    return (time.monotonic() - start) / 60


OTHERS = {"row-crop-side-by-side": side_by_side, "chapter": chapter, "bundle": bundle}


def run(name: str, sizes: Sizes, folder: Path, limit: float) -> None:
    """Do a part in this process; each report replaces the one before."""

    def report(found: dict) -> None:
        write_json(folder / f"{name}.json", found)

    if name == "films":
        report(measure.machine_facts())
        films(folder, sizes)
    elif name in NAMES:
        stage(name, sizes, report)
    elif name in ROWS:
        row(name, folder, sizes, limit, report)
    elif name in OTHERS:
        OTHERS[name](folder, sizes, report)
    else:
        fit(int(name.split("-")[1]), folder, sizes, report)


if __name__ == "__main__":
    part, given, place, seconds = sys.argv[1:]
    try:
        run(part, Sizes.of(json.loads(given)), Path(place), float(seconds))
    except Exception as error:
        sys.exit(one_line(error))
