"""Cohorts and films that tests of the audit make: small, and with one thing wrong with them at most."""

from __future__ import annotations

import numpy as np
import pandas as pd

SIZE = 96


def table(n: int = 60, **columns: object) -> pd.DataFrame:
    """A cohort's table of n patients, every other one positive; its files do not exist."""
    made = {
        "image_id": [f"i{number}" for number in range(n)],
        "file": [f"/no/{number}.png" for number in range(n)],
        "label": ["NP"[number % 2] for number in range(n)],
        "severity": "",
        "patient_id": [f"p{number}" for number in range(n)],
        "source": "one",
        "view": "PA",
    }
    return pd.DataFrame(made | columns)


def film(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A film of soft noise, (SIZE, SIZE), darker where its two lungs are, and the lungs."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    image = 0.55 + 0.12 * ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 1.0)
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[20:76, 16:44] = lungs[20:76, 52:80] = True
    image[lungs] -= 0.25
    return image.clip(0, 1).astype(np.float32), lungs
