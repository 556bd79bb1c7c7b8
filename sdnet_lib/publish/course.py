"""What every notebook calls first and last: the set-up line, numbers for the prose, provenance."""

from __future__ import annotations

import importlib.metadata
import platform
import time

from sdnet_lib import config

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
