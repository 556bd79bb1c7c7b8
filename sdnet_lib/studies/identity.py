"""What makes a study this one and not another: cohorts, sizes and seed. A folder holds one study."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import pandas as pd

from sdnet_lib.config import Profile, stored_profile
from sdnet_lib.data.cohort import fingerprint


def identity(
    cohort: pd.DataFrame,
    external: Mapping[str, pd.DataFrame],
    profile: Profile,
    seed: int,
    match_negatives: bool,
    third_class: pd.DataFrame | None = None,
) -> dict:
    """Return what ``study.json`` says; repeats may be added, so they are no part of it."""
    sizes = json.loads(json.dumps(dataclasses.asdict(profile)))
    del sizes["repeats"]
    return {
        "cohort": fingerprint(cohort),
        "images": len(cohort),
        "seed": seed,
        "match_negatives": match_negatives,
        "third_class": None if third_class is None else fingerprint(third_class),
        "profile": sizes,
        "external": {name: fingerprint(other) for name, other in sorted(external.items())},
    }


def differences(stored: dict, asked: dict) -> str:
    """Say in what a stored identity differs from the one that is asked for; nothing if they agree."""
    there, asked = ({**one, **one["profile"]} for one in (_today(stored), asked))
    keys = [key for key in asked if key != "profile" and there.get(key) != asked[key]]
    return "; ".join(f"{key} {there.get(key)} there, {asked[key]} asked for" for key in keys)


def _today(stored: dict) -> dict:
    """Return a stored identity in today's words; until version 0.1 external cohorts were ``elsewhere``."""
    external = stored.get("external", stored.get("elsewhere"))
    profile = stored_profile(stored.get("profile", {}))
    return {"match_negatives": False, "third_class": None, **stored, "profile": profile, "external": external}
