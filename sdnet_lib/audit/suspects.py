"""Which of my images give their label away by something other than their lungs, the worst first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from sdnet_lib.audit.probes import Answer

LOUD = 0.6  # area from which a question has a say


def ranked(cohort: pd.DataFrame, answers: Mapping[str, Answer]) -> pd.DataFrame:
    """Rank the images by how surely their own label is guessed without a look at the lungs.

    Each question ranks all images by a model that has not seen their patients. An image's value is its mean
    place on the side of its own label, over the questions that know something, each weighted by how much it
    knows beyond a coin.

    Parameters
    ----------
    cohort : DataFrame
    answers : dict of Answer
        By question.

    Returns
    -------
    DataFrame
        ``image_id, label, source, gives_away`` (0 to 1; one half is a coin), ``by`` (the question that does
        most), a row an image, the worst first; no rows if no question knows anything.
    """
    loud = {name: answer for name, answer in answers.items() if answer.auc >= LOUD and answer.p < 0.01}
    table = cohort[["image_id", "label", "source"]].reset_index(drop=True)
    if not loud:
        return table.assign(gives_away=0.5, by="").iloc[:0]
    positive = (table["label"] == "P").to_numpy()
    weight = np.array([answer.auc - 0.5 for answer in loud.values()])
    place = np.stack([(rankdata(answer.scores) - 0.5) / len(table) for answer in loud.values()])
    side = np.where(positive, place, 1 - place)
    most = np.argmax(weight[:, None] * side, axis=0)
    table["gives_away"] = weight @ side / weight.sum()
    table["by"] = [list(loud)[number] for number in most]
    return table.sort_values("gives_away", ascending=False, kind="stable").reset_index(drop=True)
