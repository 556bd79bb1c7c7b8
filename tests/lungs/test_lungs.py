import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import read_gray, write_gray
from sdnet_lib.files import InputError
from sdnet_lib.lungs import card, evaluation, training, unet
from sdnet_lib.lungs import crop as lungs
from sdnet_lib.phantom import radiograph


@pytest.fixture(scope="session")
def model():
    return lungs.load()


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    return radiograph.homogeneous(6, 5, tmp_path_factory.mktemp("phantoms") / "cohort", size=200, workers=1)


def rectangle_mask(height, width, left, top, right, bottom):
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


# --- from mask to box ---


def test_the_box_adds_a_share_of_its_own_sides():
    mask = rectangle_mask(400, 500, left=100, top=50, right=300, bottom=250)
    assert lungs.bounding_box(mask, 0) == (100, 50, 300, 250)
    assert lungs.bounding_box(mask) == (95, 45, 305, 255)
    assert lungs.bounding_box(mask, 0.1) == (80, 30, 320, 270)


def test_the_box_stays_inside_the_image():
    assert lungs.bounding_box(rectangle_mask(200, 200, 1, 2, 200, 199)) == (0, 0, 200, 200)


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((100, 100), bool),
        rectangle_mask(100, 100, 40, 40, 60, 60),  # 4 % of the image
        rectangle_mask(100, 100, 0, 40, 100, 59),  # too low
        rectangle_mask(100, 100, 40, 0, 59, 100),  # too narrow
    ],
)
def test_what_cannot_be_lungs_has_no_box(mask):
    assert lungs.bounding_box(mask) is None


def test_tidy_keeps_the_two_largest_parts_without_their_holes():
    left = rectangle_mask(100, 100, 10, 10, 40, 80)
    right = rectangle_mask(100, 100, 60, 10, 90, 60)
    hole, third = rectangle_mask(100, 100, 20, 20, 25, 30), rectangle_mask(100, 100, 45, 90, 55, 95)
    assert (lungs.tidy((left | right | third) & ~hole) == (left | right)).all()


def test_tidy_takes_no_speck_for_a_second_lung():
    lung, speck = rectangle_mask(100, 100, 10, 10, 40, 80), rectangle_mask(100, 100, 95, 95, 99, 99)
    assert (lungs.tidy(lung | speck) == lung).all()
    assert not lungs.tidy(np.zeros((9, 9), bool)).any()


# --- the shipped networks ---


@pytest.mark.parametrize("name", lungs.NETWORKS)
def test_each_network_says_which_folds_it_has_not_seen(name):
    with safe_open(unet.WEIGHTS / f"{name}.safetensors", "pt") as stored:
        record = json.loads(stored.metadata()["record"])
    assert tuple(record["unseen_folds"]) == lungs.NETWORKS[name]


def test_every_patient_of_the_training_sets_has_a_network_that_never_saw_them():
    for number in range(200):
        patient = f"CHNCXR_{number:04}_0"
        assert lungs.fold_of(patient) in lungs.NETWORKS[lungs.unseen_network("Shenzhen", patient)]
    assert lungs.unseen_network("another hospital", "CHNCXR_0001_0") == "lungs"


def test_folds_are_the_same_everywhere():
    assert [lungs.fold_of(f"MCUCXR_000{n}_0") for n in (1, 2, 3)] == [
        int(hashlib.sha256(f"MCUCXR_000{n}_0".encode()).hexdigest(), 16) % 5 for n in (1, 2, 3)
    ]


def test_masks_fit_the_lungs_of_phantoms_at_the_size_of_the_image(model):
    patients = [
        radiograph.radiograph(seed, size=300, view=view) for seed in range(3) for view in ("PA", "AP")
    ]
    masks = lungs.lung_masks(model, [patient.image for patient in patients])
    for mask, patient in zip(masks, patients, strict=True):
        assert mask.dtype == bool and mask.shape == patient.image.shape
        assert evaluation.dice(mask, patient.lung_mask) > 0.85


def test_an_image_gets_the_same_mask_alone_and_in_a_batch(model):
    images = [radiograph.radiograph(seed, size=size).image for seed, size in ((1, 128), (2, 300), (3, 200))]
    before = images[0].copy()
    together = lungs.lung_masks(model, images)
    assert all(
        (lungs.lung_mask(model, image) == mask).mean() > 0.999
        for image, mask in zip(images, together, strict=True)
    )
    assert (images[0] == before).all() and lungs.lung_masks(model, []) == []


def test_weights_that_do_not_fit_are_named(tmp_path):
    for content in (None, b"", b"no weights"):
        file = tmp_path / "bad.safetensors"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.safetensors: not the weights"):
            lungs.load(file)


