"""The same release in BIMCV's layout: each film once, where its name says, and nobody named there either."""

import json
import re

import pandas as pd
import pytest

from sdnet_lib.build import mids, pseudonyms
from sdnet_lib.checksums import fault
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.files import InputError
from tests.build.conftest import PROTOCOL, build

NAME = re.compile(r"(sub-P[0-9a-f]{12})_(ses-E[0-9a-f]{12})_run-(\d+)_bp-chest_vp-(pa|ap)_(cr|dx|dr|rg)\.png")


@pytest.fixture(scope="module")
def release(built, tmp_path_factory):
    out = tmp_path_factory.mktemp("mids") / "release"
    chosen = PROTOCOL._replace(mids=True, dicom=False, one_per_patient=False, views=("PA", "AP"))
    build(built.source, out, built.salt, chosen)
    return out


def test_each_film_lies_once_where_its_name_says(release):
    cohort = read_cohort(release)
    films = sorted((release / mids.FOLDER).rglob("*.png"))
    for film in films:
        patient, session, _, view, modality = NAME.fullmatch(film.name).groups()
        assert film.parts[-4:-1] == (patient, session, "mod-rx")
        tags = json.loads(film.with_suffix(".json").read_text())
        assert tags["ViewPosition"] == view.upper() and tags["Modality"] == modality.upper()
    contents = [file.read_bytes() for file in films]
    assert sorted(contents) == sorted((release / file).read_bytes() for file in cohort["file"])
    assert fault(release) == ""


def test_the_tables_fit_the_cohort(release):
    cohort, top = read_cohort(release), release / mids.FOLDER
    labels = pd.read_csv(top / mids.LABELS, sep="\t", keep_default_na=False)
    wanted = cohort.groupby(["patient_id", "label", "severity"]).size()
    assert labels.groupby(["patient_id", "label", "severity"]).size().equals(wanted)
    people = pd.read_csv(top / "participants.tsv", sep="\t")
    assert set(people["participant"]) == set(cohort["patient_id"]) and people["participant"].is_unique
    for patient, films in labels.groupby("patient_id"):
        sessions = pd.read_csv(top / f"sub-{patient}" / f"sub-{patient}_sessions.tsv", sep="\t")
        assert set(sessions["session_id"]) == set(films["session"])
        assert {path.name for path in (top / f"sub-{patient}").glob("ses-*")} == {
            f"ses-{session}" for session in films["session"]
        }


def test_films_of_one_study_are_numbered(tmp_path):
    cohort = pd.DataFrame(
        {"image_id": list("abc"), "patient_id": ["P1", "P1", "P2"], "view": "PA", "kvp": [1, None, 2]}
    )
    cohort = cohort.assign(file=str(tmp_path / "film"), sex="F", age="", label="N", severity="", rale="")
    (tmp_path / "film").write_bytes(b"film")
    mids.write(tmp_path, cohort, pd.DataFrame({"session": "E1", "modality": "DX"}, list("abc")))
    names = [film.name for film in sorted((tmp_path / mids.FOLDER).rglob("*.png"))]
    assert names == [
        "sub-P1_ses-E1_run-1_bp-chest_vp-pa_dx.png",
        "sub-P1_ses-E1_run-2_bp-chest_vp-pa_dx.png",
        "sub-P2_ses-E1_run-1_bp-chest_vp-pa_dx.png",
    ]
    tags = [json.loads(file.read_text()) for file in sorted((tmp_path / mids.FOLDER).rglob("*.json"))]
    assert ["KVP" in one for one in tags] == [True, False, True]


def plainly_for_studies(hidden):
    """Forget to hide the UIDs of studies."""
    return lambda salt, kind, value, *digits: value if kind == "study" else hidden(salt, kind, value, *digits)


def test_what_names_somebody_there_refuses_the_release(built, tmp_path, monkeypatch):
    monkeypatch.setattr(pseudonyms, "pseudonym", plainly_for_studies(pseudonyms.pseudonym))
    with pytest.raises(InputError, match="not released"):
        build(built.source, tmp_path / "release", built.salt, PROTOCOL._replace(mids=True))
    assert not (tmp_path / "release").exists()
