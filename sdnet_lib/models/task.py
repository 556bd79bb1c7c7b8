"""What one training may look at; what is tested is not in it, so it cannot leak into what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdnet_lib.config import Profile

THIRD = "Pneumonia"  # label of the images of a third class, which are learned from and never tested


class Task(NamedTuple):
    """What a run may learn from.

    Attributes
    ----------
    cohort : DataFrame
        The rows of the training and the validation part, and no others; some labelled `THIRD` if the study
        has a third class and the approach can learn it.
    pixels : uint8 array, (n, image_size, image_size)
        Their images.
    train, valid : int array
        Positions of the rows of either part.
    profile : Profile
        Sizes; its `image_size` is that of `pixels`.
    seed : int
        Everything random starts here.
    shared : Path
        A file name without suffix where approaches that need the same generators keep them.
    data : Path or None
        The folder that holds the public data sets, for weights that lie there.
    """

    cohort: pd.DataFrame
    pixels: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    profile: Profile
    seed: int
    shared: Path
    data: Path | None
