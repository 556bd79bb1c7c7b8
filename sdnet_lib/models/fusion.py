"""Twins and their fusion: one network of four classes, and one decision from two answers.

Section 4, step 3 of the paper. Each image x comes as a pair, x+ from the generator of P and x- from that of
N. A classifier with four outputs reads both; the rule of `fuse` turns its two answers into N or P.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from fastai.learner import Learner
from fastai.torch_core import no_random
from torch import Tensor, nn

from sdnet_lib.config import Profile
from sdnet_lib.files import InputError
from sdnet_lib.models import classifier
from sdnet_lib.models.training_config import TrainingConfig, pairs

CLASSES = ("P+", "P-", "N+", "N-")  # the order of the paper's text, and of the four outputs
POSITIVE, NEGATIVE = [0, 1], [2, 3]
RULES = ("a", "b", "c")
DECISIONS = ("maximum", "mean", "plus", "minus")  # the paper's, and those that it is compared with


class TwinNetwork(nn.Module):
    """A network that reads the two twins of each image, one after the other, with the same weights.

    The pair travels as one image of six channels, so both twins are turned, shifted and brightened alike.
    Input (n, 6, image_size, image_size), x+ before x-; output logits (n, 2, 4).
    """

    def __init__(self, single: nn.Module) -> None:
        super().__init__()
        self.single = single

    def forward(self, pair: Tensor) -> Tensor:
        """Return the logits of x+ and of x-."""
        n, _, height, width = pair.shape
        twins = pair.reshape(2 * n, 3, height, width).contiguous(memory_format=torch.channels_last)
        return self.single(twins).reshape(n, 2, -1)


def targets(labels: Sequence[str]) -> np.ndarray:
    """Return the classes of x+ and x- as positions in `CLASSES`, int (n, 2): P+, P- for P; N+, N- for N."""
    return np.array([POSITIVE if label == "P" else NEGATIVE for label in labels])


def learner(
    cohort: pd.DataFrame,
    twins: np.ndarray,
    train: Sequence[int],
    valid: Sequence[int],
    *,
    profile: Profile,
    backbone: str | None = None,
    weights: str = "imagenet",
    seed: int = 0,
) -> Learner:
    """Return an untrained four-class network with its data; train it with `classifier.fit`.

    Only twins take part, originals do not. What stops the training is the cross-entropy of the four classes
    over both twins of the validation part.

    Parameters
    ----------
    cohort : DataFrame
        The column `label` is used.
    twins : float array in [0, 1], (n, 2, 3, image_size, image_size)
        x+ and x- of each row, from `fucitnet.twins.transform`.
    train, valid : sequence of int
        Positions of rows.
    profile : Profile
        Its `batch` counts twins, so half as many images come at once.
    backbone, weights : str
        See `backbones.load_backbone`.
    seed : int
        As in `classifier.learner`.
    """
    image_size = twins.shape[-1]
    with no_random(seed):
        single, mean, std = classifier.network(
            backbone or profile.backbone, weights, len(CLASSES), image_size
        )
    config = TrainingConfig(batch=pairs(profile.batch), views=2, mean=(*mean, *mean), std=(*std, *std))
    return classifier.learner(
        cohort,
        train,
        valid,
        profile=profile,
        model=TwinNetwork(single),
        config=config,
        seed=seed,
        pixels=_pairs(twins),
        targets=targets(cohort["label"]),
    )


def predict(learner: Learner, twins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return theta and psi, the softmax over `CLASSES` of x+ and of x-, each (n, 4)."""
    answers = classifier.predict(learner, None, pixels=_pairs(twins))
    return answers[:, 0], answers[:, 1]


def _pairs(twins: np.ndarray) -> np.ndarray:
    return twins.reshape(len(twins), -1, *twins.shape[-2:])


