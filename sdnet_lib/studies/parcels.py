"""A run as a parcel: what a machine needs that has none of the study's files, and what it sends back.

What takes files to find out is found out before the parcel leaves: which images a run learns from and is
tested on, and the fingerprints of cohorts. The parcel names images by the numbers of their rows; the images
themselves come as arrays, once for all runs of a machine.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.config import pick_device
from sdnet_lib.files import InputError, machine, write_bytes
from sdnet_lib.files.temporary import private_folder
from sdnet_lib.models import registry
from sdnet_lib.models.task import Task
from sdnet_lib.studies.crossval import do_run
from sdnet_lib.studies.provenance import code_of, versions
from sdnet_lib.studies.store import SHARED
from sdnet_lib.studies.study import Run, Study

SHARING = ("fucitnet.approach", "sdnet")  # modules of approaches that do


class Parcel(NamedTuple):
    """What another machine needs for one run, beside images.

    Attributes
    ----------
    run : Run
    task, tested : Task, (DataFrame, int array)
        As a study gives them, with the numbers of rows in place of pixels.
    whole, part : dict
        The origin of the run, and that of a model that learned from `task`, if models are kept.
    external : dict of str to DataFrame
        As in `Study`.
    keep_models : bool
        As in `Study`.
    shared : dict of str to bytes
        What approaches have already learned on this part that others learn too, by file name.
    needs : dict
        The versions of code that the other machine must have, for one row cannot mix them.
    """

    run: Run
    task: Task
    tested: tuple[pd.DataFrame, np.ndarray]
    whole: dict
    part: dict
    external: dict[str, pd.DataFrame]
    keep_models: bool
    shared: dict[str, bytes]
    needs: dict[str, str]


class _Numbered(Study):
    """A study in which an image is the number of its row; those of the third class follow the cohort's."""

    def pixels(self, approach: registry.Approach, cohort: pd.DataFrame | None = None) -> np.ndarray:
        return np.arange(len(self.cohort)) if cohort is None else len(self.cohort) + np.arange(len(cohort))


@dataclass(frozen=True, eq=False)
class _Unpacked(Study):
    """A study of one run, on the machine that a parcel was sent to."""

    parcel: Parcel | None = None
    images: tuple[np.ndarray, ...] = ()

    def task(self, run: Run) -> Task:
        task = self.parcel.task
        shared = self.folder / SHARED / task.shared.name
        return task._replace(pixels=self.images[0][task.pixels], shared=shared)

    def tested(self, run: Run) -> tuple[pd.DataFrame, np.ndarray]:
        table, rows = self.parcel.tested
        return table, self.images[0][rows]

    def pixels(self, approach: registry.Approach, cohort: pd.DataFrame | None = None) -> np.ndarray:
        place = next(place for place, other in enumerate(self.external.values(), 1) if other is cohort)
        return self.images[place]

    def origin(self, approach: str) -> dict:
        known = self.parcel.part if self.cohort is self.parcel.task.cohort else self.parcel.whole
        return known | {"code": code_of(approach), "device": str(pick_device()), "versions": versions()}


def numbered(study: Study) -> Study:
    """Return a study as `pack` wants it."""
    return _Numbered(**{field.name: getattr(study, field.name) for field in dataclasses.fields(study)})


def pack(study: Study, run: Run, origin: dict) -> Parcel:
    """Return what another machine needs for a run of a `numbered` study; `origin` is that of its approach."""
    task = study.task(run)
    part = dataclasses.replace(study, cohort=task.cohort).origin(run.approach) if study.keep_models else {}
    return Parcel(
        run=run,
        task=task,
        tested=study.tested(run),
        whole=origin,
        part=part,
        external=study.external,
        keep_models=study.keep_models,
        shared=_shared(study.folder, task.shared.name) if shares(run) else {},
        needs=_needs(run.approach),
    )


def images(study: Study, approach: registry.Approach) -> list[np.ndarray]:
    """Return the images to which the numbers in parcels belong, then those of each external cohort.

    Returns
    -------
    list of uint8 array, (n, image_size, image_size)
    """
    own = study.pixels(approach)
    if study.third_class is not None and approach.third_class:
        own = np.concatenate([own, study.pixels(approach, study.third_class)])
    return [own, *(study.pixels(approach, cohort) for cohort in study.external.values())]


def shares(run: Run) -> bool:
    """Say whether a run learns something that other approaches learn on the same part, too."""
    return registry.find(run.approach).module in SHARING


def do(parcel: Parcel, *images: np.ndarray) -> tuple[dict[str, bytes], str]:
    """Do the run of a parcel; return the files that it leaves, by path in the study, and why it failed."""
    if wrong := _wrong(parcel):
        return {}, wrong
    task, reason = parcel.task, ""
    with private_folder() as folder:
        for name, content in parcel.shared.items():
            write_bytes(folder / SHARED / name, content)
        study = _Unpacked(
            folder,
            parcel.tested[0],
            task.profile,
            task.seed,
            parcel.external,
            keep_models=parcel.keep_models,
            parcel=parcel,
            images=images,
        )
        try:
            do_run(study, parcel.run)
        except Exception as error:
            reason = why(error)
        files = {f"{SHARED}/{name}": content for name, content in _shared(folder, task.shared.name).items()}
        if not reason:
            left = (study.path(parcel.run, ".json"), *study.files(parcel.run))
            files |= {file.relative_to(folder).as_posix(): file.read_bytes() for file in left}
    known = {f"{SHARED}/{name}": content for name, content in parcel.shared.items()}
    return {name: content for name, content in files.items() if known.get(name) != content}, reason


def why(error: Exception) -> str:
    """Return what the user or the machine is to blame for; raise an error that is our own."""
    reason = str(error) if isinstance(error, InputError) else machine.reason(error)
    if not reason:
        raise error
    return reason


def unpack(study: Study, run: Run, files: dict[str, bytes]) -> None:
    """Write the files that a run has left to the folder of its study; the provenance comes last.

    Raises
    ------
    InputError
        If the run does not start from the weights from which the others of its row started.
    """
    seal = study.path(run, ".json").relative_to(study.folder).as_posix()
    if seal in files:
        study.check_start(run, json.loads(files[seal])["training"])
    for name in sorted(files, key=lambda name: (name == seal, name)):
        write_bytes(study.folder / name, files[name])


def _shared(folder: Path, part: str) -> dict[str, bytes]:
    """Return what is shared by the approaches on one part, by file name, and nothing half done."""
    found = sorted((folder / SHARED).glob(f"{part}-*.safetensors*"))
    return {file.name: file.read_bytes() for file in found}


def _needs(approach: str) -> dict[str, str]:
    return {"the code of sdnet-lib": code_of(approach)["hash"], **versions()}


def _wrong(parcel: Parcel) -> str:
    """Say in which versions this machine differs from the one that sent a parcel; ``""`` if in none."""
    here = _needs(parcel.run.approach)
    differs = [
        f"{name} is {here[name]}, {value} is needed"
        for name, value in parcel.needs.items()
        if here[name] != value
    ]
    return f"on the machine {platform.node()} {'; '.join(differs)}" if differs else ""
