"""Damage copies of everything that is kept, and count what passes unnoticed.

``python -m tests.faults.damage [N]`` tries N copies of each kind, 1,000 by default, and ends with status 1 if
one passes. A copy has a few bits flipped, its end cut off, a block of zeros in it, or another file of its
kind in its place. It is noticed if reading it is an `InputError`, or if it is made again; harmless if what is
read is the same.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import nbformat
import numpy as np
import pandas as pd
import torch

from data_scripts import download
from sdnet_lib.checksums import beside, kept_file, made_again, write_seal
from sdnet_lib.config import get_profile
from sdnet_lib.evaluation import tables
from sdnet_lib.files import InputError, write_parquet
from sdnet_lib.lungs import crop
from sdnet_lib.models.fucitnet import checkpoints, networks, twins
from sdnet_lib.models.registry import find
from sdnet_lib.publish import bundle
from sdnet_lib.publish.build import find_notebooks
from sdnet_lib.studies import model_file, published
from sdnet_lib.studies.study import Run, Study
from tests.conftest import make_squares
from tests.publish import tiny_course

BLOCK = 512  # bytes that a disk writes at once
COLUMNS = ("kind", "tried", "noticed", "harmless", "other error", "silent")


class MadeAgain(Exception):
    """What was damaged would now be made again."""


class Kind(NamedTuple):
    """Something that is kept: the files to damage, and how it is read."""

    files: list[Path]
    read: Callable[[], object]


def again(*_: object, **__: object) -> None:
    """Stand for whatever makes something anew."""
    raise MadeAgain


def runs(folder: Path) -> Kind:
    """Return two runs of a study, as `sdnet cv` leaves them."""
    study = Study(folder, make_squares(folder.parent / "squares"), get_profile("smoke"))
    rng = np.random.default_rng(0)
    for fold in range(2):
        run = Run("resnet50", 0, fold)
        positive = rng.random(20)
        table = pd.DataFrame({"image_id": [f"{fold}-{number}" for number in range(20)]})
        table = table.assign(
            patient_id=table["image_id"], label=["N", "P"] * 10, severity="", **run._asdict()
        )
        write_parquet(study.path(run), table.assign(prob_N=1 - positive, prob_P=positive))
        write_seal(study.path(run, ".json"), study.provenance(run, {"epochs": 3}, 1.5), *study.files(run))

    def read() -> str:
        states = [study.state(Run("resnet50", 0, fold)) for fold in range(2)]
        if any(state != ("done", "") for state in states):
            raise MadeAgain
        return tables.read_runs(folder).to_csv()

    return Kind(sorted(folder.rglob("*.*")), read)


def predictions(folder: Path) -> Kind:
    """Return what runs predict."""
    kind = runs(folder)
    return kind._replace(files=[file for file in kind.files if file.suffix == ".parquet"])


def provenance(folder: Path) -> Kind:
    """Return where predictions come from, which is read by `sdnet tables` alone."""
    kind = runs(folder)
    files = [file for file in kind.files if file.suffix == ".json"]
    return kind._replace(files=files, read=lambda: tables.read_runs(folder).to_csv())


def models(folder: Path) -> Kind:
    """Return two small models with their cards."""
    for number in range(2):
        torch.manual_seed(number)
        model_file.write(_model(number), folder / f"{number}.safetensors")
    return Kind(sorted(folder.iterdir()), lambda: [_as_text(folder / f"{n}.safetensors") for n in (0, 1)])


def models_alone(folder: Path) -> Kind:
    """Return a model that was sent without its card."""
    torch.manual_seed(0)
    file = folder / "0.safetensors"
    model_file.write(_model(0), file)
    file.with_suffix(".json").unlink()
    return Kind([file], lambda: _as_text(file))


def _model(number: int) -> model_file.Model:
    approach = find("darkcovidnet")
    profile = get_profile("smoke").__dict__ | {"image_size": 32}
    cohort = {"images": 2, "sources": ["nowhere"]}
    card = {"approach": approach.name, "labels": ["N", "P"], "crops": approach.crops, "profile": profile}
    card |= {"cohort": cohort, "ordinary": {"contrast": [0.1, 0.2]}, "limits": [f"Toy {number}."]}
    return model_file.Model(approach.build(model_file._profile(card)), card)


def _as_text(file: Path) -> str:
    model = model_file.read(file)
    return f"{model.card} {[float(tensor.sum()) for tensor in model.predictor.state_dict().values()]}"


def generators(folder: Path) -> Kind:
    """Return the generators that the approaches of a study share."""
    for number in range(2):
        kept_file(folder / f"{number}.safetensors", lambda part: twins.save(_fitted(), part))

    def read() -> list[dict]:
        return [twins.load(kept_file(folder / f"{n}.safetensors", again)).origin for n in range(2)]

    return Kind(_visible(folder), read)


def _fitted() -> twins.Fitted:
    start = networks.start("tf_efficientnet_lite0", "none", "paper")
    minus, plus = start.generators
    origin = {"backbone": "tf_efficientnet_lite0", "way": "paper"}
    return twins.Fitted(plus, minus, start.classifier, pd.DataFrame({"epoch": [1]}), origin)


def checkpoint(folder: Path) -> Kind:
    """Return two checkpoints of trainings that were interrupted."""

    class Learn:
        """What a checkpoint asks of fastai's Learner."""

        def __init__(self, network: torch.nn.Module) -> None:
            opt = torch.optim.Adam(network.parameters())
            self.twins = type(
                "Twins", (), {"optimisers": [opt], "scaler": torch.amp.GradScaler("cpu", enabled=False)}
            )
            self.opt = type("Opt", (), {"opt": opt})

    def load(number: int) -> checkpoints.Checkpoint:
        network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
        found = checkpoints.Checkpoint(network, 3, 0, folder / f"{number}", f"key {number}")
        found.learn = Learn(network)
        return found

    for number in range(2):
        made = load(number)
        made.history.append({"valid_loss": number / 3})
        made._write(folder / f"{number}")

    def read() -> str:
        states = [load(number).state for number in range(2)]
        if not all(states):
            raise MadeAgain
        return str(states)

    return Kind(sorted(folder.iterdir()), read)


