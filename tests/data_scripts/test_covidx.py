"""COVIDx assembled from its parts, and its rules and counts beside the lists."""

import pytest

from data_scripts import covidx, registry
from data_scripts.covidx_rules import VERSIONS, table_1
from data_scripts.registry import load_cohort
from sdnet_lib.files import InputError
from tests.data_scripts import test_rsna_pneumonia
from tests.data_scripts.publishers import put, refusal
from tests.data_scripts.served import local_copy

TRAIN = """23 a.jpg COVID-19
24 gone.jpg COVID-19
3 sars.jpg pneumonia
n-1 n-1.png normal
o-1 o-1.png pneumonia
o-1 o-1.png pneumonia
n-9 n-9.png normal
COVID-00001 COVID-00001.jpg COVID-19
"""
TEST = """19 b c.jpg COVID-19
n-2 n-2.png normal
o-2 o-2.png pneumonia
"""
COLLECTION = [  # patient, group, finding, view, file
    ("23", "cxr-23", "COVID-19", "PA", "a.jpg"),
    ("19", "cxr-19", "COVID-19, ARDS", "AP", "b_c.jpg"),
    ("3", "cxr-19", "SARS", "PA", "sars.jpg"),
    ("50", "cxr-50", "COVID-19", "PA", "later.jpg"),
    ("51", "cxr-51", "No Finding", "PA", "none.jpg"),
]
RSNA = {
    "n-1": "Normal",
    "n-2": "Normal",
    "o-1": "Lung Opacity",
    "o-2": "Lung Opacity",
    "x-1": "No Lung Opacity / Not Normal",
}


def lists(root, train=TRAIN, test=TEST, tested=("n-2\n", "o-2\no-7\n")):
    """Write the lists of both releases; a file name with a blank is listed with an underscore."""
    for name in ("COVIDx", "COVIDx2"):
        put(root / "covidx" / f"train_{name}.txt", train)
        put(root / "covidx" / f"test_{name}.txt", test.replace("b c", "b_c"))
    for name, patients in zip(covidx.TESTED, tested, strict=True):
        put(root / "covidx" / name, patients)


def parts(root, rsna=True):
    columns = ("patient_id", "group_id", "finding", "view", "original_file")
    rows = [dict(zip(columns, row, strict=True)) | {"image_id": row[-1][:-4]} for row in COLLECTION]
    local_copy(root, "cxr_collection", rows)
    one = ("COVID-00001", "fig1-1", "COVID-19", "", "COVID-00001.jpg")
    local_copy(
        root, "figure1", [dict(zip(columns, one, strict=True)) | {"image_id": "COVID-00001", "label": "P"}]
    )
    if rsna:
        test_rsna_pneumonia.tree(root, RSNA)


refused = refusal("covidx2")


def test_both_releases_from_all_parts(tmp_path):
    lists(tmp_path)
    parts(tmp_path)
    cohort = load_cohort("covidx2", data=tmp_path).set_index("image_id")
    assert dict(cohort["label"]) == {"a": "P", "n-1": "N", "COVID-00001": "P", "b_c": "P", "n-2": "N"}
    assert dict(cohort["split"])["b_c"] == "test" and dict(cohort["split"])["COVID-00001"] == "train"
    assert cohort.loc["b_c", "patient_id"] == "cxr-19" and cohort.loc["n-1", "file"].endswith("n-1.dcm")
    assert set(cohort["source"]) == {"COVID-19 Image Data Collection", "Figure 1", "RSNA Pneumonia"}
    pneumonia = load_cohort("covidx2-pneumonia", data=tmp_path).set_index("image_id")
    assert dict(pneumonia["label"]) == {"sars": "P", "n-1": "N", "o-1": "P", "n-2": "N", "o-2": "P"}
    said = registry.check("covidx2", tmp_path).splitlines()
    assert said[0] == "5 images of 5 patients: 2 N, 3 P"
    assert [line for line in said if line.startswith("left out")] == [
        "left out: 3 of the third class, pneumonia",
        "left out: 1 COVID-19 of COVID-19 Image Data Collection, not here",
        "left out: 1 normal of RSNA Pneumonia, not here",
    ]
    assert "lines of the lists that repeat an image: 1" in said
    assert "listed for training and test, under two ids: patient cxr-19" in said
    asked = "published test patients of RSNA Pneumonia: 3"
    assert f"{asked}, 2 in the test list, 0 in the training list, 1 in no list" in said
    rules = next(line for line in said if line.startswith("by the published rules"))
    assert "8 of the 8 listed images that are here get the listed class and side, 0 another, 0 none" in rules
    assert rules.endswith("1 that are not listed would be taken")


