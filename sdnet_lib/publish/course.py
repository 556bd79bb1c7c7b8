"""What a notebook calls: its first and last lines, numbers for the prose, and what the course does not teach.

Studies, stored results and data sets by name are reached through here only, so that a chapter shows what it
teaches and not how it is kept. Heavy modules are imported by the function that needs them: `start` is quick.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sdnet_lib import config
from sdnet_lib.files import InputError

if TYPE_CHECKING:
    import pandas as pd

    from sdnet_lib.studies.model_file import Model
    from sdnet_lib.studies.study import Study

OWN = "own cohort"  # the source of images whose table names none
GPU_MEMORY = 12  # GB, enough for the profile `full`; Colab's free GPU has 15
_started = {"time": 0.0, "profile": "", "seed": 0}
_glued: dict[str, str] = {}


def start(profile: str, seed: int = 0) -> config.Profile:
    """Seed everything, print what this notebook runs on, and return the profile.

    Parameters
    ----------
    profile : str
        ``smoke``, ``quick``, ``full`` or ``paper``; or ``auto``: `full` on a GPU that fits it, else `quick`.
    seed : int
        Seeds Python, NumPy and torch.
    """
    import torch

    torch.set_num_threads(config.THREADS)  # the numbers of the book, on any machine's cores
    if profile == "auto":
        profile = "full" if _gpu_memory() >= GPU_MEMORY else "quick"
    chosen = config.get_profile(profile)
    config.set_seed(seed)
    _started.update(time=time.monotonic(), profile=chosen.name, seed=seed)
    place = "$SDNET_CACHE" if os.environ.get("SDNET_CACHE") else "~/.cache/sdnet"
    print(f"profile {chosen.name}, seed {seed}, device {_device()}; what is kept goes to {place}")
    return chosen


def _gpu_memory() -> float:
    """Return the memory of the GPU in GB, 0 without one."""
    import torch

    return torch.cuda.get_device_properties(0).total_memory / 1e9 if torch.cuda.is_available() else 0


def _device() -> str:
    """Say on what this notebook computes."""
    import torch

    memory = _gpu_memory()
    return f"cuda ({torch.cuda.get_device_name(0)}, {memory:.0f} GB)" if memory else "cpu"


def sizes(chapter: int) -> config.Profile:
    """Return the sizes of a chapter, where a small profile has smaller ones for it."""
    from sdnet_lib.studies import chapters

    return chapters.sizes(config.get_profile(_started["profile"]), chapter)


def glue(name: str, value: object) -> None:
    """Store `value` under `name` for the prose: for `say`, and for MyST-NB's ``{glue:text}`` where it is."""
    _glued[name] = str(value)
    try:
        from myst_nb import glue as myst_glue
    except ImportError:
        return
    myst_glue(name, value, display=False)


def say(text: str) -> None:
    """Show Markdown with the numbers of this run: plain notebooks have their prose printed by the run.

    Parameters
    ----------
    text : str
        ``{{name}}`` stands for what `glue` stored under that name.

    Raises
    ------
    InputError
        If nothing has been stored under a name yet.
    """
    from IPython.display import Markdown, display

    names = re.findall(r"\{\{(.+?)\}\}", text)
    if missing := [name for name in names if name not in _glued]:
        raise InputError(f"run the cells above first: {', '.join(missing)} is not computed yet")
    for name in names:
        text = text.replace(f"{{{{{name}}}}}", _glued[name])
    display(Markdown(text))


def finish() -> None:
    """Print the provenance line that closes a chapter: date, minutes, device, versions, parameters."""
    packages = ("sdnet-lib", "torch", "fastai")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    minutes = (time.monotonic() - float(_started["time"])) / 60
    machine = f"{config.pick_device()}, Python {platform.python_version()}"
    asked = f"profile {_started['profile']}, seed {_started['seed']}"
    print(f"{time.strftime('%Y-%m-%d')}, {minutes:.1f} min on {machine}, {versions}, {asked}")


def check(exercise: str, answer: object, *given: object) -> None:
    """Print whether an answer to an exercise is right, or in one sentence what is wrong with it.

    The line stays in the notebook, where `sdnet course marks` finds it.

    Parameters
    ----------
    exercise : str
        Such as ``"4.3"``.
    answer : object
        A value, a tuple of values or a function, as the exercise says; ``...`` is not answered yet.
    *given
        What of the notebook the check needs; see `exercises.checking.judge`.
    """
    from sdnet_lib.exercises import checking

    print(checking.judge(exercise, answer, *given)[1])


def confirm(exercise: str, answer: object, *given: object) -> None:
    """Raise `AssertionError` unless a solution of the course passes its own check; print nothing."""
    from sdnet_lib.exercises import checking

    right, sentence = checking.judge(exercise, answer, *given)
    assert right, sentence


def quiz(chapter: int, **numbers: object) -> None:
    """Show a chapter's questions; `numbers` are those of this run that they ask for, as text."""
    from IPython.display import display

    from sdnet_lib.exercises import quiz

    asked = quiz.questions(chapter, numbers)
    display({"text/html": quiz.as_html(chapter, asked), "text/plain": quiz.as_text(asked)}, raw=True)