# --- crops of a cohort ---


def test_crops_are_what_the_boxes_say(cohort, tmp_path):
    crops = lungs.crop_cohort(cohort, tmp_path, masks=True)
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    assert list(boxes) == ["image_id", "left", "top", "right", "bottom", "lungs_found"]
    assert list(boxes["image_id"]) == list(crops["image_id"]) == list(cohort["image_id"])
    assert boxes["lungs_found"].all()
    for source, crop, box in zip(cohort.itertuples(), crops.itertuples(), boxes.itertuples(), strict=True):
        where = np.s_[box.top : box.bottom, box.left : box.right]
        assert (read_gray(crop.file) == read_gray(source.file)[where]).all()
        for column in ("lung_mask", "lesion_mask"):
            before, after = (np.asarray(Image.open(getattr(row, column))) > 0 for row in (source, crop))
            assert (before[where] == after).all()
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{source.image_id}.png")) > 0
        assert lungs.bounding_box(mask) == (box.left, box.top, box.right, box.bottom)


def test_the_cohort_of_crops_reads_back_with_all_its_columns(cohort, tmp_path):
    crops = lungs.crop_cohort(cohort, tmp_path)
    again = read_cohort(tmp_path)
    assert set(again) == set(cohort) | {"lungs_found"}
    pd.testing.assert_frame_equal(again[list(crops)], crops, check_dtype=False)
    assert (again["label"] == cohort["label"]).all() and not (tmp_path / "masks").exists()


def test_an_image_without_lungs_is_passed_through_whole(cohort, tmp_path):
    write_gray(tmp_path / "blank.png", np.tile(np.linspace(0.2, 0.6, 120), (90, 1)))
    odd = cohort.iloc[:2].copy()
    odd.loc[odd.index[1], ["file", "lung_mask", "lesion_mask"]] = [str(tmp_path / "blank.png"), "", ""]
    crops = lungs.crop_cohort(odd, tmp_path / "out")
    assert list(crops["lungs_found"]) == [True, False]
    assert (read_gray(crops.loc[1, "file"]) == read_gray(tmp_path / "blank.png")).all()
    box = pd.read_csv(tmp_path / "out" / "boxes.csv").loc[1]
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 120, 90)


