"""COVIDx 1.0 and 2.0 (Wang and Wong 2020), assembled from their parts: what was published are lists of names.

The lists say which images, of which class, and who is tested. The parts are the COVID-19 Image Data
Collection, Figure 1 and RSNA Pneumonia, each where its own data set has it. The published rules, applied to
the parts, must come to what the lists say; where they do not, it is counted.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pandas as pd

from data_scripts import cxr_collection, darkcovidnet, figure1, rsna_pneumonia
from data_scripts.common import DataSet
from data_scripts.covidx_rules import CLASSES, VERSIONS, Version, beside_table_1, by_rules
from data_scripts.layouts import to_cohort
from sdnet_lib.data.cohort import CohortError, read_table
from sdnet_lib.files import InputError

FOLDER = "covidx"
TESTED = tuple(f"rsna_test_patients_{name}.txt" for name in CLASSES[:2])
SIDES = {"test": "the test list", "train": "the training list", "no": "no list"}
FOLDERS = {
    cxr_collection.FOLDER: cxr_collection.SOURCE,
    darkcovidnet.EXTRA: cxr_collection.SOURCE,
    figure1.FOLDER: figure1.SOURCE,
}


def read(root: Path, name: str, positive: str = "COVID-19") -> pd.DataFrame:
    """Read what is here of a release: N is normal, P is the class `positive`.

    Parameters
    ----------
    root : pathlib.Path
        The data folder.
    name : str
        One of `VERSIONS`.
    positive : str
        ``COVID-19`` or ``pneumonia``; the third class is left out, and counted.

    Returns
    -------
    pandas.DataFrame
        A cohort with the column `split`, train or test. Its attribute ``left_out`` counts what is not here by
        class and part, and ``remarks`` says what the rules and Table 1 of the paper come to.
    """
    version = VERSIONS[name]
    table = listed(root, version)
    images, repeated = table.drop_duplicates("name"), int(table["name"].duplicated().sum())
    here = parts(root)
    found = images.merge(here.drop(columns="patient"), on="name", how="left").fillna("")
    third = next(one for one in CLASSES[1:] if one != positive)
    lacking = found[found["file"] == ""]
    lacking = lacking[lacking["class"] != third].groupby(["class", "kind"], sort=False).size()
    left_out = {f"of the third class, {third}": int((found["class"] == third).sum())}
    left_out |= {f"{one} of {part}, not here": int(count) for (one, part), count in lacking.items()}
    found = found[found["file"] != ""]
    sides = found.groupby("patient_id")["split"].nunique()
    leaks = ", ".join(sides.index[sides > 1])
    found["label"] = found["class"].map({"normal": "N", positive: "P"}).fillna("")
    if (found["label"] == "").all():
        raise CohortError(f"{root / FOLDER}: none of the listed normal or {positive} images is here")
    path = root / FOLDER / f"train_{version.lists}.txt"
    cohort = to_cohort(found.drop(columns=["name", "patient", "kind", "finding"]), name, path, left_out)
    cohort.attrs["remarks"] = [
        *([f"lines of the lists that repeat an image: {repeated:,}"] if repeated else []),
        *([f"listed for training and test, under two ids: patient {leaks}"] if leaks else []),
        _asked(table, _tested(root)),
        by_rules(images, here, version, _tested(root)),
        beside_table_1(images, name),
    ]
    return cohort


def listed(root: Path, version: Version) -> pd.DataFrame:
    """Read the lists of a release, line by line.

    Returns
    -------
    pandas.DataFrame
        Columns `patient` and `name` (of the file) as listed, `class`, `split`, and `kind`: the part that the
        image is from, by its name.

    Raises
    ------
    CohortError
        If a line has another form, or an image or a patient is listed in two ways that exclude each other.
    """
    table = pd.concat(
        [_lines(root / FOLDER / f"{split}_{version.lists}.txt", split) for split in ("train", "test")],
        ignore_index=True,
    )
    for column, value, what in (("name", "class", "image"), ("patient", "split", "patient")):
        different = table.groupby(column)[value].nunique()
        if (different > 1).any():
            one = different.index[different > 1][0]
            both = " and ".join(table.loc[table[column] == one, value].unique())
            raise CohortError(f"{root / FOLDER}, lists of {version.lists}: {what} {one!r} is in {both}")
    tested = table[(table["split"] == "test") & (table["kind"] == rsna_pneumonia.SOURCE)]
    if stranger := sorted({*tested["patient"]} - _tested(root)):
        raise CohortError(
            f"{root / FOLDER / f'test_{version.lists}.txt'}: {stranger[0]!r} is none of the published test "
            f"patients in {' and '.join(TESTED)}"
        )
    return table


def _tested(root: Path) -> set[str]:
    """Return RSNA's patients who are tested, as COVID-Net published them."""
    return {patient for name in TESTED for patient in _text(root / FOLDER / name).split()}


def _asked(table: pd.DataFrame, published: set[str]) -> str:
    """Say how many of the published test patients are listed: for the test, for training, or not at all."""
    side = table.drop_duplicates("patient").set_index("patient")["split"]
    counts = pd.Series(sorted(published)).map(side).fillna("no").value_counts()
    found = (f"{counts.get(name, 0)} in {what}" for name, what in SIDES.items())
    return f"published test patients of {rsna_pneumonia.SOURCE}: {len(published)}, {', '.join(found)}"


