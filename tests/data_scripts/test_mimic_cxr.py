"""MIMIC-CXR-JPG in the publisher's layout, sound and spoilt."""

import gzip

import pytest

from data_scripts import mimic_cxr, registry
from data_scripts.registry import load_cohort
from sdnet_lib.data.images import ImageError
from sdnet_lib.files import InputError
from tests.data_scripts.publishers import put, put_table, refusal
from tests.data_scripts.served import picture

IMAGES = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "StudyDate",
)
LABELS = ("subject_id", "study_id", "Atelectasis", "No Finding", "Pneumonia", "Support Devices")
FILMS = [
    ("02aa-1", "10000032", "50414267", "CHEST (PA AND LAT)", "PA", "21800506"),
    ("02aa-2", "10000032", "50414267", "CHEST (PA AND LAT)", "LATERAL", "21800506"),
    ("02aa-3", "10000032", "53189527", "CHEST (PORTABLE AP)", "AP", "21800626"),
    ("02aa-4", "11000764", "57375967", "CHEST (PA AND LAT)", "PA", "21321015"),
    ("02aa-5", "11000764", "50771383", "CHEST (PA AND LAT)", "PA", "21321016"),
    ("02aa-6", "12000898", "50771384", "", "", "21880803"),
    ("02aa-7", "12000898", "54205396", "CHEST (PA AND LAT)", "PA", "21880803"),
]
STUDIES = [
    ("10000032", "50414267", "", "1.0", "", ""),
    ("10000032", "53189527", "1.0", "", "1.0", ""),
    ("11000764", "57375967", "", "", "-1.0", "1.0"),
    ("12000898", "50771384", "", "1.0", "", ""),
    ("12000898", "54205396", "0.0", "1.0", "0.0", ""),
]


def tree(root, films=FILMS, studies=STUDIES, suffix=".csv.gz"):
    folder = root / mimic_cxr.FOLDER
    put_table(folder / f"mimic-cxr-2.0.0-metadata{suffix}", films, IMAGES)
    put_table(folder / f"mimic-cxr-2.0.0-chexpert{suffix}", studies, LABELS)
    for number, (image, subject, study, *_) in enumerate(FILMS):
        put(folder / f"files/p{subject[:2]}/p{subject}/s{study}/{image}.jpg", picture(number, ".jpg"))
    return folder


refused = refusal("mimic-cxr")


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv"])
def test_frontal_images_with_a_sure_label_are_read(suffix, tmp_path):
    tree(tmp_path, suffix=suffix)
    cohort = load_cohort("mimic-cxr", data=tmp_path).set_index("image_id")
    assert dict(cohort["label"]) == {"02aa-1": "N", "02aa-3": "P", "02aa-7": "N"}
    assert list(cohort["patient_id"]) == ["mimic-10000032", "mimic-10000032", "mimic-12000898"]
    assert list(cohort["view"]) == ["PA", "AP", "PA"] and cohort.loc["02aa-1", "date"] == "21800506"
    said = registry.check("mimic-cxr", tmp_path).splitlines()
    assert said[0] == "3 images of 2 patients: 2 N, 1 P" and not any("published set" in line for line in said)
    assert [line for line in said if line.startswith("left out")] == [
        "left out: 2 lateral, or of unknown view",
        "left out: 1 frontal, of studies without a row in mimic-cxr-2.0.0-chexpert.csv",
        "left out: 1 frontal, with other findings, uncertain ones, or both labels",
    ]
    assert "patients with images of both labels: 1" in said


def test_the_publishers_split_is_kept(tmp_path):
    folder = tree(tmp_path)
    rows = [
        (image, study, subject, "test" if image == "02aa-7" else "train")
        for image, subject, study, *_ in FILMS
    ]
    put_table(
        folder / "mimic-cxr-2.0.0-split.csv.gz", rows[1:], ("dicom_id", "study_id", "subject_id", "split")
    )
    assert list(load_cohort("mimic-cxr", data=tmp_path)["split"]) == ["", "train", "test"]


def test_a_part_of_the_files_is_enough(tmp_path):
    folder = tree(tmp_path)
    (folder / "files/p12/p12000898/s54205396/02aa-7.jpg").unlink()
    cohort = load_cohort("mimic-cxr", data=tmp_path)
    assert len(cohort) == 2 and "left out: 1 with a label, but no file here" in registry.left_out(cohort)
    (folder / "files").rename(folder / "physionet")
    refused(tmp_path, "none of the 3 images that it names with a label is here, such as ")


def test_rows_that_repeat_or_contradict(tmp_path):
    tree(tmp_path, [*FILMS, FILMS[0]], [*STUDIES, STUDIES[0]])
    assert len(load_cohort("mimic-cxr", data=tmp_path)) == 3
    tree(tmp_path, [*FILMS, ("02aa-1", *FILMS[1][1:])])
    refused(tmp_path, "row 9, column dicom_id: '02aa-1' has two rows that contradict each other")
    tree(tmp_path, studies=[*STUDIES, (*STUDIES[0][:3], "", "1.0", "")])
    refused(tmp_path, "row 7, column study_id: '50414267' has two rows that contradict each other")
    tree(tmp_path, studies=[(*STUDIES[0][:4], "maybe", ""), *STUDIES[1:]])
    refused(tmp_path, "row 2, column Pneumonia: 'maybe' is not one of '', '1.0'")


@pytest.mark.parametrize("column", ["dicom_id", "subject_id", "study_id", "ViewPosition"])
def test_a_column_is_missing(column, tmp_path):
    folder = tree(tmp_path)
    place = IMAGES.index(column)
    rows, names = (
        [row[:place] + row[place + 1 :] for row in FILMS],
        [name for name in IMAGES if name != column],
    )
    put_table(folder / "mimic-cxr-2.0.0-metadata.csv.gz", rows, names)
    refused(tmp_path, f"mimic-cxr-2.0.0-metadata.csv.gz: no column {column} (columns: ")


def test_damaged_files(tmp_path):
    folder = tree(tmp_path)
    (folder / "files/p12/p12000898/s54205396/02aa-7.jpg").write_bytes(picture(6, ".jpg")[:100])
    with pytest.raises(ImageError, match=r"02aa-7\.jpg"):
        registry.check("mimic-cxr", tmp_path)
    table = folder / "mimic-cxr-2.0.0-chexpert.csv.gz"
    packed = table.read_bytes()
    table.write_bytes(gzip.decompress(packed))
    refused(tmp_path, "chexpert.csv.gz: not packed by gzip; if it is unpacked, take .gz off its name")
    table.write_bytes(packed[:-20])
    refused(tmp_path, "chexpert.csv.gz: cannot be read")
    table.unlink()
    refused(tmp_path, "no mimic-cxr-2.0.0-chexpert.csv in it, nor the same with .gz")


def test_how_to_get_access(tmp_path):
    with pytest.raises(InputError, match=r"Become a credentialed user of physionet\.org.*mimic_cxr$"):
        registry.get("mimic-cxr", tmp_path)
