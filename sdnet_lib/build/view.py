"""PosteroAnterior or AnteroPosterior, from the pixels of a frontal film whose header does not say.

A frozen network describes the whole film, and a logistic regression on that description says how likely PA
is. It learned from public films whose source names the view (`sdnet maintain view`). The card beside it says
how often it is wrong in a source that it has not seen; so only answers far from one half count, and only if
asked for. No lateral film was there to learn from: one whose header is silent may pass for PA or AP, which is
why the trail of a release names the films whose view the pixels decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sdnet_lib.checksums import read_seal, write_seal
from sdnet_lib.config import LITE0, one_thread
from sdnet_lib.data import images
from sdnet_lib.data.formats import ImageError
from sdnet_lib.data.pixels import read_pixels, squeezed
from sdnet_lib.evaluation.curves import area_under_roc
from sdnet_lib.models.backbones import Normalise, load_backbone

STORED = Path(__file__).with_name("view.safetensors")
CARD = STORED.with_suffix(".json")
SIZE, BATCH = 224, 16  # pixels of a side; films at a time
SURE = 0.9  # a view is believed from this probability on
COMMAND = "sdnet maintain view"
STRENGTH = 1e-3  # of the regression, the inverse of its penalty


def features(films: np.ndarray) -> np.ndarray:
    """Describe films, uint8 (n, `SIZE`, `SIZE`), by what a frozen network sees: float32 (n, 1280)."""
    body, mean, std = load_backbone(LITE0)
    look = torch.nn.Sequential(Normalise(mean, std), body).eval()
    with torch.inference_mode(), one_thread():
        parts = (torch.from_numpy(part)[:, None].expand(-1, 3, -1, -1) / 255 for part in _batches(films))
        return torch.cat([look(part) for part in parts]).numpy()


def _batches(items: np.ndarray) -> list[np.ndarray]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def likely(films: np.ndarray) -> np.ndarray:
    """Return how likely PA is for films, uint8 (n, `SIZE`, `SIZE`); raise `Damaged` for damaged weights."""
    card()
    model = load_file(STORED)
    return _logistic(features(films) @ model["weight"] + model["bias"])


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def card() -> dict:
    """Return what `train` has stored, with its weights checked."""
    return read_seal(CARD, STORED)


def fill(files: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Judge the view of the chest films of an archive whose header does not say it.

    Parameters
    ----------
    files : DataFrame
        Of `archive.inventory`.
    folder : Path
        Of the archive.

    Returns
    -------
    DataFrame
        With ``view`` where `SURE`, and ``view_likely``: how likely PA is, NaN where the header decides.
    """
    files = files.assign(view_likely=np.nan)
    chest = (files["problem"] == "") & (files["kind"] == "") & (files["body"] == "CHEST")
    for rows in _batches(files.index[chest & (files["view"] == "")]):
        films = {row: film for row in rows if (film := _film(folder / files.at[row, "file"])) is not None}
        if films:
            files.loc[[*films], "view_likely"] = likely(np.stack([*films.values()])).round(3)
    pa = files["view_likely"]
    files["view"] = files["view"].mask(pa >= SURE, "PA").mask(pa <= 1 - SURE, "AP")
    return files


def _film(file: Path) -> np.ndarray | None:
    """Return a film's pixels; one that cannot be read is counted by those who look at its pixels."""
    try:
        return squeezed(images.read_gray(file), SIZE)
    except ImageError:
        return None


def fitted(described: np.ndarray, pa: np.ndarray) -> tuple[np.ndarray, float]:
    """Return weight (1280,) and bias of a logistic regression for PA, on features as they come."""
    scale = StandardScaler().fit(described)
    found = LogisticRegression(C=STRENGTH, max_iter=2000).fit(scale.transform(described), pa)
    weight = found.coef_[0] / scale.scale_
    return weight, float(found.intercept_[0] - weight @ scale.mean_)


def train(cohorts: dict[str, pd.DataFrame]) -> dict:
    """Learn from all sources, store the regression, and measure it on each by what the others teach.

    Parameters
    ----------
    cohorts : dict of DataFrame
        By name; rows whose ``view`` does not begin with PA or AP are left out.

    Returns
    -------
    dict
        The card: `sources` with images of each view, and in `unseen` what the regression of the others is
        worth on each: `auc`, the share of answers that are `sure`, and the share of these that is `wrong`.
    """
    parts = {}
    for name, cohort in cohorts.items():
        known = cohort[cohort["view"].str.match(r"(PA|AP)\b")]
        parts[name] = features(read_pixels(known, SIZE)), known["view"].str.startswith("PA").to_numpy()
    unseen = {}
    for name, (described, pa) in parts.items():
        weight, bias = fitted(*_joined(part for other, part in parts.items() if other != name))
        unseen[name] = _worth(_logistic(described @ weight + bias), pa)
    weight, bias = fitted(*_joined(parts.values()))
    save_file({"weight": weight.astype(np.float32), "bias": np.float32([bias])}, STORED)
    counts = {name: {"PA": int(pa.sum()), "AP": int((~pa).sum())} for name, (_, pa) in parts.items()}
    write_seal(CARD, {"sources": counts, "unseen": unseen, "sure": SURE, "command": COMMAND}, STORED)
    return card()


def _joined(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(both) for both in zip(*parts, strict=True)]


def _worth(pa_likely: np.ndarray, pa: np.ndarray) -> dict[str, float]:
    """Return the AUC, and of the answers that are sure their share and the fraction that is wrong."""
    sure = np.abs(pa_likely - 0.5) >= SURE - 0.5
    wrong = ((pa_likely >= 0.5) != pa)[sure].mean() if sure.any() else float("nan")
    found = {"auc": area_under_roc(pa, pa_likely), "sure": sure.mean(), "wrong": wrong}
    return {name: round(float(value), 3) for name, value in found.items()}


def summary(found: dict) -> str:
    """Say in lines what a card of `train` says."""
    return "\n".join(
        f"{name}, by what the others teach: AUC {worth['auc']:.2f}; sure of {worth['sure']:.0%}, "
        f"of which {worth['wrong']:.0%} are wrong"
        for name, worth in found["unseen"].items()
    )
