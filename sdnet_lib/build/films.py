"""The films of an archive, one at a time: what tells copies apart, and the film as it is released.

What is done is kept beside the release until this is whole, so that an interrupted run goes on from there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import dcmread

from sdnet_lib.build import burnt_in, deidentify, pseudonyms
from sdnet_lib.checksums import kept_facts, kept_folder
from sdnet_lib.data import images
from sdnet_lib.data.duplicates import signature
from sdnet_lib.data.formats import ImageError
from sdnet_lib.files import content_hash, digest

FILM, DICOM, FACTS = "film.png", "film.dcm", "facts.json"
DECIMALS = 4  # of a signature


class Choices(NamedTuple):
    """What is done with every film: see `burnt_in.masked`; `search` for text; `dicom` files too."""

    search: bool
    marker: str
    dicom: bool


def look(file: Path, kept: Path) -> dict:
    """Return the ``signature`` of a film, and the ``problem`` if its pixels cannot be read."""
    return kept_facts(kept / f"{content_hash(file)}.json", lambda: _look(file))


def _look(file: Path) -> dict:
    try:
        image = images.read_gray(file)
    except ImageError as error:
        return {"problem": error.reason, "signature": []}
    return {"problem": "", "signature": signature(image).round(DECIMALS).tolist()}


def render(file: Path, patient: str, salt: bytes, choices: Choices, kept: Path) -> tuple[Path, dict]:
    """Make a film as it is released.

    Returns
    -------
    folder : Path
        With `FILM`, and `DICOM` if chosen.
    facts : dict
        ``masked`` lines of text, the ``boxes`` of these (top, bottom, left, right, letters), the
        ``laterality`` that a marker names ("" without), and the ``words`` that can still be read where any
        could.
    """
    secret = pseudonyms.pseudonym(salt, "kept", patient)
    key = digest(content_hash(file), secret, json.dumps(choices), json.dumps(deidentify.rules()), digits=32)
    folder = kept_folder(kept / key, lambda part: _render(file, patient, salt, choices, part))
    return folder, json.loads((folder / FACTS).read_text(encoding="utf-8"))


def _render(file: Path, patient: str, salt: bytes, choices: Choices, part: Path) -> None:
    image = images.read_gray(file)
    film = burnt_in.Cleaned(image, [], "", "")
    if choices.search:
        film = burnt_in.cleaned(image, choices.marker)
    (part / FILM).write_bytes(images.png(images.eight_bits(film.image)))
    if choices.dicom:
        data = dcmread(file, force=True, stop_before_pixels=True)
        deidentify.write(data, film.image, part / DICOM, salt, patient, text_searched=choices.search)
    facts = {
        "masked": len(film.masked),
        "boxes": [(*text[:4], len(text.words)) for text in film.masked],
        "laterality": film.laterality,
        "words": film.words,
    }
    (part / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def signatures(looked: dict[str, dict]) -> dict[str, np.ndarray]:
    """Return the signatures, of length 1 again after they were rounded."""
    found = {uid: np.array(facts["signature"]) for uid, facts in looked.items() if not facts["problem"]}
    return {uid: values / max(np.linalg.norm(values), 1e-12) for uid, values in found.items()}