def crops(folder: Path) -> Kind:
    """Return the cached crops of a cohort, with their boxes."""
    os.environ["SDNET_CACHE"] = str(folder)
    cohort = make_squares(folder.parent / "squares", 4)
    crop.cached_crops(cohort)

    def read() -> list:
        with patch.object(crop, "crop_cohort", again):
            table = crop.cached_crops(cohort)
            return [table.to_csv(), crop.crop_boxes(cohort)]

    return Kind([file for file in folder.rglob("*.*") if file.is_file() and file.name[0] != "."], read)


def notebooks(folder: Path) -> Kind:
    """Return executed notebooks, as `sdnet book` keeps them."""
    for number in range(2):
        cells = [nbformat.v4.new_code_cell(f"print({number + one})") for one in range(20)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{number}.ipynb")
        write_seal(beside(folder / f"{number}.ipynb"), {}, folder / f"{number}.ipynb")

    def read() -> list[bytes]:
        files = [folder / f"{number}.ipynb" for number in range(2)]
        if any(made_again(file) for file in files):
            raise MadeAgain
        return [file.read_bytes() for file in files]

    return Kind(sorted(folder.iterdir()), read)


def downloads(folder: Path) -> Kind:
    """Return downloads with their records."""

    def came(_url: str, part: Path, _size: int | None) -> None:
        part.write_bytes(np.random.default_rng(len(list(folder.iterdir()))).bytes(999))

    def fetch() -> list[tuple[dict, bytes]]:
        files = [folder / f"{number}.zip" for number in range(2)]
        return [(download.fetch("http://nowhere/a.zip", file), file.read_bytes()) for file in files]

    def read() -> list[tuple[dict, bytes]]:
        with patch.object(download, "_download", again):
            return fetch()

    with patch.object(download, "_download", came):
        fetch()
    return Kind(sorted(folder.iterdir()), read)


def studies(folder: Path) -> Kind:
    """Return stored results of the course."""
    names = ("covidx-mini", "nih-pneumonia")
    for name in names:
        for file in published.PACKED.glob(f"{name}*"):
            shutil.copy(file, folder)

    def read() -> list[str]:
        with patch.object(published, "PACKED", folder):
            return [f"{published.load(name)[0].to_csv()} {published.load(name)[1]}" for name in names]

    files = [file for file in sorted(folder.iterdir()) if "-on-" not in file.name]
    return Kind(files, read)


def bundles(folder: Path) -> Kind:
    """Return two bundles of a tiny course, as `sdnet book --bundle` packs them."""
    cells = {"01_first": tiny_course.notebook("print(6 * 7)")}
    return bundles_of(tiny_course.write(folder.parent / "course", **cells), folder)


def bundles_of(root: Path, folder: Path) -> Kind:
    """Return two bundles of a course, its sources in place of executed copies."""
    notebooks = find_notebooks(root)
    for number in range(2):
        facts = {"parameters": {"seed": number}, "origin": {}}
        copies = {notebook: notebook for notebook in notebooks}
        bundle.write(folder / f"{number}.zip", copies, [], facts, folder.parent / "scratch")

    def read() -> list:
        opened = folder.parent / "opened"
        found = []
        for number in range(2):
            facts = bundle.unpack(folder / f"{number}.zip", notebooks, opened)
            if facts["parameters"]["seed"] != number:  # the other one in its place: sound, and says so itself
                raise MadeAgain
            found.append([facts["files"], (opened / "executed" / "01_first.ipynb").read_bytes()])
        return found

    return Kind([folder / f"{number}.zip" for number in range(2)], read)


def _visible(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*"))


KINDS = {
    "prediction tables": predictions,
    "provenance": provenance,
    "models and their cards": models,
    "models sent alone": models_alone,
    "generators": generators,
    "checkpoints": checkpoint,
    "crops and boxes": crops,
    "executed notebooks": notebooks,
    "downloads and records": downloads,
    "stored studies": studies,
    "bundles of a book": bundles,
}


def damages(kind: Kind, rng: np.random.Generator) -> Iterator[tuple[Path, bytes]]:
    """Yield files of a kind, and what stands in them instead."""
    contents = {file: file.read_bytes() for file in kind.files}
    while True:
        file = kind.files[rng.integers(len(kind.files))]
        content, how = bytearray(contents[file]), rng.integers(4)
        if how == 0:
            for bit in rng.integers(8 * len(content), size=rng.integers(1, 9)):
                content[bit // 8] ^= 1 << bit % 8
        elif how == 1:
            del content[rng.integers(len(content)) :]
        elif how == 2:
            start = int(rng.integers(len(content)))
            size = min(BLOCK, len(content) - start)
            content[start : start + size] = bytes(size)
        else:
            content = contents[kind.files[rng.integers(len(kind.files))]]
        if content != contents[file]:
            yield file, bytes(content)


def count(kind: Kind, tries: int, rng: np.random.Generator) -> Counter:
    """Damage a kind so often, restore it each time, and count what came of it."""
    found, sound = Counter(), kind.read()
    contents = {file: file.read_bytes() for file in kind.files}
    for _, (file, content) in zip(range(tries), damages(kind, rng), strict=False):
        file.write_bytes(content)
        try:
            found["harmless" if kind.read() == sound else "silent"] += 1
        except (InputError, MadeAgain):
            found["noticed"] += 1
        except Exception as error:
            print(f"{file.name}: {type(error).__name__}: {error}", file=sys.stderr)
            found["other error"] += 1
        for one, content in contents.items():
            if one == file or not one.exists():
                one.parent.mkdir(parents=True, exist_ok=True)
                one.write_bytes(content)
    return found


def table(tries: int, seed: int = 0) -> pd.DataFrame:
    """Damage all kinds; return a row per kind, of `COLUMNS`."""
    rows = []
    logging.getLogger("sdnet_lib").setLevel(logging.ERROR)  # each damage is a line
    cache = os.environ.get("SDNET_CACHE")
    try:
        for name, make in KINDS.items():
            with tempfile.TemporaryDirectory() as place:
                (Path(place) / "kept").mkdir()
                found = count(make(Path(place) / "kept"), tries, np.random.default_rng(seed))
            rows.append([name, tries, *(found[column] for column in COLUMNS[2:])])
            print(*rows[-1], sep=", ", flush=True)
    finally:
        logging.getLogger("sdnet_lib").setLevel(logging.NOTSET)
        os.environ.pop("SDNET_CACHE", None)
        os.environ |= {"SDNET_CACHE": cache} if cache else {}
    return pd.DataFrame(rows, columns=COLUMNS)


if __name__ == "__main__":
    print(*COLUMNS, sep=", ")
    counted = table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    sys.exit(int(counted[["silent", "other error"]].to_numpy().any()))
