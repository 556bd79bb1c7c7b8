"""`sdnet build`: an archive, tests and readings in, a release like COVIDGR out.

``DIR`` is the release. Beside it lie ``DIR-private``, which says who is who and must stay in the house, and,
until all is well, ``DIR.unfinished`` with what is done. The source is only read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import cpu_count, delayed
from tqdm import tqdm

from sdnet_lib.build import (
    archive,
    films,
    mids,
    pseudonyms,
    readers,
    residue,
    select,
    sheet,
    tables,
    times,
)
from sdnet_lib.build.deidentify import patient_name
from sdnet_lib.build.protocol import Protocol, check
from sdnet_lib.checksums import seal_folder
from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.files import InputError, new_folder, write_text
from sdnet_lib.names import csv_text
from sdnet_lib.workers import workers

COLUMNS = ("image_id", "file", "label", "severity", "patient_id", "source", "view")
MORE = ("sex", "age", "machine", "kvp", "rale")  # of the cohort, beside those that every cohort has
TRAIL, KEY = "trail.csv", "key.csv"


def build(
    folder: Path,
    pcr: Path,
    readings: Path,
    out: Path,
    *,
    salt: Path,
    time_zone: str = "UTC",
    protocol: Protocol = Protocol(),  # noqa: B008  (a tuple)
    jobs: int | None = None,
) -> pd.DataFrame:
    """Build a release.

    Parameters
    ----------
    folder : Path
        DICOM files, in any folders below.
    pcr, readings : Path
        See `tables`.
    out : Path
        Folder to make.
    salt : Path
        File with the secret of the pseudonyms; made if it is missing. The same secret gives the same bytes.
    time_zone : str
        Of times that name none.
    protocol : Protocol
    jobs : int, optional
        Processes; the cores by default.

    Returns
    -------
    DataFrame
        All files of the archive with ``step, reason, detail``.

    Raises
    ------
    InputError
        Bad input, a release without positives or negatives, or one that would give somebody away.
    """
    out = Path(out).absolute()
    check(folder, out, salt, protocol)
    zone, secret, jobs = times.zone(time_zone), pseudonyms.read_salt(salt), jobs or cpu_count()
    tests, read = tables.read_pcr(pcr, zone), tables.read_readings(readings, zone)
    unfinished = out.with_name(f"{out.name}.unfinished")

    files = archive.inventory(folder, zone, jobs)
    if protocol.guess_view:
        from sdnet_lib.build import view  # not before: it brings a network

        files = view.fill(files, folder)
    files = select.by_tags(
        files,
        views=protocol.views,
        machines=protocol.machines,
        kvp=protocol.kvp,
        burnt_in=protocol.burnt_in == "search",
    )
    looked = _look(files, folder, unfinished / "looked", jobs)
    problems = files["uid"].map({uid: facts["problem"] for uid, facts in looked.items()}).fillna("")
    select.leave_out(files, "pixels", "pixels cannot be read", problems != "", problems)
    files = select.by_records(
        files,
        tests.rows,
        read.rows,
        films.signatures(looked),
        pcr_hours=protocol.pcr_hours,
        reading_hours=protocol.reading_hours,
        readers=protocol.readers,
        one_per_patient=protocol.one_per_patient,
    )
    files["image_id"] = ["I" + pseudonyms.pseudonym(secret, "film", uid) for uid in files["uid"]]
    files = select.balance(files, protocol.balance, files["image_id"])
    kept = files[files["reason"] == ""]
    for label, meaning in (("P", "positive"), ("N", "negative")):
        if not (kept["label"] == label).any():
            raise InputError(f"no {meaning} film is left: {_most(files)}")
    choices = films.Choices(protocol.burnt_in == "search", protocol.marker, protocol.dicom)
    made = _render(kept, folder, secret, choices, unfinished / "films", jobs)

    films_read = files[
        ~files["step"].isin(["file", "tags", "pixels"])
    ]  # the released ones were chosen for agreement
    owners = films_read.set_index("uid")["patient_id"]
    levels = readers.agreement(select.matched(films_read, read.rows), owners)
    with new_folder(out) as part:
        cohort = _write_films(_cohort(kept, secret), made, part)
        if protocol.mids:
            mids.write(part, cohort, _studies(kept, secret))
        facts = _facts(protocol, files, tests, read, secret)
        sheet.write(part, cohort, select.flow(files), levels, facts, {n: f for n, (_, f) in made.items()})
        write_text(part / TRAIL, csv_text(_trail(files, made, secret)))
        _scan(part, files, made)
        seal_folder(part, out.name)
        _write_key(out.with_name(f"{out.name}-private"), files, secret)
    shutil.rmtree(unfinished, ignore_errors=True)
    return files


def each(task: Callable, rows: Sequence[tuple], what: str, jobs: int) -> list:
    """Do a task for each row, in processes, in order."""
    with workers(min(jobs, max(1, len(rows))), "generator") as parallel:
        done = parallel(delayed(task)(*row) for row in rows)
        return list(tqdm(done, what, len(rows), disable=None, delay=2))


def _look(files: pd.DataFrame, folder: Path, kept: Path, jobs: int) -> dict[str, dict]:
    left = files[files["reason"] == ""]
    rows = [(folder / file, kept) for file in left["file"]]
    return dict(zip(left["uid"], each(films.look, rows, "comparing films", jobs), strict=True))


def _render(
    kept: pd.DataFrame, folder: Path, salt: bytes, choices: films.Choices, into: Path, jobs: int
) -> dict[str, tuple[Path, dict]]:
    """Return the folder and the facts of each film of the release, by its id."""
    rows = [(folder / row.file, row.patient_id, salt, choices, into) for row in kept.itertuples()]
    return dict(zip(kept["image_id"], each(films.render, rows, "writing films", jobs), strict=True))


def _cohort(kept: pd.DataFrame, salt: bytes) -> pd.DataFrame:
    """Return the cohort, with pseudonyms; a machine is its model and a pseudonym of the station."""
    stations = [pseudonyms.pseudonym(salt, "machine", machine, 4) for machine in kept["machine"]]
    cohort = kept.assign(
        file="",
        patient_id=[patient_name(salt, patient) for patient in kept["patient_id"]],
        machine=[f"{model} {station}" for model, station in zip(kept["model"], stations, strict=True)],
        source="archive",
    )
    return cohort.sort_values(["label", "image_id"], ignore_index=True)[[*COLUMNS, *MORE]]


def _write_films(cohort: pd.DataFrame, made: dict[str, tuple[Path, dict]], part: Path) -> pd.DataFrame:
    """Copy the films into COVIDGR's layout, with ``severity.csv`` and ``cohort.csv``; return the cohort."""
    files = zip(cohort["label"], cohort["image_id"], strict=True)
    cohort = cohort.assign(file=[str(part / label / f"{name}.png") for label, name in files])
    for row in cohort.itertuples():
        folder = made[row.image_id][0]
        for source, target in ((films.FILM, row.file), (films.DICOM, part / "dicom" / f"{row.image_id}.dcm")):
            if (folder / source).exists():
                Path(target).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / source, target)
    positive = cohort[cohort["label"] == "P"]
    levels = pd.DataFrame(
        {"Name": positive["image_id"] + ".png", "Severity": positive["severity"].str.upper()}
    )
    write_text(part / "severity.csv", csv_text(levels))
    write_cohort(cohort, part)
    return cohort


