"""What `sdnet build` does with some 2,000 simulated studies: whom it leaves out, what it finds, how long.

Names, ids and dates are planted in all headers, and words in the pixels of every second frontal film. First
the archive is built to a release by the paper's rules. Then each film goes all the way, released or not, and
is compared with what was planted: headers as MIDI-B scores them (`benchmark`), pixels by how much of a word
is masked. What is done is kept, so an interrupted trial goes on.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom import dcmread

from sdnet_lib.build import archive as headers
from sdnet_lib.build import benchmark, burnt_in, films, make
from sdnet_lib.build.protocol import Protocol, need_reader
from sdnet_lib.build.times import zone
from sdnet_lib.checksums import kept_folder
from sdnet_lib.code_version import code_version
from sdnet_lib.config import cache_dir
from sdnet_lib.data.images import read_gray
from sdnet_lib.files import write_json, write_parquet
from sdnet_lib.files.temporary import private_folder
from sdnet_lib.phantom import archive, burnt_words, hospital
from sdnet_lib.phantom.acquisition import SITES

PATIENTS, SIZE = 846, 1500  # some 2,000 studies; pixels of the longest side, which is 2 megapixels
ENLARGED = 2  # times, from what is drawn: to draw all pixels would take hours
PART = 200  # films that are kept together when they are done
SALT = benchmark.SALT
CHOICES = films.Choices(search=True, marker="keep", dicom=True)
COVERED = 0.9  # of a word's pixels that must be masked
CONTRASTS = (0, 0.1, 0.3, 1.01)  # between letters and what is usual around them
LONG = 4  # letters of a find that is false on a film without a word
SCORED = ("height", "font", "grey", "place", "contrast")


def compute(jobs: int, patients: int = PATIENTS, size: int = SIZE) -> tuple[dict, dict]:
    """Draw the archive, build it, and try all films; see `published.store` for what is returned.

    The table has rows of ``table, name, right, total``: for ``headers`` actions by kind, for ``words`` (all)
    and each of `SCORED` words that are masked, for ``markers`` those that are read, for ``false`` films
    without a word on which one is found.
    """
    need_reader()
    source, planted = draw(jobs, patients, size)
    code = code_version("sdnet_lib.build.make", "sdnet_lib.build.trial")
    place = source.with_name(f"done-{code}-{jobs}")
    built = _built(source, place / "built", jobs)
    truth = hospital.simulate(patients).truth
    parts = [truth.iloc[start : start + PART] for start in range(0, len(truth), PART)]
    done = [
        kept_folder(place / f"part-{number}", partial(_try, part, planted, source, jobs))
        for number, part in enumerate(parts)
    ]
    tried = pd.concat([pd.read_parquet(folder / "films.parquet") for folder in done], ignore_index=True)
    rows = pd.concat([pd.read_parquet(folder / "headers.parquet") for folder in done], ignore_index=True)
    seconds = [json.loads((folder / "seconds.json").read_text(encoding="utf-8")) for folder in done]
    origin = {
        "code": code,
        "films": len(tried),
        "megapixels": round(float(tried["pixels"].mean()) / 1e6, 2),
        "enlarged": ENLARGED,
        "jobs": jobs,
        "built": built,
        "seconds": round(sum(seconds), 1),
        "left": int(rows["left"].sum()),
        "hidden": int((rows["kind"] == "hide").sum()),
    }
    return {"": pd.concat([_counts("headers", benchmark.judged(rows)), pixels(tried)])}, origin


def draw(jobs: int, patients: int = PATIENTS, size: int = SIZE) -> tuple[Path, pd.DataFrame]:
    """Write what is missing of the archive; return its folder, and what is planted in headers."""
    source = cache_dir() / "build-trial" / f"{patients}-{size}" / "archive"
    planted = archive.write(source, patients, size=size, words=True, enlarged=ENLARGED, jobs=jobs)
    return source, planted


def _built(source: Path, kept: Path, jobs: int) -> dict:
    """Build the release by the clock, once; return how it went."""

    def run(into: Path) -> None:
        with private_folder() as folder:
            salt, release = folder / "salt", folder / "release"
            salt.write_bytes(SALT)
            tables = (source / archive.PCR, source / archive.READINGS)
            rules, start = Protocol(burnt_in="search", dicom=True), time.perf_counter()
            make.build(source / archive.FILMS, *tables, release, salt=salt, protocol=rules, jobs=jobs)
            seconds = round(time.perf_counter() - start, 1)
            images = json.loads((release / "release.json").read_text(encoding="utf-8"))["images"]
            flow = pd.read_csv(release / "flow.csv").to_dict("list")
        write_json(into / "built.json", {"seconds": seconds, "images": images, "flow": flow})

    return json.loads((kept_folder(kept, run) / "built.json").read_text(encoding="utf-8"))


def _try(truth: pd.DataFrame, planted: pd.DataFrame, source: Path, jobs: int, into: Path) -> None:
    """Take some films all the way, by the clock, and then score them."""
    names = planted.drop_duplicates("study_id").set_index("study_id")["file"]
    files = [source / archive.FILMS / names[study] for study in truth["study_id"]]
    with private_folder() as folder:
        start = time.perf_counter()
        made = make.each(_all_the_way, [(file, folder) for file in files], "trying films", jobs)
        seconds = time.perf_counter() - start
        scored = [
            _scored(row, planted, file, *one)
            for row, file, one in zip(truth.itertuples(), files, made, strict=True)
        ]
    found, seen = zip(*scored, strict=True)
    write_parquet(into / "films.parquet", pd.DataFrame(found))
    write_parquet(into / "headers.parquet", pd.concat(seen).drop(columns="file"))
    write_json(into / "seconds.json", seconds)


def _all_the_way(file: Path, kept: Path) -> tuple[Path, dict]:
    """Do with a film all that `make.build` does with one that is released."""
    said = headers.row(file, zone("UTC"))
    films.look(file, kept / "looked")
    return films.render(file, said["patient_id"], SALT, CHOICES, kept / "films")


def _scored(
    row: tuple, planted: pd.DataFrame, source: Path, folder: Path, facts: dict
) -> tuple[dict, pd.DataFrame]:
    """Return what was found in a film's pixels, and what stands in its header."""
    data = dcmread(folder / films.DICOM, stop_before_pixels=True)
    seen = benchmark.observed(planted[planted["study_id"] == row.study_id], data)
    found = {"site": row.site, "pixels": data.Rows * data.Columns, "laterality": facts["laterality"]}
    if row.view == "LATERAL":  # noise stands in for these
        return found | {"word": ""}, seen
    word = archive.word_of(row.picture_seed)
    if word is None:
        return found | {"word": "", "false": any(letters >= LONG for *_, letters in facts["boxes"])}, seen
    image = read_gray(source)
    letters = burnt_words.ink(image.shape, word)
    masked = np.zeros(image.shape, bool)
    for top, bottom, left, right, _ in facts["boxes"]:
        masked[top:bottom, left:right] = True
    found |= {"word": word.text, "height": word.height, "font": word.font, "grey": word.grey}
    found |= {"place": word.place, "contrast": _contrast(image, letters, word.grey)}
    return found | {"masked": bool(masked[letters > 0.5].mean() >= COVERED)}, seen


