from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdnet_lib.audit import shortcuts
from sdnet_lib.data import images
from sdnet_lib.data.splits import splits

IMAGE_SIZE = 50


def make_cohort(folder, n: int = 40) -> pd.DataFrame:
    """Radiographs of noise with two square lungs; two images per patient."""
    rng, rows = np.random.default_rng(0), []
    for number in range(n):
        image, mask = rng.uniform(0.3, 0.7, (IMAGE_SIZE, IMAGE_SIZE)), np.zeros((IMAGE_SIZE, IMAGE_SIZE))
        mask[10:40, 8:22] = mask[10:40, 28:42] = 1
        names = [str(folder / f"{kind}{number}.png") for kind in ("image", "mask")]
        images.write_gray(names[0], image)
        images.write_gray(names[1], mask)
        rows.append(
            {
                "image_id": f"i{number}",
                "file": names[0],
                "label": "NP"[number // 2 % 2],
                "severity": "",
                "patient_id": f"p{number // 2}",
                "source": "one",
                "view": "PA",
                "lung_mask": names[1],
                "lesion_mask": "",
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> pd.DataFrame:
    return make_cohort(tmp_path_factory.mktemp("cohort"))


def coarse(pixels: np.ndarray) -> np.ndarray:
    """See an image as 25 grey values, instead of a network."""
    return shortcuts.thumbnails(pixels, 5)


def blanked(shortcut: str) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[10:40, 8:22] = mask[10:40, 28:42] = True
    return mask, shortcuts.blank(np.full((1, IMAGE_SIZE, IMAGE_SIZE), 200, np.uint8), mask[None], shortcut)[0]


def test_each_shortcut_hides_more_than_the_one_before():
    hidden = [blanked(shortcut)[1] == 0 for shortcut in shortcuts.IMAGE_SHORTCUTS]
    assert not hidden[0].any()
    for less, more in pairwise(hidden):
        assert more[less].all() and more.sum() > less.sum()


def test_blanking_the_lungs_leaves_no_rim_and_keeps_the_rest():
    mask, image = blanked(shortcuts.LUNGS)
    assert (image[mask] == 0).all() and image[10, 23] in (0, 200) and image[25, 7] == 0
    assert (image[:8] == 200).all() and (image[:, 25] == 200).all()


def test_the_box_covers_what_lies_between_the_lungs():
    _, image = blanked(shortcuts.BOX)
    assert (image[10:40, 8:42] == 0).all() and (image[:8] == 200).all()


def test_the_border_is_the_same_whatever_the_lungs():
    image = blanked(shortcuts.BORDER)[1]
    assert (image == 200).sum() == IMAGE_SIZE**2 - (IMAGE_SIZE - 8) ** 2 and (image[4:-4, 4:-4] == 0).all()


@pytest.mark.parametrize("shortcut", [shortcuts.LUNGS, shortcuts.BOX])
def test_where_no_lungs_are_found_only_the_border_is_kept(shortcut):
    pixels = np.full((1, IMAGE_SIZE, IMAGE_SIZE), 200, np.uint8)
    none = np.zeros((1, IMAGE_SIZE, IMAGE_SIZE), bool)
    assert np.array_equal(
        shortcuts.blank(pixels, none, shortcut), shortcuts.blank(pixels, none, shortcuts.BORDER)
    )
    assert (pixels == 200).all()  # the caller's images are left alone


def test_masks_of_a_synthetic_cohort_are_the_truth(cohort):
    masks = shortcuts.lung_masks(cohort.iloc[:3], IMAGE_SIZE)
    assert masks.shape == (3, IMAGE_SIZE, IMAGE_SIZE) and masks.dtype == bool
    assert masks[0].sum() == pytest.approx(2 * 30 * 14, rel=0.02)


def test_masks_of_any_other_cohort_come_from_the_network(cohort, monkeypatch):
    shape = (IMAGE_SIZE, IMAGE_SIZE)

    def segment(table):
        for row in table.iloc[::-1].to_dict("records"):  # network by network, hence in another order
            yield row, np.zeros(shape), np.full(shape, row["image_id"] == "i1")

    monkeypatch.setattr(shortcuts.segmentation, "segment", segment)
    masks = shortcuts.lung_masks(cohort.drop(columns="lesion_mask").iloc[:3], 10)
    assert list(masks.all((1, 2))) == [False, True, False]


def test_an_image_that_the_network_cannot_read_is_an_error(cohort, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    broken = cohort.drop(columns="lesion_mask").iloc[:1].assign(file=str(tmp_path / "bad.png"))
    with pytest.raises(images.ImageError, match=r"bad\.png"):
        shortcuts.lung_masks(broken, 10)


def test_file_facts(tmp_path):
    Image.new("L", (40, 20), 7).save(tmp_path / "a.png")
    Image.new("RGB", (30, 30), (1, 2, 3)).save(tmp_path / "b.jpg")
    facts = shortcuts.file_facts(pd.DataFrame({"file": [str(tmp_path / "a.png"), str(tmp_path / "b.jpg")]}))
    assert list(facts["aspect"]) == [2, 1] and list(facts["mode_RGB"]) == [0, 1]
    assert list(facts["format_.png"]) == [1, 0]
    assert facts["bytes_per_pixel"][0] == (tmp_path / "a.png").stat().st_size / 800


def test_patient_facts_know_what_is_blank():
    table = pd.DataFrame({"sex": ["F", "M", np.nan], "age": ["61", "50+", ""], "view": ["PA", "PA", "AP"]})
    facts = shortcuts.patient_facts(table)
    assert list(facts["age"]) == [61, -1, -1] and list(facts["no_age"]) == [0, 1, 1]
    assert list(facts["view_AP"]) == [0, 0, 1] and "sex_" in facts
    assert shortcuts.patient_facts(pd.DataFrame({"view": ["PA", "PA"]})) is None


def test_every_image_is_tested_once_by_a_model_that_has_not_seen_its_patient(cohort):
    seen = []

    class Spy(type(shortcuts.LINEAR[-1])):
        def fit(self, features, truth):
            seen.append(set(features[:, 1]))
            return super().fit(features, truth)

    patient = pd.factorize(cohort["patient_id"])[0]
    features = np.stack([cohort["label"] == "P", patient], axis=1).astype(float)
    parts = splits(cohort, 1, 4)
    table = shortcuts.cross_validate(cohort, features, parts, Spy())
    assert sorted(table["image_id"]) == sorted(cohort["image_id"])
    for part, patients in zip(parts, seen, strict=True):
        assert not patients & set(patient[part.test])


def test_a_giveaway_is_found_and_noise_is_not(cohort):
    parts, rng = splits(cohort, 1, 4), np.random.default_rng(0)
    noise = rng.normal(size=(len(cohort), 5))
    giveaway = noise + 5 * (cohort["label"] == "P").to_numpy()[:, None]
    assert shortcuts.scores(shortcuts.cross_validate(cohort, giveaway, parts))["auc"] == 1
    assert 0.2 < shortcuts.scores(shortcuts.cross_validate(cohort, noise, parts))["auc"] < 0.8


def table_of(labels: str, prob_P: list[float], patients: str | None = None) -> pd.DataFrame:
    ids = [str(number) for number in range(len(labels))]
    cohort = pd.DataFrame({"image_id": ids, "patient_id": list(patients or ids), "label": list(labels)})
    return shortcuts.predictions(cohort.assign(severity=""), prob_P)


def test_scores_of_a_case_worked_by_hand():
    found = shortcuts.scores(table_of("PPPNN", [0.9, 0.8, 0.2, 0.1, 0.6]))
    assert (found["images"], found["positives"], found["majority"]) == (5, 3, 0.6)
    assert found["accuracy"] == 0.6
    assert found["sensitivity"] == pytest.approx(2 / 3) and found["specificity"] == 0.5
    assert found["auc"] == pytest.approx(5 / 6)
    assert found["auc_low"] <= found["auc"] <= found["auc_high"] == 1


def test_with_one_class_there_is_no_area():
    found = shortcuts.scores(table_of("NN", [0.1, 0.7]))
    assert np.isnan([found[name] for name in ("auc", "auc_low", "auc_high", "sensitivity")]).all()
    assert found["specificity"] == 0.5


def test_images_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(0)
    labels = "NP" * 60
    prob = list(rng.normal(0.5, 0.2, 120) + 0.1 * np.array([label == "P" for label in labels]))
    groups = [chr(65 + 2 * (number // 12) + number % 2) for number in range(120)]
    alone, grouped = (shortcuts.scores(table_of(labels, prob, who)) for who in (None, groups))
    assert grouped["patients"] == 20 and alone["auc"] == grouped["auc"]
    assert grouped["auc_high"] - grouped["auc_low"] != alone["auc_high"] - alone["auc_low"]


def test_accuracy_varies_over_folds_as_pandas_says():
    table = table_of("PNPN", [0.9, 0.1, 0.2, 0.3]).assign(fold=[0, 0, 1, 1])
    assert shortcuts.scores(table)["accuracy_sd"] == pytest.approx(np.std([1.0, 0.5], ddof=1))


def test_an_audit_finds_the_marker_in_the_border(cohort, tmp_path):
    marked = cohort.copy()
    for row in marked.itertuples():
        image = images.read_gray(row.file)
        image[:4, :12] = 1.0 if row.label == "P" else 0.0
        images.write_gray(tmp_path / f"{row.image_id}.png", image)
    marked["file"] = [str(tmp_path / f"{name}.png") for name in marked["image_id"]]
    clean, biased = (
        shortcuts.audit(table, image_size=IMAGE_SIZE, folds=4, look=coarse).set_index("shortcut")["auc"]
        for table in (cohort, marked)
    )
    assert list(clean.index) == [
        *shortcuts.IMAGE_SHORTCUTS,
        shortcuts.THUMBNAIL,
        shortcuts.FILE,
    ]  # all views are PA
    assert min(biased[shortcuts.BORDER], biased[shortcuts.LUNGS], biased[shortcuts.BOX]) > 0.95
    assert clean[shortcuts.BORDER] < 0.85


def test_unseen_leaves_out_patients_of_the_training_part(cohort):
    left = shortcuts.unseen(cohort, cohort.iloc[[0, 5]])
    assert set(cohort["patient_id"]) - set(left["patient_id"]) == {"p0", "p2"}
    assert len(left) == len(cohort) - 4 and list(left.index) == list(range(len(left)))


@pytest.mark.parametrize(
    "dataset, expected",
    [
        ("phantom", ("phantom-biased", "phantom")),
        ("covidx-mini", ("covidx-mini", "actualmed")),
        ("somewhere/cohort.csv", ("somewhere/cohort.csv", "somewhere/cohort.csv")),
    ],
)
def test_pairs(dataset, expected):
    assert shortcuts.pair(dataset) == expected


def test_tables_1_and_2_of_the_paper():
    covidx, literature = shortcuts.published(1), shortcuts.published(2)
    assert covidx.set_index("version").loc["COVIDx 1.0"].tolist() == [1583, 4273, 76]
    assert len(literature) == 7 and literature["sensitivity"].max() == 98.66
    assert literature.loc[literature["model"] == "COVID-CAPS", "accuracy"].item() == 95.7
