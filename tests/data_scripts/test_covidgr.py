"""COVIDGR-1.0: its layout, its release and its published counts."""

import json

import numpy as np
import pytest

from data_scripts import covidgr, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.cohort import SEVERITIES, CohortError, check_cohort
from sdnet_lib.data.images import write_gray
from sdnet_lib.files import InputError
from sdnet_lib.studies import crossval
from tests.data_scripts.served import picture, zipped

LEVELS = [level.upper() for level in np.repeat(SEVERITIES, (76, 100, 171, 79))]


def covidgr_files(top="COVIDGR_1.0/", negatives=426, levels=LEVELS):
    """Return a tree of COVIDGR-1.0's exact shape, made of tiny images."""
    files = {f"{top}N/N{number}.jpg": picture(number, ".jpg") for number in range(negatives)}
    files |= {f"{top}P/P{number}.jpg": picture(10_000 + number, ".jpg") for number in range(len(levels))}
    lines = [f"P{number}.jpg,{level}" for number, level in enumerate(levels)]
    files[f"{top}severity.csv"] = "\n".join(["Name,Severity", *lines, ""])
    return files


def serve_release(server, content, **asset):
    name = "COVIDGR_1.0.zip"
    listed = {"name": name, "browser_download_url": f"{server.url}/{name}", "size": len(content)} | asset
    other = {"name": "COVIDGR-2.0.zip", "browser_download_url": f"{server.url}/other", "size": 5}
    releases = [{"assets": []}, {"assets": [other, listed]}]
    server.files["/repos/ari-dasci/OD-covidgr/releases"] = json.dumps(releases).encode()
    server.files[f"/{name}"] = content


def test_covidgr_through_its_release(server, tmp_path):
    content = zipped(covidgr_files())
    serve_release(server, content)
    server.moods["/COVIDGR_1.0.zip"] = {"break_after": len(content) // 2, "breaks": 1}
    said = registry.get("covidgr", tmp_path)
    assert "852 images of 852 patients: 426 N, 426 P" in said and "published set" not in said
    assert "76 P Normal-PCR+" in said and "79 P Severe" in said
    record = json.loads((tmp_path / "downloads" / "COVIDGR_1.0.zip.json").read_text())
    assert record["size"] == len(content)
    cohort = load_cohort("covidgr", data=tmp_path)
    assert set(cohort["source"]) == {"COVIDGR-1.0"} and set(cohort["view"]) == {"PA"}
    assert check_cohort(cohort) is cohort
    plain = load_cohort(tmp_path / covidgr.FOLDER)
    assert list(plain["image_id"]) == list(cohort["image_id"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (covidgr_files(negatives=425), "425 images with label N, COVIDGR-1.0 has 426"),
        (covidgr_files(levels=LEVELS[1:]), "425 images with label P, COVIDGR-1.0 has 426"),
        (
            covidgr_files(levels=["MILD", *LEVELS[1:]]),
            "75 images with severity Normal-PCR\\+, COVIDGR-1.0 has 76",
        ),
        ({"README": "soon"}, "0 folders with N, P and severity.csv in it, not one"),
    ],
)
def test_covidgr_must_have_its_published_counts(files, message, server, tmp_path):
    serve_release(server, zipped(files))
    with pytest.raises(InputError, match=message):
        registry.get("covidgr", tmp_path)


def test_another_count_is_fine_in_a_folder_of_ones_own(tmp_path):
    for name, content in covidgr_files("", negatives=3, levels=LEVELS[:3]).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert len(load_cohort(tmp_path)) == 6


def test_a_release_that_lies_about_size_or_hash(server, tmp_path):
    content = zipped(covidgr_files())
    serve_release(server, content, size=len(content) + 1)
    with pytest.raises(InputError, match="size is"):
        registry.get("covidgr", tmp_path)
    serve_release(server, content, digest="sha256:" + "0" * 64)
    with pytest.raises(InputError, match="sha256 is"):
        registry.get("covidgr", tmp_path)


def test_a_release_with_an_evil_zip(server, tmp_path):
    serve_release(server, zipped({"../../evil.txt": "evil"} | covidgr_files()))
    with pytest.raises(InputError, match="would be written outside the folder; nothing unpacked"):
        registry.get("covidgr", tmp_path / "data")
    names = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert names == {"COVIDGR_1.0.zip", "COVIDGR_1.0.zip.json", ".COVIDGR_1.0.lock"}


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        (b"[]", "no file like .* only nothing"),
        (b'[{"assets": [{"name": "other.zip"}]}]', "only other.zip"),
        (b'{"message": "rate limit"}', "no list of releases"),
        (b"<html>", "no list of releases"),
        (None, "no list of releases .*404"),
    ],
)
def test_no_such_release(listing, message, server, tmp_path):
    if listing is not None:
        server.files["/repos/ari-dasci/OD-covidgr/releases"] = listing
    with pytest.raises(InputError, match=message):
        registry.get("covidgr", tmp_path)


