"""The synthetic cohorts by name: made when first asked for, kept in the cache."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import sdnet_lib
from sdnet_lib.config import cache_dir, get_profile
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.files import code_hash, new_folder

PACKAGE = Path(sdnet_lib.__file__).parent


def read(name: str, profile: str, seed: int) -> pd.DataFrame:
    """Make a synthetic cohort of the profile's size, or take the one that the same code made before."""
    from sdnet_lib.phantom import cohorts  # takes a second to import

    sizes = get_profile(profile)
    code = code_hash(PACKAGE / "phantom", PACKAGE / "data")
    key = f"{name}-n{sizes.images}-size{sizes.radiograph_size}-seed{seed}-{code}"
    folder = cache_dir() / "phantom" / key
    if not folder.is_dir():
        make = cohorts.biased if name == "phantom-biased" else cohorts.homogeneous
        with new_folder(folder) as part:
            make(sizes.images, seed, part, size=sizes.radiograph_size)
    return read_cohort(folder)
