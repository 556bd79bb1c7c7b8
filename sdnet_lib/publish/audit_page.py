"""The report of `sdnet audit`: one web page that needs nothing else, and the same for programs.

The template lies in the package, not in ``book/templates``: the command has to work where only the library is
installed. What comes from files (ids, tags, names) is escaped by Jinja, without exception.
"""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sdnet_lib import __version__
from sdnet_lib.audit import findings, questions
from sdnet_lib.audit.same_films import ALIKE
from sdnet_lib.data import images
from sdnet_lib.data.cohort import fingerprint
from sdnet_lib.files import InputError, write_json, write_text
from sdnet_lib.files.templates import environment
from sdnet_lib.names import csv_text, shown

PAGE, NUMBERS, IMAGES = "audit.html", "audit.json", "suspects.csv"
PICTURES, PICTURE = 24, 160  # on the contact sheet, and their longest side
PAIRS, LISTED = 50, 10_000  # of near-duplicates that the page shows, and that `NUMBERS` lists
FIELDS = {"verdict": str, "word": str, "findings": list, "cohort": dict}


def write(
    cohort: pd.DataFrame,
    name: str,
    out: Path,
    *,
    before: Path | None = None,
    pictures: bool = True,
    seed: int = 0,
) -> dict:
    """Audit a cohort and write the report: `PAGE`, `NUMBERS`, and all images ranked in `IMAGES`.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort.
    name : str
        What the page calls it.
    out : Path
        Folder; made if need be.
    before : Path, optional
        `NUMBERS` of an earlier audit, to be set beside this one.
    pictures : bool
        Whether the page shows the images that give themselves away. Without, nobody's film leaves the house.
    seed : int
        Of folds, permutations and bootstrap.

    Returns
    -------
    dict
        What `NUMBERS` holds.

    Raises
    ------
    InputError
        If an image cannot be read, a label has too few patients, or `before` is no such file.
    """
    earlier = read(before) if before else None
    found = questions.audit(cohort, seed)
    report = numbers(cohort, name, found, seed)
    shown = found.suspects.head(PICTURES)
    reader = environment(Path(__file__).parent).overlay(finalize=_seen)
    template = reader.get_template("audit.html.jinja")
    page = template.render(
        report=report,
        before=earlier and _beside(earlier, report),
        before_name=before and before.name,
        suspects=shown.to_dict("records"),
        pictures=_pictures(cohort, shown) if pictures else {},
        pairs=found.same.head(PAIRS).to_dict("records"),
        pairs_in_all=len(found.same),
        levels=findings.LEVELS,
    )
    write_text(out / IMAGES, csv_text(found.suspects))
    write_json(out / NUMBERS, report)
    write_text(out / PAGE, page)
    return report


def _seen(value: object) -> object:
    """Return text as it may be shown: letters that nobody sees, or that turn the writing round, by number."""
    return shown(value) if type(value) is str else value  # what Jinja has made safe is no plain text


def numbers(cohort: pd.DataFrame, name: str, found: questions.Audit, seed: int) -> dict:
    """Return an audit for programs: `FIELDS`, and where it comes from."""
    labels = cohort["label"].value_counts()
    counts = {label: int(labels.get(label, 0)) for label in ("N", "P")}
    return {
        "verdict": findings.verdict(found.findings),
        "word": findings.word(found.findings),
        "findings": [_plain(finding._asdict()) for finding in found.findings],
        "cohort": {
            "name": name,
            "images": len(cohort),
            "patients": int(cohort["patient_id"].nunique()),
            **counts,
            "fingerprint": fingerprint(cohort),
        },
        "same_films": _plain(found.same.head(LISTED).to_dict("records")),
        "thresholds": {
            "p_after_holm": findings.SIGNIFICANT,
            "amber_and_red_from": {"others": list(findings.PLAIN)} | _plain(findings.BOUNDS),
            "same_film_likeness": ALIKE,
        },
        "seed": seed,
        "made": time.strftime("%Y-%m-%d"),
        "version": __version__,
    }


def _plain(value: object) -> object:
    """Return what JSON knows: no NumPy types, and null for what is not a number."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read(file: Path) -> dict:
    """Read an earlier `NUMBERS`.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise InputError(f"--before {file}: {reason}") from None
    right = isinstance(report, dict) and all(isinstance(report.get(k), kind) for k, kind in FIELDS.items())
    if not right or not all(_is_finding(one) for one in report["findings"]):
        raise InputError(f"--before {file}: not the {NUMBERS} of an audit")
    return report


def _is_finding(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key), str) for key in ("name", "level", "evidence")
    )


def _beside(before: dict, now: dict) -> dict:
    """Set the findings of two audits side by side, by name, in the order of the newer one."""
    one, two = ({found["name"]: found for found in report["findings"]} for report in (before, now))
    none = {"level": "unknown", "evidence": "not asked"}
    rows = [
        {"name": name, "before": one.get(name, none), "now": two.get(name, none)}
        for name in dict.fromkeys([*two, *one])
    ]
    return {"cohort": before["cohort"], "verdict": before["verdict"], "word": before["word"], "rows": rows}


def _pictures(cohort: pd.DataFrame, shown: pd.DataFrame) -> dict[str, str]:
    """Return small JPEG pictures of some images, as data that a page can hold, by image_id."""
    files = cohort.set_index("image_id")["file"]
    return {name: _as_data(files[name]) for name in shown["image_id"]}


def _as_data(file: str) -> str:
    image = images.read_gray(file)
    factor = min(1, PICTURE / max(image.shape))
    small = images.resize(image, tuple(max(1, round(factor * side)) for side in image.shape))
    picture = io.BytesIO()
    Image.fromarray(np.rint(255 * small).clip(0, 255).astype(np.uint8)).save(picture, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(picture.getvalue()).decode()


def summary(report: dict, out: Path) -> str:
    """Say an audit in a few lines, for the terminal."""
    lines = [
        f"{finding['level']:8}{finding['name']}: {finding['evidence']}"
        for level in (findings.RED, findings.AMBER)
        for finding in report["findings"]
        if finding["level"] == level
    ]
    return "\n".join([*lines, f"verdict: {report['verdict']} ({report['word']}); {out / PAGE}"])
