"""A task that a small network can learn: noisy squares, the positives brighter above."""

from pathlib import Path

import numpy as np
import pandas as pd

from sdnet_lib.config import Profile
from sdnet_lib.models.task import Task


def squares(n: int, learned: int, profile: Profile, folder: Path) -> Task:
    """Return a task of n squares, of which the first so many are learned from."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(50, 100, (n, 32, 32), np.uint8)
    pixels[1::2, :16] += 120
    cohort = pd.DataFrame({"label": ["NP"[number % 2] for number in range(n)]})
    rows = np.arange(n)
    return Task(cohort, pixels, rows[:learned], rows[learned:], profile, 0, folder / "r0f0", None)
