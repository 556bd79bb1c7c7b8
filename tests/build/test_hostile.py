"""An archive in which everything goes wrong at once: each film gets its own reason, and sound ones stay."""

import shutil

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import read_gray
from sdnet_lib.phantom import archive
from tests.build.conftest import PROTOCOL, build

LOSSLESS = {
    uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEG2000Lossless: lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", reversible=True),
    uid.JPEG2000: lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", reversible=True),
}
RULES = PROTOCOL._replace(balance=())
DATES = [f"{name}Date" for name in ("Study", "Series", "Acquisition", "Content")]


def stored(data, syntax, encode):
    """Store the pixels of a film in another transfer syntax."""
    pixels = pixel_array(data)
    data.PixelData = encapsulate([encode(np.ascontiguousarray(pixels, np.uint16))])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax


def rle(data):
    data.compress(uid.RLELossless, generate_instance_uid=False)


def read_release(folder, image):
    (file,) = folder.glob(f"[NP]/{image}.png")
    return read_gray(file)


def without(data, names):
    for name in names:
        if name in data:
            delattr(data, name)


def at_another_clock(data):
    """Say the same moments as nine hours later, in a zone that is nine hours ahead."""
    for name in DATES:
        clock = name.replace("Date", "Time")
        then = pd.Timestamp(f"{data[name].value} {data[clock].value}") + pd.Timedelta(hours=9)
        data[name].value, data[clock].value = f"{then:%Y%m%d}", f"{then:%H%M%S}"
    data.TimezoneOffsetFromUTC = "+0900"


def twice(data):
    pixels = pixel_array(data)
    data.NumberOfFrames = 2
    data.PixelData = np.stack([pixels, pixels]).tobytes()
    data["PixelData"].VR = "OW"
    data["PixelData"].is_undefined_length = False
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian


CHANGES = {
    **{
        str(syntax.name): (lambda data, syntax=syntax, encode=encode: stored(data, syntax, encode), "")
        for syntax, encode in LOSSLESS.items()
    },
    "rle": (rle, ""),
    "frames": (twice, "not a plain X-ray"),
    "another clock": (at_another_clock, ""),
    "no date": (lambda data: without(data, DATES), "no time that can be trusted"),
    "a date of its own": (
        lambda data: setattr(data, "AcquisitionDate", "20190101"),
        "no time that can be trusted",
    ),
    "before birth": (
        lambda data: setattr(data, "PatientBirthDate", "20990101"),
        "no time that can be trusted",
    ),
    "lateral": (lambda data: setattr(data, "ViewPosition", "LL"), "view is not PA"),
    "hand": (
        lambda data: setattr(data, "BodyPartExamined", "HAND"),
        "part of the body not in the tags, or contradictory",
    ),
    "no view": (
        lambda data: without(data, ["ViewPosition", "ViewCodeSequence"]),
        "view not in the tags, or contradictory",
    ),
}


def is_plain(file):
    data = dcmread(file, force=True, stop_before_pixels=True)
    return data.file_meta.get("TransferSyntaxUID") == uid.ExplicitVRLittleEndian


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """Return the releases of a sound archive and of the same one spoilt, and which file was spoilt how."""
    folder = tmp_path_factory.mktemp("hostile")
    archive.write(folder / "source", patients=90, seed=4, size=64)
    salt, source = folder / "salt", folder / "source" / archive.FILMS
    sound = build(folder / "source", folder / "sound", salt, RULES).set_index("file")
    shutil.copytree(folder / "source", folder / "spoilt")
    # those whose pixels are read and stored anew come first, and must not be compressed
    released = sorted(sound.index[sound["reason"] == ""], key=lambda file: not is_plain(source / file))
    assert len(released) > len(CHANGES) + 4 and is_plain(source / released[len(LOSSLESS) + 1])
    done = {}
    for (name, (change, _)), file in zip(CHANGES.items(), released, strict=False):
        data = dcmread(source / file, force=True)
        data.ensure_file_meta()
        data.file_meta.TransferSyntaxUID = data.file_meta.get("TransferSyntaxUID", uid.ExplicitVRLittleEndian)
        if name in ("no view", "lateral"):
            without(data, ["ViewCodeSequence"])
        change(data)
        data.save_as(folder / "spoilt" / archive.FILMS / file, enforce_file_format=True)
        done[name] = file
    for name, new_uid in (("same uid", False), ("same picture", True)):
        file, owner = released[-1 - new_uid], released[-3 - new_uid]
        data = dcmread(source / file, force=True)
        data.PatientID = sound.at[owner, "patient_id"]
        if new_uid:
            data.SOPInstanceUID = "2.25.4711"
        copy = folder / "spoilt" / archive.FILMS / f"{name}.dcm"
        data.save_as(copy)
        done[name] = file
    files = build(folder / "spoilt", folder / "release", salt, RULES).set_index("file")
    return sound, files, done, folder


@pytest.mark.parametrize("name", CHANGES)
def test_each_spoilt_film_has_its_reason(spoilt, name):
    _, files, done, _ = spoilt
    assert files.at[done[name], "reason"] == CHANGES[name][1]


def test_a_film_under_two_ids_is_left_out_under_both(spoilt):
    _, files, done, _ = spoilt
    for name, reason in (
        ("same uid", "one film under two patients"),
        ("same picture", "picture filed under two patients"),
    ):
        assert files.at[done[name], "reason"] == files.at[f"{name}.dcm", "reason"] == reason


def test_no_other_film_changed_its_fate(spoilt):
    sound, files, done, _ = spoilt
    touched = {sound.at[file, "patient_id"] for file in done.values()}
    touched |= {files.at[name, "patient_id"] for name in ("same uid.dcm", "same picture.dcm")}
    others = sound[~sound["patient_id"].isin(touched)]
    assert len(others) > 50 and (files.loc[others.index, "reason"] == others["reason"]).all()


def test_what_was_stored_otherwise_looks_the_same(spoilt):
    sound, _, done, folder = spoilt
    for name, (_, reason) in CHANGES.items():
        if not reason:
            image = sound.at[done[name], "image_id"]
            was, now = (read_release(folder / part, image) for part in ("sound", "release"))
            assert np.abs(was - now).max() < 0.005, name


def test_a_patient_whose_result_changes_is_labelled_by_the_day_of_the_film(spoilt, tmp_path):
    sound, _, _, folder = spoilt
    shutil.copytree(folder / "source", tmp_path / "source")
    negative = sound[(sound["reason"] == "") & (sound["label"] == "N")].iloc[:2]
    tests = tmp_path / "source" / archive.PCR
    rows = [
        f"{row.patient_id},{row.taken + pd.Timedelta(hours=hours):%Y-%m-%d %H:%M},positive\n"
        for row, hours in zip(negative.itertuples(), (20, 30), strict=True)
    ]
    tests.write_text(tests.read_text() + "".join(rows))
    build(tmp_path / "source", tmp_path / "release", folder / "salt", RULES)
    labels = read_cohort(tmp_path / "release").set_index("image_id")["label"]
    assert labels[negative["image_id"]].tolist() == ["P", "N"]
