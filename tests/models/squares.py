"""A task that a small network can learn: noisy squares, the positives brighter above."""

from pathlib import Path

import numpy as np
import pandas as pd

from sdnet_lib.config import LITE0, Profile
from sdnet_lib.models.task import Task


def squares(n: int, learned: int, profile: Profile, folder: Path) -> Task:
    """Return a task of n squares, of which the first so many are learned from."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(50, 100, (n, 32, 32), np.uint8)
    pixels[1::2, :16] += 120
    cohort = pd.DataFrame({"label": ["NP"[number % 2] for number in range(n)]})
    rows = np.arange(n)
    return Task(cohort, pixels, rows[:learned], rows[learned:], profile, 0, folder / "r0f0", None)


def squares_of_patients(n: int, learned: int, folder: Path) -> Task:
    """Return the same with all that a cohort says of an image: a patient each, no severity."""
    task = squares(n, learned, Profile("tiny", n, 32, 32, 16, 1, 1, 1, 2, LITE0), folder)
    names = [f"p{number:02d}" for number in range(n)]
    return task._replace(cohort=task.cohort.assign(image_id=names, patient_id=names, severity=""))