def _studies(kept: pd.DataFrame, salt: bytes) -> pd.DataFrame:
    """Return the pseudonym of each film's study, and its modality."""
    sessions = ["E" + pseudonyms.pseudonym(salt, "study", study) for study in kept["study_uid"]]
    return pd.DataFrame(
        {"session": sessions, "modality": kept["modality"].to_list()}, kept["image_id"].to_list()
    )


def _facts(
    protocol: Protocol, files: pd.DataFrame, tests: tables.Table, read: tables.Table, salt: bytes
) -> dict:
    """Return what the data sheet says beside counts of the cohort."""
    return {
        "protocol": protocol._asdict(),
        "files": len(files),
        "tests": len(tests.rows),
        "tests_without_time": tests.without_time,
        "readings": len(read.rows),
        "readings_without_time": read.without_time,
        "views": _views(files) if protocol.guess_view else None,
        "salt": pseudonyms.pseudonym(salt, "salt", "", 8),
    }


def _views(files: pd.DataFrame) -> dict:
    """Count the views that the pixels decided, and say how often such answers were wrong in other sources."""
    from sdnet_lib.build import view

    asked = files["view_likely"].notna()
    decided = {"asked": asked, "sure": asked & (files["view"] != "")}
    decided["released"] = decided["sure"] & (files["reason"] == "")
    return {name: int(rows.sum()) for name, rows in decided.items()} | {"worth": view.card()["unseen"]}