def test_the_first_release_takes_other_views_and_parts(tmp_path):
    lists(tmp_path)
    parts(tmp_path)
    said = registry.check("covidx1", tmp_path)
    assert (
        "6 of the 8 listed images that are here" in said and "2 none (1 for their view in this copy)" in said
    )


def test_without_rsnas_images_and_without_figure_1(tmp_path):
    lists(tmp_path)
    parts(tmp_path, rsna=False)
    cohort = load_cohort("covidx1", data=tmp_path)
    assert set(cohort["label"]) == {"P"} and len(cohort) == 3
    assert "left out: 3 normal of RSNA Pneumonia, not here" in registry.left_out(cohort)
    (tmp_path / "figure1" / "metadata.csv").unlink()
    said = registry.left_out(load_cohort("covidx1", data=tmp_path))
    assert "left out: 1 COVID-19 of Figure 1, not here" in said


def test_images_whose_file_has_gone_are_not_here(tmp_path):
    lists(tmp_path)
    parts(tmp_path, rsna=False)
    for file in (tmp_path / "cxr_collection" / "images").iterdir():
        file.unlink()
    said = registry.left_out(load_cohort("covidx2", data=tmp_path))
    assert "left out: 3 COVID-19 of COVID-19 Image Data Collection, not here" in said
    (tmp_path / "figure1" / "metadata.csv").unlink()
    refused(tmp_path, "none of the listed normal or COVID-19 images is here")


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"train": TRAIN + "a.jpg COVID-19\n"},
            "train_COVIDx2.txt, line 9: 'a.jpg COVID-19' is not patient, file",
        ),
        (
            {"train": TRAIN + "1 z.png Normal\n"},
            "train_COVIDx2.txt, line 9: 'Normal' is not one of normal, pneu",
        ),
        ({"train": TRAIN + "23 a.jpg pneumonia\n"}, "image 'a.jpg' is in COVID-19 and pneumonia"),
        ({"test": TEST + "23 d.jpg COVID-19\n"}, "patient '23' is in train and test"),
        (
            {"test": TEST + "n-3 n-3.png normal\n"},
            "'n-3' is none of the published test patients in rsna_test_",
        ),
        ({"train": "\n"}, "train_COVIDx2.txt: empty list"),
        ({"tested": ("n-2\n", b"\xff\xfe\x00")}, "rsna_test_patients_pneumonia.txt: not a text in UTF-8"),
    ],
)
def test_lists_that_cannot_be(options, message, tmp_path):
    lists(tmp_path, **options)
    parts(tmp_path, rsna=False)
    refused(tmp_path, message)


def test_a_part_that_lacks_a_column(tmp_path):
    lists(tmp_path)
    parts(tmp_path, rsna=False)
    table = tmp_path / "cxr_collection" / "metadata.csv"
    table.write_text(table.read_text().replace("original_file", "original"))
    refused(tmp_path, "cxr_collection/metadata.csv: no column original_file")


def test_what_a_program_cannot_fetch(tmp_path):
    parts(tmp_path, rsna=False)
    with pytest.raises(
        InputError, match="covidx1 lacks its lists. The lists of both releases are in the history"
    ):
        registry.get("covidx1", tmp_path)


def test_the_lists_beside_table_1_of_the_paper(tmp_path):
    lists(tmp_path)
    table = covidx.listed(tmp_path, VERSIONS["covidx1"])
    ours, paper = table_1(table.drop_duplicates("name"), "covidx1")
    assert ours == {"normal": 3, "pneumonia": 3, "COVID-19": 4}
    assert paper == {"normal": 1583, "pneumonia": 4273, "COVID-19": 76}
    assert table_1(table, "covidx2")[1] == {"normal": 8066, "pneumonia": 8614, "COVID-19": 190}
