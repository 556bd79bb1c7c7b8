import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdnet_lib.data.cohort import read_cohort
from sdnet_lib.data.images import read_gray, write_gray
from sdnet_lib.files import InputError
from sdnet_lib.lungs import crop, segmentation
from tests.lungs.made_masks import rectangle_mask


def test_the_box_adds_a_fraction_of_its_own_sides():
    mask = rectangle_mask(400, 500, left=100, top=50, right=300, bottom=250)
    assert crop.bounding_box(mask, 0) == (100, 50, 300, 250)
    assert crop.bounding_box(mask) == (95, 45, 305, 255)
    assert crop.bounding_box(mask, 0.1) == (80, 30, 320, 270)


def test_the_box_stays_inside_the_image():
    assert crop.bounding_box(rectangle_mask(200, 200, 1, 2, 200, 199)) == (0, 0, 200, 200)


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
    assert crop.bounding_box(mask) is None


def test_crops_are_what_the_boxes_say(cohort, tmp_path):
    crops = crop.crop_cohort(cohort, tmp_path, masks=True)
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    assert list(boxes) == ["image_id", "left", "top", "right", "bottom", "lungs_found"]
    assert list(boxes["image_id"]) == list(crops["image_id"]) == list(cohort["image_id"])
    assert boxes["lungs_found"].all()
    for source, cut, box in zip(cohort.itertuples(), crops.itertuples(), boxes.itertuples(), strict=True):
        where = np.s_[box.top : box.bottom, box.left : box.right]
        assert (read_gray(cut.file) == read_gray(source.file)[where]).all()
        for column in ("lung_mask", "lesion_mask"):
            before, after = (np.asarray(Image.open(getattr(row, column))) > 0 for row in (source, cut))
            assert (before[where] == after).all()
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{source.image_id}.png")) > 0
        assert crop.bounding_box(mask) == (box.left, box.top, box.right, box.bottom)


def test_the_cohort_of_crops_reads_back_with_all_its_columns(cohort, tmp_path):
    crops = crop.crop_cohort(cohort, tmp_path)
    again = read_cohort(tmp_path)
    assert set(again) == set(cohort) | {"lungs_found"}
    pd.testing.assert_frame_equal(again[list(crops)], crops, check_dtype=False)
    assert (again["label"] == cohort["label"]).all() and not (tmp_path / "masks").exists()


def test_an_image_without_lungs_is_passed_through_whole(cohort, tmp_path):
    write_gray(tmp_path / "blank.png", np.tile(np.linspace(0.2, 0.6, 120), (90, 1)))
    odd = cohort.iloc[:2].copy()
    odd.loc[odd.index[1], ["file", "lung_mask", "lesion_mask"]] = [str(tmp_path / "blank.png"), "", ""]
    crops = crop.crop_cohort(odd, tmp_path / "out")
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
        crop.crop_cohort(bad, tmp_path / "out")
    assert list(read_cohort(tmp_path / "out")["image_id"]) == list(bad["image_id"].drop([1, 3]))


def test_no_image_of_the_cohort_is_ever_overwritten(cohort):
    folder = cohort.attrs.get("folder") or cohort["file"].iloc[0].rsplit("/images/", 1)[0]
    with pytest.raises(InputError, match="choose another folder"):
        crop.crop_cohort(cohort, folder)


def test_ids_with_slashes_do_not_leave_the_folder(cohort, tmp_path):
    odd = cohort.iloc[:2].copy()
    odd["image_id"] = ["../../one", "one"]
    crops = crop.crop_cohort(odd, tmp_path / "out")
    assert {file.rsplit("/", 1)[0] for file in crops["file"]} == {str(tmp_path / "out" / "images")}


def test_an_interruption_leaves_no_table_and_no_half_written_file(cohort, tmp_path, monkeypatch):
    def interrupt(_, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(segmentation, "lung_masks", interrupt)
    with pytest.raises(KeyboardInterrupt):
        crop.crop_cohort(cohort, tmp_path / "out")
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("*.csv"))


def test_a_cohort_is_cropped_once_and_then_taken_from_the_cache(cohort, tmp_path, monkeypatch):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    crops = crop.cached_crops(cohort)
    backwards = cohort.iloc[::-1].reset_index(drop=True)
    monkeypatch.setattr(crop, "crop_cohort", None)
    again = crop.cached_crops(backwards)
    assert again["image_id"].tolist() == backwards["image_id"].tolist()
    assert again["file"].tolist() == crops["file"].tolist()[::-1]
    for image, file, box in zip(cohort["file"], crops["file"], crop.crop_boxes(cohort), strict=True):
        left, top, right, bottom = box
        assert (read_gray(image)[top:bottom, left:right] == read_gray(file)).all()


def test_cached_crops_and_boxes_are_made_again_if_they_are_damaged(cohort, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    few = cohort.iloc[:2].reset_index(drop=True)
    crops, boxes = crop.cached_crops(few), crop.crop_boxes(few)
    table = next(tmp_path.rglob("boxes.csv"))
    table.write_text(table.read_text().replace("1", "2"))
    assert crop.crop_boxes(few) == boxes and crop.cached_crops(few).equals(crops)
    assert [message.partition(":")[0] for message in caplog.messages] == [str(table)]
