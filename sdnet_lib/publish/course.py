"""What a notebook calls: its first and last lines, numbers for the prose, and what the course does not teach.

Studies, stored results and data sets by name are reached through here only, so that a chapter shows what it
teaches and not how it is kept. Heavy modules are imported by the function that needs them: `start` is quick.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sdnet_lib import config

if TYPE_CHECKING:
    import pandas as pd

    from sdnet_lib.data.splits import Split
    from sdnet_lib.evaluation.render import Table
    from sdnet_lib.studies.model_file import Model
    from sdnet_lib.studies.study import Study

_started = {"time": 0.0, "profile": "", "seed": 0}


def start(profile: str, seed: int = 0) -> config.Profile:
    """Seed everything, print what this notebook runs on, and return the profile.

    Parameters
    ----------
    profile : str
        ``smoke``, ``quick``, ``full`` or ``paper``.
    seed : int
        Seeds Python, NumPy and torch.
    """
    chosen = config.get_profile(profile)
    config.set_seed(seed)
    _started.update(time=time.monotonic(), profile=profile, seed=seed)
    print(f"profile {profile}, seed {seed}, device {config.pick_device()}")
    return chosen


def glue(name: str, value: object) -> None:
    """Store `value` under `name` for the prose of the rendered book (MyST-NB's ``{glue:text}``).

    Outside the book (Colab, say) MyST-NB may be missing; then there is no prose to fill and nothing happens.
    """
    try:
        from myst_nb import glue as myst_glue
    except ImportError:
        return
    myst_glue(name, value, display=False)


def finish() -> None:
    """Print the provenance line that closes a chapter: date, minutes, device, versions, parameters."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("sdnet-lib", "torch", "fastai")
    )
    minutes = (time.monotonic() - float(_started["time"])) / 60
    print(
        f"{time.strftime('%Y-%m-%d')}, {minutes:.1f} min on {config.pick_device()}, "
        f"Python {platform.python_version()}, {versions}, "
        f"profile {_started['profile']}, seed {_started['seed']}"
    )


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
    from data_scripts import registry

    seed = _started["seed"] if seed is None else seed
    return registry.load_cohort(source, data=data, profile=_started["profile"], seed=seed)


def load_if_here(name: str, data: str | Path | None) -> pd.DataFrame | None:
    """Return a public set from the folder `data`, or None if no folder is given or the set is not in it."""
    from data_scripts import registry

    return load_cohort(name, data) if data and registry.is_here(name, data) else None


def cache_folder(name: str) -> Path:
    """Return a folder for what takes hours; it outlives the notebook, whose next run goes on from there."""
    return config.cache_dir() / name


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
    **sizes
        Fields of the profile to replace, such as ``image_size=32``.
    """
    from sdnet_lib.studies.study import Study

    profile = dataclasses.replace(config.get_profile(_started["profile"]), **sizes)
    return Study(Path(folder), cohort, profile, _started["seed"], data=data and Path(data))


def run_study(study: Study, approaches: list[str]) -> pd.DataFrame:
    """Train and test what is missing of a study; return its prediction table, one row per tested image.

    Several runs go side by side, but for the smallest profile, where starting a process takes longer.
    """
    from sdnet_lib.evaluation import tables
    from sdnet_lib.studies import crossval

    jobs = 1 if study.profile.name == "smoke" else crossval.default_jobs()
    crossval.run_study(study, approaches, jobs)
    return tables.read_runs(study.folder)


def study_splits(study: Study) -> dict[tuple[int, int], Split]:
    """Return who trains, validates and tests in a study, by repeat and fold."""
    return study.parts


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
        experiment) or ``pointing`` (chapter 7, a row per measurement).
    tested_on : str, optional
        Another cohort that the networks of a cross-validation were tested on, for those predictions instead.
    """
    from sdnet_lib.studies import published

    return published.load(name, tested_on)


def provenance(predictions: pd.DataFrame, origin: dict) -> dict[str, str]:
    """Say in words where a stored study comes from: cohort, protocol, sizes, computing."""
    from sdnet_lib.publish import results_page

    return results_page.provenance(predictions, origin)


def studies_table() -> Table:
    """Return one row per stored study: its size, its protocol and the range of its accuracies."""
    from sdnet_lib.publish import results_page

    return results_page.overview()


def model(name: str) -> Model:
    """Return a trained model and its card: one that comes with the package, or a file of `sdnet train`."""
    from sdnet_lib.studies import model_file

    return model_file.read(name)