def fuse(theta: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Fuse the answers to both twins into probabilities of N and P.

    The paper's rule in three cases (see `rule`) is one comparison: the largest of the four N values against
    the largest of the four P values. Divided by their sum they are the probabilities, so
    that the decision is theirs too; a tie goes to P, since the paper gives N only what is strictly greater.

    Parameters
    ----------
    theta, psi : float array, (n, 4)
        Softmax over `CLASSES` for x+ and for x-.

    Returns
    -------
    float array, (n, 2)
        Probability of N and of P; each row sums to one.

    Raises
    ------
    InputError
        If a value is NaN or negative, or the shapes are not (n, 4) twice.
    """
    positive, negative = (largest[:, None] for largest in _largest(theta, psi))
    both = np.hstack([negative, positive])
    return both / both.sum(1, keepdims=True)


def decide(theta: np.ndarray, psi: np.ndarray, decision: str = "maximum") -> np.ndarray:
    """Turn the answers to both twins into probabilities of N and P, by the paper's fusion or by a control.

    Parameters
    ----------
    theta, psi : float array, (n, 4)
        As in `fuse`.
    decision : str
        One of `DECISIONS`: ``maximum`` is `fuse`; ``plus`` and ``minus`` hear one twin only; ``mean``
        averages over both twins what each gives to P with either sign.

    Returns
    -------
    float array, (n, 2)
        Probability of N and of P.
    """
    if decision == "mean":
        _largest(theta, psi)  # refuses what is no probability
        return np.stack([(theta + psi)[:, letter].sum(1) / 2 for letter in (NEGATIVE, POSITIVE)], 1)
    return fuse(*{"maximum": (theta, psi), "plus": (theta, theta), "minus": (psi, psi)}[decision])


def rule(theta: np.ndarray, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decide by the paper's three cases, as they are written.

    (a) argmax theta is N+ and argmax psi is N-: N. (b) argmax theta is P+ and argmax psi is P-: P. (c) else N
    if the largest N value of both exceeds the largest P value, P otherwise.

    Parameters
    ----------
    theta, psi : float array, (n, 4)
        As in `fuse`.

    Returns
    -------
    label, case : str arrays, (n,)
        ``N`` or ``P``, and which of `RULES` decided.
    """
    positive, negative = _largest(theta, psi)
    first, second = theta.argmax(1), psi.argmax(1)
    a = (first == CLASSES.index("N+")) & (second == CLASSES.index("N-"))
    b = (first == CLASSES.index("P+")) & (second == CLASSES.index("P-"))
    case = np.select([a, b], ["a", "b"], "c")
    label = np.select([a, b, negative > positive], ["N", "P", "N"], "P")
    return label, case


def columns(theta: np.ndarray, psi: np.ndarray, decision: str = "maximum") -> dict[str, np.ndarray]:
    """Return what a prediction table holds: prob_N, prob_P, and ``plus_P+`` to ``minus_N-``."""
    fused = decide(theta, psi, decision)
    result = {"prob_N": fused[:, 0], "prob_P": fused[:, 1]}
    for twin, answer in (("plus", theta), ("minus", psi)):
        result |= {f"{twin}_{name}": answer[:, number] for number, name in enumerate(CLASSES)}
    return result


def answers(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return theta and psi, (n, 4) each, from the columns that `columns` made."""
    return tuple(table[[f"{twin}_{name}" for name in CLASSES]].to_numpy(float) for twin in ("plus", "minus"))


def _largest(theta: np.ndarray, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest P value and the largest N value of each image."""
    for name, values in (("theta", theta), ("psi", psi)):
        if values.ndim != 2 or values.shape[1] != len(CLASSES) or values.shape != theta.shape:
            raise InputError(f"{name}: shape {values.shape}, (images, 4) is needed, the same for both twins")
        bad = np.flatnonzero(~(values >= 0).all(1))
        if bad.size:
            raise InputError(f"{name}, row {bad[0]}: {values[bad[0]]} holds NaN or a negative value")
    both = np.stack([theta, psi])
    return both[..., POSITIVE].max((0, 2)), both[..., NEGATIVE].max((0, 2))
