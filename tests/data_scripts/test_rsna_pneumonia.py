"""RSNA Pneumonia in the publisher's layout, sound and spoilt."""

import pytest

from data_scripts import registry, rsna_pneumonia
from data_scripts.registry import load_cohort
from sdnet_lib.data import images
from sdnet_lib.data.cohort import CohortError
from sdnet_lib.data.images import ImageError
from sdnet_lib.files import InputError
from tests.data_scripts.publishers import film, put, put_table, refusal

BOXES = ("patientId", "x", "y", "width", "height", "Target")
CLASSES = ("patientId", "class")
FOUND = {"a-0": "Normal", "a-1": "Lung Opacity", "a-2": "No Lung Opacity / Not Normal", "a-3": "Normal"}


def tree(root, classes=FOUND, boxes=None, **options):
    """Write the set: an image with pneumonia has a row in both tables for each of its two boxes."""
    folder = root / rsna_pneumonia.FOLDER
    twice = [name for name, found in classes.items() for _ in range(1 + (found == "Lung Opacity"))]
    rows = [
        (name, *("9.5", "1", "2", str(n)), "1") if classes[name] == "Lung Opacity" else (name, *[""] * 4, "0")
        for n, name in enumerate(twice)
    ]
    put_table(folder / rsna_pneumonia.BOXES, boxes or rows, BOXES, **options)
    put_table(folder / rsna_pneumonia.CLASSES, [(name, classes[name]) for name in twice], CLASSES, **options)
    for number, name in enumerate(classes):
        put(folder / rsna_pneumonia.IMAGES / f"{name}.dcm", film(number))
    return folder


refused = refusal("rsna-pneumonia")


def test_two_of_its_three_classes_are_read(tmp_path):
    folder = tree(tmp_path)
    put(folder / rsna_pneumonia.IMAGES / "stranger.dcm", film(9))
    cohort = load_cohort("rsna-pneumonia", data=tmp_path).set_index("image_id")
    assert dict(cohort["label"]) == {"a-0": "N", "a-1": "P", "a-3": "N"}
    assert images.read_gray(cohort.loc["a-1", "file"]).shape == (10, 12)
    said = registry.check("rsna-pneumonia", tmp_path)
    assert said.startswith("3 images of 3 patients: 2 N, 1 P\nthe published set has 8851 N, 6012 P")
    assert "left out: 1 of the class No Lung Opacity / Not Normal\n" in said
    assert "left out: 1 in stage_2_train_images that no row names\nall images readable" in said


def test_no_image_is_opened_when_it_is_read(tmp_path):
    folder = tree(tmp_path)
    (folder / rsna_pneumonia.IMAGES / "a-3.dcm").write_bytes(film(0)[:300])
    assert len(load_cohort("rsna-pneumonia", data=tmp_path)) == 3
    with pytest.raises(ImageError, match=r"a-3\.dcm"):
        registry.check("rsna-pneumonia", tmp_path)


def test_images_that_are_not_here_are_counted(tmp_path):
    folder = tree(tmp_path)
    (folder / rsna_pneumonia.IMAGES / "a-3.dcm").unlink()
    cohort = load_cohort("rsna-pneumonia", data=tmp_path)
    assert "left out: 1 with a label, but no file here" in registry.left_out(cohort)
    for file in (folder / rsna_pneumonia.IMAGES).iterdir():
        file.unlink()
    refused(tmp_path, "none of the 3 images that it names with a label is here, such as ")


@pytest.mark.parametrize("options", [{"encoding": "utf-16"}, {"encoding": "utf-8-sig"}, {"sep": ";"}])
def test_tables_that_a_spreadsheet_saved_again(options, tmp_path):
    tree(tmp_path, **options)
    assert list(load_cohort("rsna-pneumonia", data=tmp_path)["label"]) == ["N", "P", "N"]


def test_the_same_picture_under_both_labels_is_found_by_check(tmp_path):
    folder = tree(tmp_path)
    put(folder / rsna_pneumonia.IMAGES / "a-1.dcm", film(0))
    with pytest.raises(CohortError, match=r"a-1.*a-1 \(P\) is the same picture as a-0 \(N\)"):
        registry.check("rsna-pneumonia", tmp_path)


def test_tables_that_do_not_agree(tmp_path):
    boxes = [(name, *[""] * 4, "0") for name in FOUND]
    tree(tmp_path, boxes=boxes)
    refused(tmp_path, "patientId 'a-1' has Target 0, in stage_2_detailed_class_info.csv it is 'Lung Opacity'")
    tree(tmp_path, boxes=[*boxes[:1], ("a-1", *"1234", "1"), *boxes[2:], ("a-1", *[""] * 4, "0")])
    refused(tmp_path, "stage_2_train_labels.csv, row 6, column patientId: 'a-1' has two rows that contradict")
    tree(tmp_path, boxes=[*boxes[:1], ("a-1", *"1234", "1"), *boxes[2:3]])
    refused(tmp_path, "no row for patientId 'a-3' of stage_2_detailed_class_info.csv")


def test_tables_of_another_form(tmp_path):
    folder = tree(tmp_path, boxes=[("a-0", *"1234", "yes")])
    refused(tmp_path, "row 2, column Target: 'yes' is not one of '0', '1'")
    tree(tmp_path, boxes=[("", *"1234", "0")])
    refused(tmp_path, "row 2, column patientId: empty")
    tree(tmp_path, classes={"a-0": "Healthy"})
    refused(tmp_path, "column class: 'Healthy' is not one of 'Normal'")
    tree(tmp_path)
    put(folder / rsna_pneumonia.BOXES, "patientId,Target\na-0,0\na-1\n")
    refused(tmp_path, "row 3: 1 cells under 2 columns")
    put(folder / rsna_pneumonia.BOXES, "patientId,Target\na-0,0,7\na-1,1,8\n")
    refused(tmp_path, "row 2: 3 cells under 2 columns")
    put(folder / rsna_pneumonia.BOXES, 'patientId,Target\na-0,0\na-1,"1' + "0" * 140_000)
    refused(tmp_path, "cannot be read as CSV")
    put(folder / rsna_pneumonia.BOXES, "patientId,x\na-0,0\n")
    refused(tmp_path, "no column Target (columns: patientId, x)")
    put(folder / rsna_pneumonia.BOXES, " \n")
    refused(tmp_path, "stage_2_train_labels.csv: empty file")
    (folder / rsna_pneumonia.BOXES).unlink()
    refused(tmp_path, "no stage_2_train_labels.csv in it, nor the same with .gz")


def test_how_to_get_it(tmp_path):
    with pytest.raises(
        InputError, match="rsna-pneumonia cannot be fetched by a program. Join .*kaggle.com/c/rsna"
    ):
        registry.get("rsna-pneumonia", tmp_path)
    tree(tmp_path)
    assert "cite: Shih et al. 2019" in registry.get("rsna-pneumonia", tmp_path)
