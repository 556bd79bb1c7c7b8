"""A release as a whole: COVIDGR's layout, the same bytes again, the source untouched, and nobody named."""

import csv
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pydicom.data
import pytest
from pydicom import dcmread

from data_scripts.covidgr import read_layout
from sdnet_lib.build import burnt_in, films, make, protocol, readers, select
from sdnet_lib.checksums import fault
from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import read_gray
from sdnet_lib.files import InputError, content_hash
from sdnet_lib.phantom import archive
from tests.build.conftest import PROTOCOL, build

PYDICOMS = Path(pydicom.data.__file__).parent / "test_files"


def contents(folder):
    return {f.relative_to(folder).as_posix(): content_hash(f) for f in folder.rglob("*") if f.is_file()}


def test_the_release_has_covidgrs_layout_and_is_a_cohort(built):
    cohort = read_cohort(built.out)
    layout = read_layout(built.out)
    assert set(layout["image_id"]) == set(cohort["image_id"]) and fault(built.out) == ""
    columns = ["image_id", "label", "severity"]
    pd.testing.assert_frame_equal(
        layout[columns].sort_values("image_id", ignore_index=True),
        cohort[columns].sort_values("image_id", ignore_index=True),
    )
    assert (cohort["label"] == "N").sum() == (cohort["label"] == "P").sum() > 2
    assert (
        cohort["patient_id"].is_unique and set(cohort["view"]) == {"PA"} and cohort["machine"].nunique() == 1
    )


def test_every_file_is_explained_once_and_counted(built):
    trail = pd.read_csv(built.out / "trail.csv", keep_default_na=False)
    files = [f for f in (built.source / archive.FILMS).rglob("*") if f.is_file()]
    assert len(trail) == len(files) == trail["file"].nunique()
    assert (trail.loc[trail["decision"] == "left out", "reason"] != "").all()
    released = trail[trail["decision"] == "released"]
    assert set(released["view_from"]) == {"header"} and set(released["masked_lines"].astype(float)) == {0}
    assert (trail.loc[trail["decision"] == "left out", "masked_lines"] == "").all()
    flow = pd.read_csv(built.out / "flow.csv").set_index("rule")["excluded"]
    counted = trail.loc[trail["decision"] == "left out", "reason"].value_counts()
    assert counted.to_dict() == flow[flow > 0].to_dict()


def test_films_look_as_their_source_does_however_it_was_stored(built):
    key = pd.read_csv(f"{built.out}-private/key.csv", dtype=str, keep_default_na=False)
    released = key[key["reason"] == ""]
    for row in released.itertuples():
        source = read_gray(built.source / archive.FILMS / row.file)
        (film,) = built.out.glob(f"[NP]/{row.image_id}.png")
        assert abs(read_gray(film) - source).max() < 0.003
        assert abs(read_gray(built.out / "dicom" / f"{row.image_id}.dcm") - source).max() < 0.003


def test_nobody_is_named_in_the_release(built):
    hidden = set(built.planted.loc[built.planted["kind"].isin(["hide", "uid"]), "value"])
    for file in built.out.rglob("*"):
        if file.is_file():
            text = file.read_bytes().decode("utf-8", errors="ignore") + file.name
            assert not [value for value in hidden if len(value) > 5 and value in text], file


def test_the_dicom_files_fit_the_cohort(built):
    for row in read_cohort(built.out).itertuples():
        data = dcmread(built.out / "dicom" / f"{row.image_id}.dcm")
        assert str(data.PatientID) == row.patient_id and data.PatientSex == row.sex and data.KVP == 125


def test_the_same_salt_gives_the_same_bytes_and_the_source_stays_as_it_was(built, tmp_path):
    before = contents(built.source)
    build(built.source, tmp_path / "release", built.salt, jobs=2)
    assert contents(tmp_path / "release") == contents(built.out) and contents(built.source) == before
    (tmp_path / "other salt").write_text("another secret of many letters")
    build(built.source, tmp_path / "other" / "release", tmp_path / "other salt")
    ids = [set(read_cohort(folder)["patient_id"]) for folder in (built.out, tmp_path / "other" / "release")]
    assert not ids[0] & ids[1]


def test_the_trail_does_not_depend_on_the_locale(monkeypatch):
    there = make._trail_name(b"secret", "ñ.dcm")
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    assert make._trail_name(b"secret", "ñ.dcm".encode().decode("latin-1")) == there


