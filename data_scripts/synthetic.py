"""The synthetic cohorts by name: made when first asked for, kept in the cache."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pandas as pd

from data_scripts.common import new_folder
from sdnet_lib.cohort import read_cohort
from sdnet_lib.profiles import cache_dir, get_profile


def read(name: str, profile: str, seed: int) -> pd.DataFrame:
    """Make a synthetic cohort of the profile's size, or take the one that the same code made before."""
    from sdnet_lib import phantom

    sizes = get_profile(profile)
    code = code_hash(Path(phantom.__file__))
    key = f"{name}-n{sizes.images}-size{sizes.image_size}-seed{seed}-{code}"
    folder = cache_dir() / "phantom" / key
    if not folder.is_dir():
        make = phantom.biased if name == "phantom-biased" else phantom.homogeneous
        with new_folder(folder) as part:
            make(sizes.images, seed, part, size=sizes.image_size)
    return read_cohort(folder)


def code_hash(module: Path) -> str:
    """Hash a module and all modules beside it that it imports, directly or through others."""
    todo, seen = [module.stem], {}
    while todo:
        path = module.with_name(f"{todo.pop()}.py")
        if path.name in seen or not path.exists():
            continue
        seen[path.name] = path.read_bytes()
        for node in ast.walk(ast.parse(seen[path.name])):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sdnet_lib":
                todo += node.module.split(".")[1:] or [alias.name for alias in node.names]
    return hashlib.sha256(b"".join(seen[name] for name in sorted(seen))).hexdigest()[:12]