def covidgr_tree(folder, negatives=5, levels=("NORMAL-PCR+", "MILD", "MODERATE", "SEVERE"), suffix=".jpg"):
    """Make a folder in COVIDGR's layout out of tiny images."""
    generator = np.random.default_rng(0)
    for label, count in (("N", negatives), ("P", len(levels))):
        for number in range(count):
            write_gray(folder / label / f"{label}{number:03}.jpg", generator.random((8, 8)))
    lines = [f"P{number:03}{suffix},{level}" for number, level in enumerate(levels)]
    (folder / "severity.csv").write_text("\n".join(["Name,Severity", *lines]) + "\n")
    return folder


@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_covidgr_layout(suffix, tmp_path):
    cohort = load_cohort(covidgr_tree(tmp_path, suffix=suffix))
    assert list(cohort["label"]) == ["N"] * 5 + ["P"] * 4
    assert list(cohort["severity"]) == [""] * 5 + list(SEVERITIES)
    assert cohort["image_id"].iloc[-1] == "P003" and cohort["patient_id"].iloc[-1] == "P003"
    assert cohort["file"].iloc[-1] == str(tmp_path / "P" / "P003.jpg")


def test_covidgr_layout_with_the_same_names_in_both_folders(tmp_path):
    covidgr_tree(tmp_path, negatives=1, levels=["MILD"])
    (tmp_path / "N" / "N000.jpg").rename(tmp_path / "N" / "P000.jpg")
    assert list(load_cohort(tmp_path)["image_id"]) == ["N-P000", "P-P000"]


def test_a_folder_without_a_table(tmp_path):
    with pytest.raises(CohortError, match=r"neither cohort\.csv nor COVIDGR's layout \(no N\)"):
        load_cohort(tmp_path)


LAYOUTS = {
    "no P": (lambda d: (d / "P").rename(d / "Q"), "COVIDGR's layout (no P)"),
    "no severity.csv": (lambda d: (d / "severity.csv").unlink(), "COVIDGR's layout (no severity.csv)"),
    "a row without image": (
        lambda d: (d / "P" / "P001.jpg").unlink(),
        "severity.csv, row 3, column Name: no image 'P001.jpg' in",
    ),
    "a positive without row": (
        lambda d: write_gray(d / "P" / "P009.jpg", np.eye(8)),
        "severity.csv: no row for ",
    ),
    "unknown level": (
        lambda d: (d / "severity.csv").write_text("Name,Severity\nP000.jpg,HUGE\n"),
        "row 2, column Severity: 'HUGE' is not one of NORMAL-PCR+, MILD, MODERATE, SEVERE",
    ),
    "named twice": (
        lambda d: (d / "severity.csv").write_text("Name,Severity\nP000.jpg,MILD\nP000,MILD\n"),
        "row 3, column Name: 'P000' appears twice",
    ),
    "other columns": (
        lambda d: (d / "severity.csv").write_text("Image,Level\nP000.jpg,MILD\n"),
        "no column Name, Severity (columns: Image, Level)",
    ),
    "two files of one name": (
        lambda d: write_gray(d / "N" / "N000.png", np.eye(8)),
        "N/N000.png, column image_id: 'N000': duplicate",
    ),
    "the same picture in both": (
        lambda d: (d / "N" / "N000.jpg").write_bytes((d / "P" / "P000.jpg").read_bytes()),
        "P/P000.jpg, column label: P000 (P) is the same picture as N000 (N) in N/N000.jpg",
    ),
}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_bad_covidgr_layouts(kind, tmp_path):
    spoil, message = LAYOUTS[kind]
    spoil(covidgr_tree(tmp_path))
    with pytest.raises(CohortError) as caught:
        load_cohort(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_images_are_counted(tmp_path):
    for number, label in enumerate("NNPP"):
        write_gray(tmp_path / label / f"{number}.png", np.random.default_rng(number).random((40, 40)))
    (tmp_path / "severity.csv").write_text("Name,Severity\n2.png,Mild\n3.png,Severe\n")
    assert registry.left_out(load_cohort(tmp_path)) == []
    (tmp_path / "N" / "notes.txt").write_text("read me")
    (tmp_path / "P" / ".DS_Store").write_text("x")
    (tmp_path / "P" / "table.xls").write_text("x")
    said = registry.left_out(load_cohort(tmp_path))
    assert said == [
        f"left out: 1 .txt in {tmp_path / 'N'}",
        f"left out: 1 .xls in {tmp_path / 'P'}",
        f"left out: 1 hidden in {tmp_path / 'P'}",
    ]
    asked = crossval.study_of(str(tmp_path), tmp_path / "runs", profile="smoke")
    assert sum(asked.notes["left_out"].values()) == 3