def parts(root: Path) -> pd.DataFrame:
    """Gather the images that are here of all parts, whether listed or not, by their file names.

    Returns
    -------
    pandas.DataFrame
        Columns `name`, `patient` and `finding` as the part has them, and those of a cohort.
    """
    columns = ("image_id", "file", "patient_id", "group_id", "finding", "view", "original_file")
    tables = []
    for folder, source in FOLDERS.items():
        if (file := root / folder / "metadata.csv").is_file():
            table = read_table(file, columns)[[*columns]].assign(source=source)
            table["file"] = [os.path.abspath(root / folder / name) for name in table["file"]]
            table = table.rename(columns={"patient_id": "patient", "original_file": "name"})
            tables.append(table.rename(columns={"group_id": "patient_id"}))
    if (folder := root / rsna_pneumonia.FOLDER).is_dir():
        table = rsna_pneumonia.read_classes(folder).rename(columns={"class": "finding"})
        ids = {
            "patient": table["image_id"],
            "patient_id": table["image_id"],
            "name": table["image_id"] + ".png",
        }
        tables.append(table.assign(view="", source=rsna_pneumonia.SOURCE, **ids))
    here = pd.concat(tables, ignore_index=True).drop_duplicates("name")
    return here[here["file"].map(os.path.isfile).astype(bool)]


def _lines(path: Path, split: str) -> pd.DataFrame:
    """Read a list: patient, file and class with blanks between; a patient's id may hold a blank itself."""
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        words = line.rsplit(maxsplit=2)
        if len(words) < 3:
            raise CohortError(f"{path}, line {number}: {line[:80]!r} is not patient, file and class")
        if words[2] not in CLASSES:
            raise CohortError(f"{path}, line {number}: {words[2]!r} is not one of {', '.join(CLASSES)}")
        rows.append((words[0].strip(), words[1], words[2], split, _kind(*words[:2])))
    if not rows:
        raise CohortError(f"{path}: empty list")
    return pd.DataFrame(rows, columns=["patient", "name", "class", "split", "kind"])


def _kind(patient: str, name: str) -> str:
    """Return the part that a listed image is from: RSNA's files are named after their patients."""
    if name == f"{patient}.png":
        return rsna_pneumonia.SOURCE
    return figure1.SOURCE if patient.startswith("COVID-") else cxr_collection.SOURCE


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CohortError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise CohortError(f"{path}: not a text in UTF-8") from None


def fetch(root: Path, name: str) -> None:
    """Fetch the parts that a program may fetch; lists and RSNA's images are brought by hand."""
    for part in (cxr_collection.CXR_COLLECTION, figure1.FIGURE1):
        if not part.is_here(root):
            part.fetch(root)
    lists = [file for file in _lists(name) if not (root / file).exists()]
    if lists:
        raise InputError(f"{name} lacks its lists. {ACCESS} Put them into {root / FOLDER}")


def _lists(name: str) -> tuple[str, ...]:
    own = (f"{split}_{VERSIONS[name].lists}.txt" for split in ("train", "test"))
    return tuple(f"{FOLDER}/{file}" for file in (*own, *TESTED))


ACCESS = (
    "The lists of both releases are in the history of github.com/lindawangg/COVID-Net (28 March and 14 April "
    "2020); its .npy files of RSNA's tested patients are written as text, an id a line. Normal and most "
    "pneumonia images are those of rsna-pneumonia: see there."
)


def _entry(name: str, positive: str, published: dict[str, int], size: str) -> DataSet:
    version, third = VERSIONS[name], positive == "pneumonia"
    full = f"{name}-pneumonia" if third else name
    return DataSet(
        name=full,
        what=f"{version.paper} as its lists say, from the parts at hand, with the published test patients"
        + (": the third class that the paper gives COVID-Net" if third else ""),
        labels=f"P: {positive}{' (not COVID-19)' if third else ''}, N: normal, from another source than "
        f"{'most' if third else 'every'} P",
        source=f"github.com/lindawangg/COVID-Net (lists); {', '.join(version.parts)}",
        licence="lists AGPL-3.0; images as those of the parts",
        cite="Wang and Wong 2020, arXiv:2003.09871; and the parts",
        size=size,
        checks="no image in two classes, no patient in training and test; the published rules, applied to "
        "the parts that are here; counts beside Table 1 of the paper. Pictures are compared by "
        "`sdnet data check` only, as RSNA's are many",
        published=published,
        needs=(*_lists(name), f"{cxr_collection.FOLDER}/metadata.csv"),
        read=partial(read, name=name, positive=positive),
        fetch=partial(fetch, name=name),
        access=ACCESS,
    )


DATA_SETS = (
    _entry("covidx1", "COVID-19", {"N": 8066, "P": 76}, "13,677 images"),
    _entry("covidx2", "COVID-19", {"N": 8066, "P": 183}, "13,800 images"),
    _entry("covidx2", "pneumonia", {"N": 8066, "P": 5551}, "13,800 images"),
)
