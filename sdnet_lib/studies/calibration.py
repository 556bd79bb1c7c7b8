"""Probabilities that come true: Platt's scaling, written into a network's last layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

from sdnet_lib.explain.uncertainty import last_linear
from sdnet_lib.models.predictors import Single


def calibrate(predictor: Single, pixels: np.ndarray, labels: pd.Series) -> tuple[float, float]:
    """Scale and shift a network's score of P less that of N so that its probabilities come true.

    That is Platt's method (Advances in Large Margin Classifiers, 1999). Both numbers go into the last layer,
    so the network is used as any other.

    Parameters
    ----------
    predictor : Single
        With two outputs. Its last layer is changed.
    pixels, labels
        Images that it has not learned from, uint8 (n, image_size, image_size), and N or P for each.

    Returns
    -------
    float, float
        The factor and what was added.
    """
    outputs = predictor.outputs(pixels).cpu().numpy()
    fitted = LogisticRegression(C=np.inf).fit(outputs[:, 1:] - outputs[:, :1], labels == "P")
    slope, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    last = last_linear(predictor)
    with torch.no_grad():
        last.weight *= slope
        last.bias *= slope
        last.bias += torch.tensor([-shift / 2, shift / 2], device=last.bias.device)
    return slope, shift