def _contrast(image: np.ndarray, letters: np.ndarray, grey: float) -> float:
    """Return how far a word's grey is from what is usual between and around its letters."""
    rows, columns = (np.flatnonzero(letters.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return abs(grey - float(np.median(image[box][letters[box] == 0])))


def pixels(tried: pd.DataFrame) -> pd.DataFrame:
    """Count what was found in pixels; see `compute`."""
    words = tried[tried["word"] != ""].astype({"masked": bool, "height": int})
    bands = pd.cut(words["contrast"], CONTRASTS, right=False)
    words["contrast"] = [f"{band.left:g} to {min(band.right, 1):g}" for band in bands]
    masked = {name: words.groupby(name)["masked"].agg(right="sum", total="size") for name in SCORED}
    everything = pd.DataFrame({"right": [words["masked"].sum()], "total": [len(words)]}, ["all"])
    return pd.concat(
        [
            _counts("words", everything),
            *(_counts(name, table) for name, table in masked.items()),
            _counts("markers", _markers(tried)),
            _counts("false", _false(tried)),
        ]
    )


def _markers(tried: pd.DataFrame) -> pd.DataFrame:
    """Count by hospital how often the marker of laterality was read as it is."""
    frontal = tried[tried["false"].notna() | (tried["word"] != "")]
    truth = frontal["site"].map({name: site.marker for name, site in SITES.items()})
    read = frontal["laterality"] == truth.map(burnt_in.SIDES)
    return read.groupby(truth).agg(right="sum", total="size")


def _false(tried: pd.DataFrame) -> pd.DataFrame:
    """Count films without any long word, their hospital's own included, on which one is found."""
    plain = [name for name, site in SITES.items() if len(site.text) < LONG]
    known = tried[tried["false"].notna() & tried["site"].isin(plain)]
    return pd.DataFrame({"right": [known["false"].astype(bool).sum()], "total": [len(known)]}, ["found"])


def _counts(table: str, counts: pd.DataFrame) -> pd.DataFrame:
    named = counts.rename_axis("name").reset_index().astype({"name": str, "right": int, "total": int})
    return named.assign(table=table)[["table", "name", "right", "total"]]