def load_cohort(
    source: str | Path, data: str | Path | None = None, *, seed: int | None = None
) -> pd.DataFrame:
    """Load a cohort in the sizes of this notebook's profile; see `data_scripts.registry.load_cohort`.

    Parameters
    ----------
    source : str or pathlib.Path
        A name from `sdnet data list`, a CSV file or a folder.
    data : str or pathlib.Path, optional
        The folder that holds the public data sets.
    seed : int, optional
        Of a synthetic cohort; another seed has other patients. By default the notebook's.
    """
    return cohort_of(source, data, _started["profile"], _started["seed"] if seed is None else seed)


def cohort_of(source: str | Path, data: str | Path | None, profile: str, seed: int) -> pd.DataFrame:
    """Load a cohort as a notebook of this profile and seed does; see `load_cohort`."""
    from data_scripts import registry
    from sdnet_lib.data.cohort import own_name

    cohort = registry.load_cohort(source, data=data, profile=profile, seed=seed)
    if str(source) not in registry.names():  # what a folder or file is called may be nobody's business
        cohort["source"] = cohort["source"].replace(own_name(source), OWN)
    return cohort


def load_if_here(name: str, data: str | Path | None) -> pd.DataFrame | None:
    """Return a public set from the folder `data`, or None if no folder is given or the set is not in it."""
    from data_scripts import registry

    return load_cohort(name, data) if data and registry.PUBLIC[name].is_here(Path(data)) else None


def approaches() -> list[str]:
    """Return the systems that chapter 6 compares in this notebook's profile."""
    from sdnet_lib.studies import chapters

    return chapters.approaches(_started["profile"])


def study_folder(dataset: str) -> Path:
    """Return the folder of chapter 6's study in the cache, where an interrupted one goes on."""
    from sdnet_lib.studies import chapters

    return chapters.folder(_started["profile"], dataset, _started["seed"])


def study(cohort: pd.DataFrame, folder: str | Path, data: str | Path | None = None, **sizes: object) -> Study:
    """Plan a cross-validation of a cohort in this notebook's profile and seed.

    Parameters
    ----------
    cohort : pandas.DataFrame
        It is found again as `cohort` of what is returned.
    folder : str or pathlib.Path
        For its runs.
    data : str or pathlib.Path, optional
        The folder that holds the public data sets, for approaches that need a file from it.
    **sizes : of the profile, such as ``image_size=32``
    """
    from sdnet_lib.studies.study import Study

    profile = dataclasses.replace(config.get_profile(_started["profile"]), **sizes)
    return Study(Path(folder), cohort, profile, _started["seed"], data=data and Path(data))


def run_study(study: Study, approaches: list[str]) -> pd.DataFrame:
    """Train and test what is missing of a study; return its prediction table, one row per tested image.

    Several runs go side by side, but for the smallest profile, where starting a process takes longer.
    """
    from sdnet_lib.evaluation import tables
    from sdnet_lib.studies import crossval, side_by_side

    jobs = 1 if study.profile.name == "smoke" else side_by_side.at_a_time(study, approaches)
    crossval.run_study(study, approaches, jobs)
    return tables.read_runs(study.folder)


def published_studies() -> list[str]:
    """Return the names of the cross-validations that come with the package; there may be none."""
    from sdnet_lib.studies import published

    return published.stored()


def published(name: str, tested_on: str | None = None) -> tuple[pd.DataFrame, dict]:
    """Return a stored result and where it comes from.

    Parameters
    ----------
    name : str
        One of `published_studies` (a prediction table), ``shortcuts`` (chapter 1 on real images, a row an
        experiment) or ``pointing`` (chapter 9, a row per measurement).
    tested_on : str, optional
        Another cohort that the networks of a cross-validation were tested on, for those predictions instead.
    """
    from sdnet_lib.studies import published

    return published.load(name, tested_on)


def provenance(predictions: pd.DataFrame, origin: dict) -> dict[str, str]:
    """Say in words where a stored study comes from: cohort, protocol, sizes, computing."""
    from sdnet_lib.publish import results_page

    return results_page.provenance(predictions, origin)


def deep_study(
    dataset: str, data: str | Path | None = None, *, without_normal_pcr: bool = False
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the predictions that chapters 6 to 8 look at closely, and in words where they come from.

    In a small profile those of the synthetic cohort are stored, and stand in if hardly a run on another has
    learned. All others are those of `study_folder`, and what is missing there is run.
    `without_normal_pcr` takes the study without these patients; it is the same one if there are none.
    """
    from sdnet_lib.evaluation import learned
    from sdnet_lib.studies import chapters

    profile, seed = _started["profile"], _started["seed"]
    name = "phantom" + (chapters.NO_PCR if without_normal_pcr else "")
    stored, own, few = name in published_studies(), Path(dataset).name, ""
    if not stored or dataset != "phantom" or chapters.is_long(profile):
        every = chapters.studies(load_cohort(dataset, data), dataset, data and Path(data), profile, seed)
        few = learned.too_few(run_study(every[0], approaches()))
        if not few or not stored:
            live = run_study(every[-1 if without_normal_pcr else 0], approaches())
            return live, {"run": "live, in this profile", "cohort": own}
    predictions, origin = published(name)
    facts = {"instead of": f"{own}: {few}"} if few else {}
    return predictions, facts | {"run": f"stored: {name}"} | provenance(predictions, origin)


def model(name: str) -> Model:
    """Return a trained model and its card: one that comes with the package, or a file of `sdnet train`."""
    from sdnet_lib.studies import model_file

    return model_file.read(name)
