import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from sdnet_lib.cli import main as cli
from sdnet_lib.config import get_profile
from sdnet_lib.data import images
from sdnet_lib.files import InputError, code_hash
from sdnet_lib.models.registry import find
from sdnet_lib.phantom import radiograph
from sdnet_lib.studies import crossval, final, model_file, predict
from sdnet_lib.studies.study import Run, read_json


def card(approach: str, image_size: int = 64, **changes: object) -> dict:
    profile = {**get_profile("smoke").__dict__, "image_size": image_size}
    cohort = {"sources": ["nowhere"], "images": 2, "N": 1, "P": 1, "patients": 2, "severity": {}}
    ordinary = {"middle grey levels": [0.0, 1.0]}
    facts = {"approach": approach, "labels": ["N", "P"], "crops": find(approach).crops, "profile": profile}
    return facts | {"cohort": cohort, "ordinary": ordinary, "limits": ["A toy."]} | changes


def model(approach: str = "resnet50-crop", image_size: int = 64, **changes: object) -> model_file.Model:
    facts = card(approach, image_size, **changes)
    predictor = find(approach).build(model_file._profile(facts))
    return model_file.Model(predictor.ready(), facts)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in range(3):
        drawn = radiograph.radiograph(seed, size=160, label="NPP"[seed])
        images.write_gray(folder / f"film{seed}.png", drawn.image)
    return folder


def test_every_film_gets_a_row_and_a_panel(films, tmp_path):
    table = predict.predict([films], tmp_path / "out", [model()])
    assert list(table["label"]) == ["P" if p >= 0.5 else "N" for p in table["prob_P"]]
    assert table["uncertainty"].between(0, 1).all() and (table["error"] == "").all()
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "film0.png",
        "film1.png",
        "film2.png",
        "predictions.csv",
    ]
    with Image.open(tmp_path / "out" / "film1.png") as panel:
        assert panel.text["Warning"] == model_file.NO_DEVICE and panel.width > 600
    first, header, *_ = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert first == f"# {model_file.NO_DEVICE}" and header == ",".join(predict.COLUMNS)
    stored = predict.read_table(tmp_path / "out" / "predictions.csv")
    assert np.allclose(stored["prob_P"], table["prob_P"], atol=1e-4)


def test_the_table_comes_back_whatever_a_file_is_called(films, tmp_path):
    strange = tmp_path / "film #1, 'NA'.png"
    shutil.copy(films / "film1.png", strange)
    table = predict.predict([strange, tmp_path / "nan"], tmp_path / "out", [model()])
    stored = predict.read_table(tmp_path / "out" / "predictions.csv")
    assert list(stored["file"]) == list(table["file"]) == [str(strange), str(tmp_path / "nan")]
    assert stored["error"].iloc[0] == "" and stored["error"].iloc[1] == table["error"].iloc[1] != ""


def test_a_prediction_is_that_of_the_cohort_s_own_crops(films, tmp_path):
    """What `sdnet predict` feeds a model must be what `sdnet cv` and `sdnet train` fed it."""
    from sdnet_lib.data.cohort import check_cohort, complete
    from sdnet_lib.lungs.crop import crop_cohort

    one = model()
    files = sorted(str(file) for file in films.glob("*.png"))
    facts = {"image_id": ["a", "b", "c"], "file": files, "label": ["N", "P", "P"]}
    cohort = check_cohort(complete(pd.DataFrame(facts), "films"))
    crops = crop_cohort(cohort, tmp_path / "crops")
    expected = one.predictor.predict(one.approach.read(crops, one.image_size))["prob_P"]
    table = predict.predict([films], tmp_path / "out", [one])
    assert np.allclose(table["prob_P"], expected, atol=1e-4)


