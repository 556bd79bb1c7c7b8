"""COVIDGR-1.0: its layout, its published counts, and where to fetch it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd

from data_scripts import download
from data_scripts.common import DataSet
from sdnet_lib.checksums import kept_folder, seal_folder
from sdnet_lib.data import identifiers
from sdnet_lib.data.cohort import LABELS, SEVERITIES, CohortError, check_cohort, complete, read_table
from sdnet_lib.data.images import find_images
from sdnet_lib.files import InputError, new_folder

FOLDER = "covidgr"
REPOSITORY = "ari-dasci/OD-covidgr"
PUBLISHED = {"N": 426, "P": 426}
PUBLISHED_SEVERITIES = dict(zip(SEVERITIES, (76, 100, 171, 79), strict=True))  # Table 3 of the paper


def read(root: Path) -> pd.DataFrame:
    """Read COVIDGR-1.0 and hold it to its published counts, so that a part or another version is noticed."""
    folder = root / FOLDER
    cohort = check_cohort(read_layout(folder), str(folder)).reset_index(drop=True)
    for column, published in (("label", PUBLISHED), ("severity", PUBLISHED_SEVERITIES)):
        for value, count in published.items():
            if (found := int((cohort[column] == value).sum())) != count:
                raise CohortError(f"{folder}: {found} images with {column} {value}, COVIDGR-1.0 has {count}")
    return cohort.assign(source="COVIDGR-1.0", view="PA")


def fetch(root: Path) -> None:
    """Fetch COVIDGR-1.0, which is looked up among the releases: its address may change."""
    name, url, size, sha256 = download.find_release_asset(REPOSITORY, r"covidgr.*1[._-]?0.*\.zip$")
    archive = root / "downloads" / name
    download.fetch(url, archive, size=size, sha256=sha256)
    unpacked = kept_folder(
        root / "downloads" / Path(name).stem, lambda folder: download.unpack(archive, folder)
    )
    found = [table.parent for table in unpacked.rglob("severity.csv") if (table.parent / "N").is_dir()]
    if len(found) != 1:
        raise InputError(f"{archive}: {len(found)} folders with N, P and severity.csv in it, not one")
    with new_folder(root / FOLDER) as folder:
        for part in ("N", "P", "severity.csv"):
            (found[0] / part).rename(folder / part)
        seal_folder(folder, FOLDER)
    shutil.rmtree(unpacked)


def read_layout(folder: Path) -> pd.DataFrame:
    """Read a folder laid out as COVIDGR-1.0: ``N/``, ``P/`` and ``severity.csv`` (`Name,Severity`).

    The attribute ``left_out`` of the table counts the files in ``N`` and ``P`` that are no images.

    Raises
    ------
    CohortError
        If a part is missing, a row of ``severity.csv`` has no image, or a positive image no severity.
    """
    for part in ("N", "P", "severity.csv"):
        if not (folder / part).exists():
            raise CohortError(f"{folder}: neither cohort.csv nor COVIDGR's layout (no {part})")
    found = {label: find_images(Path(os.path.abspath(folder / label))) for label in LABELS}
    files = {label: found[label].images for label in LABELS}
    levels = _severities(folder / "severity.csv", files["P"])
    rows = [(file.stem, file, label) for label in LABELS for file in files[label]]
    cohort = pd.DataFrame(rows, columns=["image_id", "file", "label"]).astype({"file": str})
    cohort.index = [f"{label}/{file.name}" for _, file, label in rows]  # an error names the file by it
    if {file.stem for file in files["N"]} & {file.stem for file in files["P"]}:  # 1.jpg in both folders
        cohort["image_id"] = cohort["label"] + "-" + cohort["image_id"]
    cohort["severity"] = [
        levels[Path(row.file).name] if row.label == "P" else "" for row in cohort.itertuples()
    ]
    cohort = complete(cohort, folder.resolve().name)
    cohort.attrs["left_out"] = {
        f"{kind} in {folder / label}": count
        for label in LABELS
        for kind, count in sorted(found[label].left_out.items())
    }
    return cohort


def _severities(path: Path, positives: list[Path]) -> dict[str, str]:
    """Return the severity of each positive file by its name, checked both ways."""
    table = read_table(path, ("Name", "Severity"))
    for column in ("Name", "Severity"):
        table[column] = table[column].map(identifiers.clean)
    known = {level.upper(): level for level in SEVERITIES}
    names = {identifiers.clean(file.name): file.name for file in positives}
    by_name = {Path(name).stem: file for name, file in names.items()} | names
    by_name |= {name.lower(): file for name, file in by_name.items() if name.lower() not in by_name}
    levels: dict[str, str] = {}
    for index, name, level in zip(table.index, table["Name"], table["Severity"], strict=True):
        where = f"{path}, row {index + 2}"
        name = name.lower() if name.lower() in by_name and name not in by_name else name
        if name not in by_name:
            raise CohortError(f"{where}, column Name: no image {name!r} in {path.parent / 'P'}")
        if level.upper() not in known:
            choices = ", ".join(known)
            raise CohortError(f"{where}, column Severity: {level!r} is not one of {choices}")
        if by_name[name] in levels:
            raise CohortError(f"{where}, column Name: {name!r} appears twice")
        levels[by_name[name]] = known[level.upper()]
    for file in positives:
        if file.name not in levels:
            raise CohortError(f"{path}: no row for {file}")
    return levels


COVIDGR = DataSet(
    name="covidgr",
    what="one hospital, one machine, PA only, RT-PCR within 24 hours, four severity levels",
    labels="P: RT-PCR positive; N: RT-PCR negative",
    source=f"github.com/{REPOSITORY}",
    licence="as its release states",
    cite="Tabik et al. 2020, doi:10.1109/JBHI.2020.3037127",
    size="852 JPEG files",
    checks="a severity for each positive and none for a negative; the published counts of labels and "
    "severities; size and checksum of the download, as the release states them",
    published=PUBLISHED,
    needs=(FOLDER,),
    read=read,
    fetch=fetch,
)

DATA_SETS = (COVIDGR,)