def test_an_interrupted_run_goes_on(built, tmp_path, monkeypatch):
    done = []

    def interrupted(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(arguments)
        return render(*arguments)

    render = films.render
    monkeypatch.setattr(films, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(built.source, tmp_path / "release", built.salt)
    assert (
        not (tmp_path / "release").exists()
        and len(list((tmp_path / "release.unfinished/films").iterdir())) >= 3
    )
    drawn = []
    monkeypatch.setattr(films, "render", render)
    monkeypatch.setattr(films, "_render", lambda *a, make=films._render: (drawn.append(a), make(*a)))
    build(built.source, tmp_path / "release", built.salt)
    assert len(drawn) == len(read_cohort(built.out)) - 3
    assert contents(tmp_path / "release") == contents(built.out)
    assert not (tmp_path / "release.unfinished").exists()


@pytest.mark.parametrize("where", ["machine", "sheet", "dicom"])
def test_a_release_that_would_name_somebody_is_refused(built, tmp_path, monkeypatch, where):
    if where == "machine":
        monkeypatch.setattr(make, "MORE", (*make.MORE, "accession"))
    elif where == "sheet":
        asked = make._facts
        monkeypatch.setattr(
            make, "_facts", lambda p, files, *a: asked(p, files, *a) | {"x": files["patient_id"][0]}
        )
    else:
        from sdnet_lib.build import deidentify

        wrong = deidentify.rules() | {"OperatorsName": "keep"}
        monkeypatch.setattr(deidentify, "rules", lambda: wrong)
        monkeypatch.setattr(deidentify, "_kept", lambda value, kind, traces: value)
    with pytest.raises(InputError, match="not released: .* would hold"):
        build(built.source, tmp_path / "release", built.salt)
    assert not (tmp_path / "release").exists() and not (tmp_path / "release-private").exists()


def test_damaged_and_foreign_files_are_explained(built, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(built.source, source)
    some = sorted((source / archive.FILMS).rglob("*.dcm"))
    key = pd.read_csv(f"{built.out}-private/key.csv", dtype=str, keep_default_na=False)
    film = source / archive.FILMS / key.loc[key["reason"] == "", "file"].iloc[0]
    film.write_bytes(film.read_bytes()[:-3000])
    (source / archive.FILMS / "Thumbs.db").write_bytes(b"nothing")
    (source / archive.FILMS / ".hidden").write_bytes(b"")
    shutil.copy(some[0], source / archive.FILMS / "again.dcm")
    files = build(source, tmp_path / "release", built.salt).set_index("file")
    assert files.at["Thumbs.db", "reason"] == files.at[".hidden", "reason"] == "no readable DICOM film"
    assert files.at[film.relative_to(source / archive.FILMS).as_posix(), "reason"] == "pixels cannot be read"
    assert files.at["again.dcm", "reason"] != ""


def test_tables_beside_the_films_say_what_the_cohort_says(built):
    cohort = read_cohort(built.out)
    table = pd.read_csv(built.out / "table3.csv").set_index("class")
    assert table.at["Positive", "Severe"] == (cohort["severity"] == "Severe").sum()
    sheet = (built.out / "data_sheet.md").read_text()
    assert "{{" not in sheet and f"{len(built.files)} files" in sheet and "not** searched" in sheet
    facts = json.loads((built.out / "release.json").read_text())
    assert facts["images"]["positive"] == (cohort["label"] == "P").sum()


def test_readers_are_compared_on_more_than_the_released_films(built):
    with open(built.out / "agreement.csv") as table:
        rows = list(csv.DictReader(table))
    assert rows and int(rows[0]["films"]) >= readers.FEWEST
    assert float(rows[0]["low"]) <= float(rows[0]["kappa"]) <= float(rows[0]["high"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"burnt_in": "perhaps"}, "--burnt-in perhaps"),
        ({"marker": "mask"}, "needs --burnt-in search"),
        ({"marker": "blue"}, "--marker blue"),
        ({"balance": ("height",)}, "--balance height"),
        ({"machines": ("none",)}, "--machine none"),
        ({"views": ("AP",), "machines": (), "kvp": (1, 2)}, "no positive film is left"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(built, tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        build(built.source, tmp_path / "release", built.salt, PROTOCOL._replace(**changes))
    assert "\n" not in str(error.value) and not (tmp_path / "release").exists()


def test_places_that_would_do_harm_are_refused(built, tmp_path):
    for out in (built.out, built.source / archive.FILMS / "release"):
        with pytest.raises(InputError, match="exists|apart"):
            build(built.source, out, built.salt)
    with pytest.raises(InputError, match="--salt"):
        build(built.source, tmp_path / "release", tmp_path / "release" / "salt")
    (tmp_path / "short").write_text("abc")
    with pytest.raises(InputError, match="--salt.*16"):
        build(built.source, tmp_path / "release", tmp_path / "short")


def test_a_salt_is_made_for_its_owner_alone(built):
    assert os.stat(built.salt).st_mode & 0o777 == 0o600 and len(built.salt.read_text().strip()) == 64


def test_all_films_of_a_patient_can_stay_together(built, tmp_path):
    protocol = PROTOCOL._replace(one_per_patient=False, balance=(), dicom=False)
    files = build(built.source, tmp_path / "release", built.salt, protocol)
    assert "later study of the same patient" not in set(select.flow(files)["rule"])
    assert len(read_cohort(tmp_path / "release")) > len(read_cohort(built.out))


def change(folder, number, **tags):
    """Change the header of a file."""
    file = sorted(folder.rglob("*.dcm"))[number]
    data = dcmread(file, force=True)
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(file)
    return file.relative_to(folder).as_posix()


def test_text_of_a_header_is_no_formula_and_no_markup(built, tmp_path):
    shutil.copytree(built.source, tmp_path / "source")
    folder = tmp_path / "source" / archive.FILMS
    for number in range(len(built.files)):
        change(folder, number, ManufacturerModelName="=1+1|<b>")
    build(tmp_path / "source", tmp_path / "release", built.salt, PROTOCOL._replace(dicom=False))
    sheet = (tmp_path / "release" / "data_sheet.md").read_text()
    assert "<b>" not in sheet and "=1+1&#124;&lt;b&gt;" in sheet
    assert read_cohort(tmp_path / "release")["machine"].str.contains("=1+1|<b>", regex=False).all()


def test_a_doctor_who_is_called_as_the_maker_of_the_machine_blocks_nothing(built, tmp_path):
    shutil.copytree(built.source, tmp_path / "source")
    change(tmp_path / "source" / archive.FILMS, 0, ReferringPhysicianName="Roentgen^Acme")
    build(tmp_path / "source", tmp_path / "release", built.salt)
    assert len(read_cohort(tmp_path / "release")) == len(read_cohort(built.out))


def test_an_archive_without_a_film_of_the_kind_is_refused_in_one_line(built, tmp_path):
    (tmp_path / "films").mkdir()
    for number, file in enumerate(sorted(PYDICOMS.glob("*.dcm"))):
        shutil.copy(file, tmp_path / "films" / f"{number}.dcm")
    tables = (built.source / archive.PCR, built.source / archive.READINGS)
    with pytest.raises(InputError, match="no positive film is left: .* files: not a plain X-ray") as error:
        make.build(tmp_path / "films", *tables, tmp_path / "out", salt=built.salt, protocol=PROTOCOL, jobs=1)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("read_again", [False, True])
def test_a_name_that_can_still_be_read_in_the_pixels_refuses_the_release(
    built, tmp_path, monkeypatch, read_again
):
    asked = []

    def reader(picture):
        asked.append(picture)
        first = len(asked) % 2 == 1  # each film is searched, and once more when it was masked
        box = [[5, 5], [40, 5], [40, 15], [5, 15]]
        return [(box, "MULLER JURGEN", 0.9)] if first or read_again else []

    monkeypatch.setattr(burnt_in, "reader", lambda: reader)
    monkeypatch.setattr(protocol, "find_spec", lambda name: name)
    rules = PROTOCOL._replace(burnt_in="search", marker="mask")
    if read_again:
        with pytest.raises(InputError, match="would show ju"):
            build(built.source, tmp_path / "release", built.salt, rules)
        assert not (tmp_path / "release").exists()
    else:
        build(built.source, tmp_path / "release", built.salt, rules)
        films_ = len(read_cohort(tmp_path / "release"))
        assert len(asked) == 2 * films_
        assert f"masked: {films_} lines" in (tmp_path / "release" / "data_sheet.md").read_text()
