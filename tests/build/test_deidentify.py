"""De-identification: what no rule names goes, at any depth, and what science needs stays."""

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from sdnet_lib.build import deidentify
from sdnet_lib.build.benchmark import run

SALT = b"a salt of some bytes"
NAME = "Zylinski^Agnieszka"
# a value that could name somebody, for each kind of value that can hold text
TEXTS = {
    "PN": NAME,
    "UI": "1.2.3.4.5",
    "DA": "20200314",
    "DT": "20200314101112",
    "AS": "045Y",
    "UR": "http://zylinski.example",
}
TEXTS |= dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "AE"), "Zylinski")
TEXTS |= {"CS": "ZYLINSKI", "DS": "7", "IS": "7", "TM": "101112"}


def film(**tags):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2.3.4"
    data.PatientID, data.PatientName = "Q77123", NAME
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def text_of(data):
    return f"{data}".casefold()


def written(data, tmp_path, image=None):
    image = np.linspace(0, 1, 12).reshape(3, 4) if image is None else image
    deidentify.write(data, image, tmp_path / "a.dcm", SALT, "Q77123", text_searched=True)
    return dcmread(tmp_path / "a.dcm")


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_no_attribute_of_the_standard_lets_a_name_an_id_or_a_date_through(kind):
    for number, entry in DicomDictionary.items():
        if entry[0] != kind or not entry[4] or Tag(number).group < 8:
            continue
        for data in (film(), film()):
            data.add_new(number, kind, TEXTS[kind])
            made = deidentify.cleaned(data, SALT, "Q77123")
            for hidden in ("zylinski", "q77123", "20200314", "1.2.3.4"):
                assert hidden not in text_of(made), entry[4]


def test_the_same_holds_within_sequences_of_every_kind():
    for number, entry in DicomDictionary.items():
        if entry[0] == "SQ" and entry[4]:
            inner, middle = film(CodeMeaning=f"of {NAME}", PatientComments="Zylinski"), Dataset()
            middle.ProcedureCodeSequence, middle.ReferencedImageSequence = (
                Sequence([inner]),
                Sequence([film()]),
            )
            data = film()
            data.add_new(number, "SQ", Sequence([middle]))
            made = text_of(deidentify.cleaned(data, SALT, "Q77123"))
            assert "zylinski" not in made and "q77123" not in made and "1.2.3.4" not in made, entry[4]


def test_private_and_unknown_attributes_go_whatever_they_hold():
    data = film()
    data.private_block(0x0019, "VENDOR", create=True).add_new(1, "DS", "12")
    data.add_new(0x00180003, "UN", b"Zylinski")
    made = deidentify.cleaned(data, SALT, "Q77123")
    assert not [tag for tag in list(made.keys()) if tag.is_private or tag == 0x00180003]


def test_what_the_file_says_of_a_value_does_not_count():
    data = film()
    data.add_new(0x00081030, "CS", "ZYLINSKI")  # StudyDescription, LO by the dictionary
    assert "StudyDescription" not in deidentify.cleaned(data, SALT, "Q77123")


def test_text_that_may_stay_goes_if_it_names_somebody_of_the_header():
    made = deidentify.cleaned(film(Manufacturer="Acme", ManufacturerModelName="of Zylinski"), SALT, "Q77123")
    assert made.Manufacturer == "Acme" and "ManufacturerModelName" not in made


def test_dates_of_a_patient_move_together_and_ages_stop_at_90():
    made = deidentify.cleaned(
        film(
            StudyDate="20200301",
            AcquisitionDate="20200314",
            AcquisitionDateTime="20200314101112.5",
            PatientAge="094Y",
        ),
        SALT,
        "Q77123",
    )
    assert int(made.AcquisitionDate) != 20200314 and made.PatientAge == "090Y"
    days = np.datetime64(_day(made.AcquisitionDate)) - np.datetime64(_day(made.StudyDate))
    assert days.astype(int) == 13 and made.AcquisitionDateTime == f"{made.AcquisitionDate}101112.5"
    other = deidentify.cleaned(film(StudyDate="20200301"), SALT, "Q9")
    assert other.StudyDate != made.StudyDate


def _day(date):
    return f"{date[:4]}-{date[4:6]}-{date[6:]}"


@pytest.mark.parametrize("date", ["20201332", "yesterday", "0000", "20200314-20200316"])
def test_a_date_that_is_none_goes(date):
    data = film()
    data.add_new(0x00080020, "DA", "")
    data["StudyDate"]._value = date
    assert date not in text_of(deidentify.cleaned(data, SALT, "Q77123"))


def test_uids_map_one_to_one_also_in_sequences_and_in_the_meta_data(tmp_path):
    earlier = Dataset()
    earlier.ReferencedSOPInstanceUID = "1.2.3.4"
    made = written(film(ReferencedImageSequence=Sequence([earlier])), tmp_path)
    assert made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == made.SOPInstanceUID
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID != "1.2.3.4"
    assert uid.UID(made.SOPInstanceUID).is_valid and made.SOPClassUID == film().SOPClassUID


def test_the_written_file_says_what_was_done_and_holds_the_image(tmp_path):
    image = np.linspace(0, 1, 12).reshape(3, 4)
    made = written(film(KVP="125", WindowCenter="9", NumberOfFrames="3"), tmp_path, image)
    assert np.abs(made.pixel_array / 4095 - image).max() < 1e-3
    assert made.KVP == 125 and "WindowCenter" not in made and made.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in made.DeidentificationMethodCodeSequence][0::4] == ["113100", "113101"]
    deidentify.write(film(), image, tmp_path / "b.dcm", SALT, "Q77123", text_searched=False)
    other = dcmread(tmp_path / "b.dcm")
    assert "113101" not in str(other) and "BurnedInAnnotation" not in other
    assert (tmp_path / "a.dcm").read_bytes()[:128] == b"\0" * 128


def test_every_rule_names_an_attribute_or_a_kind_of_value():
    known = {keyword_for_tag(number) for number in DicomDictionary}
    kinds = {f"VR {entry[0]}" for entry in DicomDictionary.values()}
    assert set(deidentify.rules()) <= known | kinds


def test_the_benchmark_finds_every_action_right_and_nothing_left(tmp_path):
    actions, left = run(tmp_path, patients=8, seed=3)
    assert actions.at["all", "total"] > 500
    assert (actions["right"] == actions["total"]).all() and left == []


def test_the_benchmark_finds_what_a_wrong_rule_leaves(tmp_path, monkeypatch):
    wrong = deidentify.rules() | {
        "OperatorsName": "keep",
        "KVP": "remove",
        "SOPInstanceUID": "remove",
        "StudyDate": "keep",
    }
    monkeypatch.setattr(deidentify, "rules", lambda: wrong)
    monkeypatch.setattr(deidentify, "_kept", lambda value, kind, traces: value)
    actions, left = run_without_files(tmp_path)
    assert (actions["right"] < actions["total"]).all() and any("Abernathy^Percival" in one for one in left)


def run_without_files(folder):
    """Score cleaned headers that could not be written for want of a SOPInstanceUID."""
    from sdnet_lib.build.archive import read_header
    from sdnet_lib.build.benchmark import score
    from sdnet_lib.phantom import archive

    planted = archive.write(folder, 4, 3, 64)
    made = {}
    for name in planted["file"].unique():
        data = read_header(folder / archive.FILMS / name)
        made[name] = deidentify.cleaned(data, SALT, data.PatientID)
        made[name].file_meta = FileMetaDataset()
    return score(planted, made)
