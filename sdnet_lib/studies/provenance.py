"""What decides the numbers of a run beside its cohort and its sizes: code and installed versions."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache

from sdnet_lib import __version__
from sdnet_lib.code_version import code_version
from sdnet_lib.models import registry

LIBRARIES = ("torch", "torchvision", "fastai", "timm", "numpy", "pandas", "scikit-learn")
# what all runs share: how parts are dealt, images cropped, networks trained and asked
SHARED = (
    "sdnet_lib.lungs.crop",
    "sdnet_lib.models.classifier",
    "sdnet_lib.models.predictors",
    "sdnet_lib.studies.crossval",
    "sdnet_lib.studies.study",
    "sdnet_lib.studies.third_class",
)


def code_of(approach: str) -> dict[str, str]:
    """Return the version of the code of an approach's runs.

    Returns
    -------
    dict
        `version` of the package; `shared`, the `code_version` of what all approaches share; `hash`, that of
        this and of the approach's own modules. A run is of today's code if its `hash` is today's.
    """
    module = f"sdnet_lib.models.{registry.find(approach).module}"
    return {
        "version": __version__,
        "shared": code_version(*SHARED),
        "hash": code_version(*SHARED, module),
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide numbers."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version()} | found
