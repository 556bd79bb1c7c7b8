"""Which of the lung networks may look at a patient: one that has not learned from them.

Shenzhen and Montgomery trained the networks, each without some of their patients. This module needs no torch.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sdnet_lib.files import digest

WEIGHTS = Path(__file__).parent / "weights"
FOLDS = 5
# The networks of the cross-fit, and the folds of Shenzhen and Montgomery that each has never seen.
NETWORKS = {"lungs": (0,), "lungs_not_12": (1, 2), "lungs_not_34": (3, 4)}
TRAINED_ON = ("Shenzhen", "Montgomery")


def fold_of(patient_id: str) -> int:
    """Return the fold, 0 to 4, of a patient of Shenzhen or Montgomery: the same on every machine."""
    return int(digest(patient_id, digits=64), 16) % FOLDS


def unseen_network(source: str, patient_id: str) -> str:
    """Name the network of `NETWORKS` that has not learned from this patient."""
    if source not in TRAINED_ON:
        return "lungs"
    fold = fold_of(patient_id)
    return next(name for name, unseen in NETWORKS.items() if fold in unseen)


def networks_key(cohort: pd.DataFrame) -> str:
    """Return 16 hex digits for the U-Nets that find this cohort's lungs: other networks, other masks."""
    return digest(
        *((WEIGHTS / f"{name}.safetensors").read_bytes() for name in sorted(set(networks_of(cohort))))
    )


def networks_of(cohort: pd.DataFrame) -> list[str]:
    """Name, for each image of a cohort, the network that has not learned from its patient."""
    return [unseen_network(*key) for key in zip(cohort["source"], cohort["patient_id"], strict=True)]
