"""The synthetic cohorts by name: made when first asked for, kept in the cache."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sdnet_lib.checksums import kept_folder
from sdnet_lib.code_version import code_version
from sdnet_lib.config import cache_dir, get_profile
from sdnet_lib.data.cohort import read_cohort

MAKERS = {"phantom": "homogeneous", "phantom-biased": "biased", "phantom-pneumonia": "pneumonia"}


def read(name: str, profile: str, seed: int) -> pd.DataFrame:
    """Make a synthetic cohort of the profile's size, or take the one that the same code made before."""
    from sdnet_lib.phantom import cohorts  # takes a second to import

    sizes = get_profile(profile)
    code = code_version("sdnet_lib.phantom.cohorts")
    key = f"{name}-n{sizes.images}-size{sizes.radiograph_size}-seed{seed}-{code}"
    draw = getattr(cohorts, MAKERS[name])

    def make(part: Path) -> None:
        draw(sizes.images, seed, part, size=sizes.radiograph_size)

    return read_cohort(kept_folder(cache_dir() / "phantom" / key, make))