def test_bad_files_are_named_and_the_others_cropped(cohort, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    write_gray(tmp_path / "small.png", np.eye(4))
    bad = cohort.copy()
    bad.loc[1, "file"] = str(tmp_path / "broken.png")
    bad.loc[3, "lung_mask"] = str(tmp_path / "small.png")
    with pytest.raises(
        InputError, match=r"2 of 6 images .*(broken\.png.*small\.png|small\.png.*broken\.png)"
    ):
        lungs.crop_cohort(bad, tmp_path / "out")
    assert list(read_cohort(tmp_path / "out")["image_id"]) == list(bad["image_id"].drop([1, 3]))


def test_no_image_of_the_cohort_is_ever_overwritten(cohort):
    folder = cohort.attrs.get("folder") or cohort["file"].iloc[0].rsplit("/images/", 1)[0]
    with pytest.raises(InputError, match="choose another folder"):
        lungs.crop_cohort(cohort, folder)


def test_ids_with_slashes_do_not_leave_the_folder(cohort, tmp_path):
    odd = cohort.iloc[:2].copy()
    odd["image_id"] = ["../../one", "one"]
    crops = lungs.crop_cohort(odd, tmp_path / "out")
    assert {file.rsplit("/", 1)[0] for file in crops["file"]} == {str(tmp_path / "out" / "images")}


def test_an_interruption_leaves_no_table_and_no_half_written_file(cohort, tmp_path, monkeypatch):
    def interrupt(_, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(lungs, "lung_masks", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lungs.crop_cohort(cohort, tmp_path / "out")
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("*.csv"))


# --- measuring ---


def test_boxes_overlap_as_on_paper():
    one, two = (0, 0, 10, 10), (5, 0, 15, 20)
    assert evaluation.overlap(one, two) == 50
    assert evaluation.iou(one, two) == 50 / 250
    assert evaluation.iou(one, one) == 1 and evaluation.iou(one, (10, 0, 20, 10)) == 0


def test_a_comparison_counts_margins_where_it_says_so():
    truth = rectangle_mask(400, 400, 100, 100, 300, 300)
    found = evaluation.compare(rectangle_mask(400, 400, 110, 100, 300, 300), truth)
    assert found["dice"] == pytest.approx(2 * 190 * 200 / (190 * 200 + 200 * 200))
    assert found["coverage"] == pytest.approx(195 / 200)  # the margin of 5 pixels wins half of it back
    assert found["iou_tight"] == pytest.approx(190 / 200)
    assert found["iou"] == pytest.approx(200 / 210)
    whole = evaluation.compare(np.zeros((400, 400), bool), truth)
    assert not whole["lungs_found"] and whole["coverage"] == 1 and whole["iou_tight"] == 0.25


def test_the_card_and_the_results_belong_to_the_shipped_weights():
    results = json.loads((unet.WEIGHTS / "lungs.json").read_text())
    compared = json.loads((unet.WEIGHTS / "compared.json").read_text())
    assert (unet.WEIGHTS / "lungs.md").read_text() == card.card(results, compared)
    for name, entry in results["networks"].items():
        content = (unet.WEIGHTS / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) == entry["bytes"] < 6_000_000


def test_the_shipped_networks_reach_their_targets():
    results = json.loads((unet.WEIGHTS / "lungs.json").read_text())
    assert results["networks"]["lungs"]["dice_mean"] >= 0.962
    outside = results["external"]["all"]
    assert outside["images"] == 467
    assert outside["covered"] >= 0.94 and outside["iou_median"] >= 0.9


# --- training ---


def fake_data(folder, count):
    """Phantoms in the layout of the public Shenzhen and Montgomery copy."""
    rows = []
    for seed in range(count):
        patient = radiograph.radiograph(seed, size=64)
        name = f"{'CHNCXR' if seed % 2 else 'MCUCXR'}_{seed:04}_{seed // 2 % 2}"
        for sub, pixels in (("images", patient.image), ("masks", patient.lung_mask)):
            write_gray(folder / "lung_segmentation" / sub / f"{name}.png", pixels)
        source = "Shenzhen" if seed % 2 else "Montgomery"
        rows.append([name, f"images/{name}.png", f"masks/{name}.png", source, seed // 2 % 2])
    table = pd.DataFrame(rows, columns=["image_id", "file", "mask", "source", "finding"])
    table.to_csv(folder / "lung_segmentation" / "metadata.csv", index=False)


def test_training_writes_weights_that_load(tmp_path, monkeypatch, capsys):
    fake_data(tmp_path, 14)
    monkeypatch.setattr(unet, "SIDE", 64)
    arguments = [
        "train",
        "--data",
        str(tmp_path),
        "-o",
        str(tmp_path / "w"),
        "--epochs",
        "1",
        "--exclude-folds",
        "0",
    ]
    monkeypatch.setattr("sys.argv", ["lungs", *arguments])
    training.main()
    file = tmp_path / "w" / "lungs.safetensors"
    assert capsys.readouterr().out.strip().endswith(str(file))
    assert lungs.load(file) is not None and [path.name for path in file.parent.iterdir()] == [file.name]
    with safe_open(file, "pt") as stored:
        record = json.loads(stored.metadata()["record"])
    cohort = training.training_cohort(tmp_path)
    seen = [lungs.fold_of(patient) for patient in cohort["patient_id"] if lungs.fold_of(patient) != 0]
    assert record["learned_from"] == len(seen) and record["epochs"] == 1


@pytest.mark.parametrize("folds", ["x", "7", "0,1,2,3,4"])
def test_impossible_folds_are_refused(folds, tmp_path, monkeypatch, capsys):
    fake_data(tmp_path, 4)
    arguments = ["train", "--data", str(tmp_path), "-o", str(tmp_path), "--exclude-folds", folds]
    monkeypatch.setattr("sys.argv", ["lungs", *arguments])
    with pytest.raises(SystemExit) as stop:
        training.main()
    assert stop.value.code == 2 and "--exclude-folds" in capsys.readouterr().err


def test_augmentation_moves_image_and_mask_together():
    torch.manual_seed(0)
    mask = torch.zeros(16, 1, 64, 64, dtype=torch.uint8)
    mask[:, :, 16:40, 10:50] = 255
    image, moved = training.augment((mask, mask))
    assert image.shape == moved.shape == mask.shape
    assert image.min() >= -1 and image.max() <= 1 and moved.min() >= 0 and moved.max() <= 1
    inside, outside = image[moved > 0.9], image[moved < 0.1]
    assert inside.mean() > outside.mean() + 0.5
    assert len(torch.unique(moved.sum((1, 2, 3)).round())) > 8


def test_the_loss_prefers_the_truth():
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    right, wrong = (mask - 0.5) * 20, (0.5 - mask) * 20
    assert training.loss(right, mask) < 0.01 < 1 < training.loss(wrong, mask)
    assert training.dice(right, mask) == 1 and training.dice(wrong, mask) == 0