def _trail(files: pd.DataFrame, made: dict[str, tuple[Path, dict]], salt: bytes) -> pd.DataFrame:
    """Return what became of each file, under names that only the private key knows."""
    out = files["reason"] != ""
    lines = {name: facts["masked"] for name, (_, facts) in made.items()}
    trail = pd.DataFrame(
        {
            "file": [_trail_name(salt, file) for file in files["file"]],
            "step": files["step"].where(out, "released"),
            "decision": out.map({True: "left out", False: "released"}),
            "reason": files["reason"],
            "view_from": _view_from(files),
            "masked_lines": files["image_id"].map(lines).where(~out).astype("Int64"),
        }
    )
    return trail.sort_values("file", ignore_index=True)


def _view_from(files: pd.DataFrame) -> pd.Series:
    """Say of each file whether its header or its pixels named the view; "" if neither did."""
    guessed = files["view_likely"].notna() if "view_likely" in files else False
    return pd.Series(np.where(guessed, "pixels", "header"), files.index).where(files["view"] != "", "")


def _trail_name(salt: bytes, file: str) -> str:
    """Return a pseudonym for the bytes of a file's name, whatever letters they are in this locale."""
    return pseudonyms.pseudonym(salt, "file", os.fsencode(file).decode("utf-8", "surrogateescape"))


def _scan(part: Path, files: pd.DataFrame, made: dict[str, tuple[Path, dict]]) -> None:
    """Look for everybody's names, ids and UIDs in all that is written, and for dates: a film's own in it."""
    known = files[files["problem"] == ""]
    kept = known[known["reason"] == ""]
    owners = kept.groupby("model")["patient_id"].nunique()
    shared = owners.index[
        owners > 1
    ]  # a doctor may be called as a maker is: what films of many say names nobody
    everybody = residue.without(residue.traces(known["identity"], days=False), shared)
    for row in kept.itertuples():
        written = [part / row.label / f"{row.image_id}.png", part / "dicom" / f"{row.image_id}.dcm"]
        own = residue.traces([row.identity], days=True)
        residue.check(part, filter(Path.exists, written), everybody | own)
        if found := residue.search(made[row.image_id][1]["words"], everybody | own):
            raise InputError(
                f"not released: {row.image_id} would show {found[:2]}... of {row.file} in its pixels"
            )
    films_ = {"N", "P", "dicom"}
    others = [f for f in sorted(part.rglob("*")) if f.is_file() and f.parent.name not in films_]
    residue.check(part, others, residue.without(residue.traces(known["identity"], days=True), shared))


def _write_key(folder: Path, files: pd.DataFrame, salt: bytes) -> None:
    """Write who is who, for the house alone: each file, its pseudonyms, and why it was left out."""
    key = files[["file", "patient_id", "image_id", "step", "reason", "detail"]].assign(
        trail_name=[_trail_name(salt, file) for file in files["file"]],
        patient_pseudonym=[patient_name(salt, patient) for patient in files["patient_id"]],
        days_shifted=[pseudonyms.days_shifted(salt, patient) for patient in files["patient_id"]],
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    write_text(folder / KEY, csv_text(key))


def _most(files: pd.DataFrame) -> str:
    """Say which rule left out most files."""
    counts = files.loc[files["reason"] != "", "reason"].value_counts()
    return f"{counts.iloc[0]} of {len(files)} files: {counts.index[0]}" if len(counts) else "no files"