def test_bad_files_are_reported_and_the_others_go_on(films, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    Image.new("L", (50, 50), 7).save(tmp_path / "grey.png")
    dicom = get_testdata_file("CT_small.dcm")
    table = predict.predict([tmp_path, tmp_path / "none.png", films, dicom], tmp_path / "out", [model()])
    bad = table[table["error"] != ""]
    assert {Path(row.file).name for row in bad.itertuples()} == {
        "text.png",
        "empty.jpg",
        "grey.png",
        "none.png",
    }
    assert dict(zip(bad["file"], bad["error"], strict=True))[str(tmp_path / "none.png")] == "no such file"
    assert len(table) == 8 and (table["prob_P"].isna() == (table["error"] != "")).all()
    said = predict.summary(table, tmp_path / "out")
    assert "4 of 8 files predicted" in said and "empty file" in said


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    table = predict.predict([tmp_path / "text.png"], tmp_path / "out", [model()])
    with pytest.raises(InputError, match="none of 1 files could be read"):
        predict.summary(table, tmp_path / "out")


def test_films_of_one_name_get_panels_of_their_own(films, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "film.png").write_bytes((films / "film0.png").read_bytes())
    predict.predict([tmp_path / "a", tmp_path / "b"], tmp_path / "out", [model()])
    assert {file.name for file in (tmp_path / "out").glob("*.png")} == {"film.png", "film-2.png"}


def test_folders_that_cannot_be_used(films, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no image in this folder"):
        predict.predict([tmp_path / "empty"], tmp_path / "out", [model()])
    with pytest.raises(InputError, match="holds images to predict"):
        predict.predict([films], films, [model()])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        predict.predict([films], tmp_path / "file" / "out", [model()])


def test_several_models_are_averaged_and_must_fit(films, tmp_path):
    first, second = model(), model()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    answers = predict.ask([first.predictor, second.predictor], pixels)
    both = [one.predictor.predict(pixels)["prob_P"] for one in (first, second)]
    assert np.allclose(answers.positive, np.mean(both, 0), atol=1e-5)
    assert answers.maps.shape == (2, 2, 64, 64) and answers.maps.max() == pytest.approx(1)
    with pytest.raises(InputError, match="one approach and image size"):
        predict.predict([films], tmp_path / "out", [first, model(image_size=96)])


@pytest.mark.parametrize("approach", ["covid-sdnet", "fucitnet", "covid-caps", "deepcovidexplainer"])
def test_models_of_other_kinds_are_asked_alike(approach):
    one = model(approach, 32)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    answers = predict.ask([one.predictor], pixels)
    assert np.allclose(answers.positive, one.predictor.predict(pixels)["prob_P"], atol=1e-4)
    assert (answers.entropy >= 0).all() and (answers.entropy <= 1).all()


def test_unusual_images_are_warned_about(films, tmp_path):
    images.write_gray(tmp_path / "wedge.png", np.mgrid[:200, :200][1] / 200)
    table = predict.predict([tmp_path / "wedge.png"], tmp_path / "wedges", [model()])
    assert "no lungs found: the whole image was used" in table["warning"][0]
    narrow = {"middle grey levels": [0.0, 0.01]}
    table = predict.predict([films / "film0.png"], tmp_path / "out", [model(ordinary=narrow)])
    assert "unusual middle grey levels" in table["warning"][0]


def test_the_command_says_first_that_it_is_no_medical_device(films, tmp_path, monkeypatch, capsys):
    model_file.write(model(), tmp_path / "mine.safetensors")
    words = ["predict", str(films / "film0.png"), "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["sdnet", *words, "--model", str(tmp_path / "mine.safetensors")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().out.splitlines()
    assert not stop.value.code and said[0] == model_file.NO_DEVICE and "1 of 1 files predicted" in said[-1]


def test_interrupted_it_keeps_what_it_has_and_names_the_rest(tmp_path):
    model_file.write(model(image_size=128), tmp_path / "mine.safetensors")
    films = tmp_path / "films"
    films.mkdir()
    drawn = radiograph.radiograph(0, size=160)
    for number in range(80):
        images.write_gray(films / f"{number:03}.png", drawn.image)
    words = [
        "predict",
        str(films),
        "-o",
        str(tmp_path / "out"),
        "--model",
        str(tmp_path / "mine.safetensors"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "sdnet_lib.cli.main", *words], stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and "Traceback" not in error
    table = predict.read_table(tmp_path / "out" / "predictions.csv")
    assert len(table) == 80 and table["error"].iloc[-1] == predict.NOT_YET and table["error"].iloc[0] == ""
    assert not list((tmp_path / "out").glob(".*.part"))


def test_the_shipped_models_are_what_their_cards_say():
    assert model_file.shipped() == ["biased-demo", "synthetic"] == sorted(final.SHIPPED)
    for name, (_, approach, changes) in final.SHIPPED.items():
        read = model_file.read(name)
        assert read.card["approach"] == approach and read.image_size == changes["image_size"]
        assert read.card["limits"][0] == final.REMARKS[name] and read.card["warning"] == model_file.NO_DEVICE
        assert (model_file.SHIPPED / f"{name}.safetensors").stat().st_size < 10 * 2**20
        assert read.card["cross_validation"]["runs"] == 5 and "/" not in read.card["command"]


def test_the_default_model_finds_severe_phantoms_that_it_has_never_seen(tmp_path):
    stored = model_file.read(model_file.DEFAULT)
    for number in range(8):
        severity = "Severe" if number % 2 else ""
        drawn = radiograph.radiograph(5000 + number, size=256, label="NP"[number % 2], severity=severity)
        images.write_gray(tmp_path / "films" / f"{number}.png", drawn.image)
    table = predict.predict([tmp_path / "films"], tmp_path / "out", [stored])
    assert (table["prob_P"][1::2].min() > table["prob_P"][::2].mean()) and (table["label"][1::2] == "P").all()


def test_a_cohort_becomes_a_model_with_a_card(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.safetensors"
    made = final.train("phantom", "darkcovidnet", file, profile="smoke", changes={"image_size": 32})
    read = model_file.read(file)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    assert np.allclose(
        made.predictor.predict(pixels)["prob_P"], read.predictor.predict(pixels)["prob_P"], atol=1e-2
    )
    facts = read.card
    assert facts["cohort"]["images"] == 48 and facts["code"]["hash"] == code_hash()
    assert facts["cross_validation"]["runs"] == 2 and len(facts["cross_validation"]["auc"]) == 3
    assert read_json(file.with_suffix(".json")) == facts
    assert "cross-validation, 2 runs" in final.summary(read, file)


def test_a_cross_validation_can_leave_its_models(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path / "cache"))
    options = {"profile": "smoke", "changes": {"image_size": 32}}
    without = crossval.study_of("phantom", tmp_path / "runs", **options)
    crossval.run_study(without, ["darkcovidnet"])
    study = replace(without, keep_models=True)
    assert not study.plan(["darkcovidnet"])["done"].any()
    crossval.run_study(study, ["darkcovidnet"])
    folds = [model_file.read(study.path(Run("darkcovidnet", 0, fold), ".safetensors")) for fold in (0, 1)]
    assert all(0 < one.card["cohort"]["images"] < 48 for one in folds)


def test_files_that_are_no_models_are_refused(tmp_path):
    one = model()
    with pytest.raises(
        InputError, match=r"model nothing: no such file, and not one of biased-demo, synthetic"
    ):
        model_file.read("nothing")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(InputError, match="not a file that sdnet train wrote, or damaged"):
        model_file.read(tmp_path / "text.safetensors")
    strangers = one._replace(card=one.card | {"labels": ["cat", "dog"]})
    model_file.write(strangers, tmp_path / "pets.safetensors")
    with pytest.raises(InputError, match=r"tells \['cat', 'dog'\] apart, not N and P"):
        model_file.read(tmp_path / "pets.safetensors")
    other = one._replace(card=one.card | {"approach": "covid-sdnet"})
    model_file.write(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="its tensors are not those of covid-sdnet"):
        model_file.read(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"name ends in \.safetensors"):
        final.train("phantom", "resnet50", tmp_path / "mine.pkl")
