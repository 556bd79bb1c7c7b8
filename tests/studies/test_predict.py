import json
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
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from sdnet_lib.checksums import read_seal
from sdnet_lib.cli import main as cli
from sdnet_lib.config import get_profile
from sdnet_lib.data import images
from sdnet_lib.data.pixels import read_pixels
from sdnet_lib.files import InputError, write_bytes
from sdnet_lib.models.registry import find
from sdnet_lib.phantom import radiograph
from sdnet_lib.studies import card as cards
from sdnet_lib.studies import crossval, final, label, model_file, predict, predictions, synthetic_model
from sdnet_lib.studies.provenance import code_of
from sdnet_lib.studies.study import Run


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
        assert panel.text["Warning"] == cards.NO_DEVICE and panel.width > 600
    first, header, *_ = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert first == f"# {cards.NO_DEVICE}" and header == ",".join(predict.COLUMNS)
    stored = predictions.read_table(tmp_path / "out" / "predictions.csv")
    assert np.allclose(stored["prob_P"], table["prob_P"], atol=1e-4)


def test_the_table_comes_back_whatever_a_file_is_called(films, tmp_path):
    strange = tmp_path / "film #1, 'NA'.png"
    shutil.copy(films / "film1.png", strange)
    table = predict.predict([strange, tmp_path / "nan"], tmp_path / "out", [model()])
    stored = predictions.read_table(tmp_path / "out" / "predictions.csv")
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
    expected = one.predictor.predict(read_pixels(crops, one.image_size, one.approach.prepare))["prob_P"]
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
    with pytest.raises(InputError, match="could be overwritten"):
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
    assert not stop.value.code and said[0] == cards.NO_DEVICE and "1 of 1 files predicted" in said[-1]


@pytest.mark.long
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
    table = predictions.read_table(tmp_path / "out" / "predictions.csv")
    assert len(table) == 80 and table["error"].iloc[-1] == predict.NOT_YET and table["error"].iloc[0] == ""
    assert not list((tmp_path / "out").glob(".*.part"))


def test_the_shipped_models_are_what_their_cards_say():
    assert cards.shipped() == ["biased-demo", "synthetic"] == sorted(final.SHIPPED)
    remarks = {"synthetic": synthetic_model.REMARK, "biased-demo": final.BIASED_REMARK}
    sizes = {"synthetic": synthetic_model.STAGES[-1].image_size, **{final.BIASED: 128}}
    for name, remark in remarks.items():
        read = model_file.read(name)
        assert read.image_size == sizes[name] and read.card["limits"][0] == remark
        assert (cards.SHIPPED / f"{name}.safetensors").stat().st_size <= 8 * 2**20
        assert read.card["warning"] == cards.NO_DEVICE and "/" not in read.card["command"]


def test_the_default_model_has_learned():
    """On patients whom it has never seen; a repeat that finds less is not to be shipped."""
    card = model_file.read(cards.DEFAULT).card
    found = next(row["found"] for row in card["thresholds"] if row["specificity"] == label.SPECIFICITY)
    severe = [found[name] for name in ("Moderate", "Severe")]
    assert sum(group["called"] for group in severe) >= 0.99 * sum(group["images"] for group in severe)
    assert found["Mild"]["percent"][0] >= 80 and found["N"]["percent"][0] <= 7
    low, high = found["Normal-PCR+"]["percent"][1:]
    assert low <= 7 and high >= 3, "who has no lesion is called P as often as a negative"
    drawn = card["maps"][0]
    uniform = next(row for row in card["maps"] if row["method"] == "uniform")
    assert drawn["images"] >= 300 and drawn["cells"] >= 14 and drawn["hit_lesions"][0] >= 75
    assert drawn["energy_lesions"][0] >= 3 * uniform["energy_lesions"][0]


def test_the_label_turns_at_the_threshold_of_the_card(films, tmp_path):
    one = model_file.read(cards.DEFAULT)
    stated = next(row["threshold"] for row in one.card["thresholds"] if row["specificity"] == 0.95)
    table = predict.predict([films], tmp_path / "out", [one])
    assert (table["threshold"] == stated).all()
    assert list(table["label"]) == ["P" if p >= stated else "N" for p in table["prob_P"]]
    assert f"from a probability of {stated:.2f} on" in predict.introduction([one])
    assert label.turns_at([one, one]) == 0.5, "nobody has tested the mean of several"


def test_the_default_model_finds_severe_phantoms_that_it_has_never_seen(tmp_path):
    stored = model_file.read(cards.DEFAULT)
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
    assert facts["cohort"]["images"] == 48 and facts["code"] == code_of("darkcovidnet")
    assert facts["cross_validation"]["runs"] == 2 and len(facts["cross_validation"]["auc"]) == 3
    beside = read_seal(file.with_suffix(".json"), file)
    assert beside.pop("files").keys() == {"mine.safetensors"} and beside == facts
    assert "cross-validation, 2 runs" in final.summary(read, file)
    assert (
        facts["thresholds"][0]["specificity"] == 0.9 and facts["thresholds"][0]["found"]["N"]["images"] == 24
    )


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


def test_a_model_that_has_changed_since_it_was_written_is_refused(tmp_path, caplog):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    for file, text in ((one, "A toy."), (two, "Another.")):
        model_file.write(model(limits=[text]), file)
        model_file.read(file)
    assert not caplog.messages
    content = bytearray(one.read_bytes())
    content[-5] ^= 1  # in the last tensor
    one.write_bytes(content)
    with pytest.raises(InputError, match=r"one\.safetensors: damaged, its checksum is another"):
        model_file.read(one)
    one.write_bytes(two.read_bytes())
    with pytest.raises(InputError, match=r"one\.safetensors: damaged or replaced, one\.json has another"):
        model_file.read(one)
    one.with_suffix(".json").unlink()  # a file that was sent alone
    assert model_file.read(one).card["limits"] == ["Another."] and not caplog.messages
    card_beside = two.with_suffix(".json")
    card_beside.write_text(card_beside.read_text().replace("Another", "Bnother"))
    with pytest.raises(InputError, match=r"two\.json: damaged, or changed by hand"):
        model_file.read(two)


def test_a_model_of_an_early_version_is_read_and_that_is_said(tmp_path, caplog):
    old, file = model(), tmp_path / "old.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in old.predictor.state_dict().items()}
    write_bytes(file, safetensors.torch.save(tensors, {cards.KEY: json.dumps(old.card)}))
    file.with_suffix(".json").write_text(json.dumps(old.card))
    assert model_file.read(file).card == json.loads(json.dumps(old.card))
    assert caplog.messages == [f"model {file}: no checksum, as early versions wrote it"]


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


def test_the_same_call_twice_gives_the_same_table(tmp_path, capsys):
    for name in ("a", "胸部 $x$"):
        images.write_gray(tmp_path / "films" / f"{name}.png", np.random.default_rng(1).random((96, 80)))
    models = [model_file.read("biased-demo")]
    out = tmp_path / "films" / "looked at"
    first = predict.predict([tmp_path / "films"], out, models)
    assert len(first) == 2 and len(list(out.glob("*.png"))) == 2
    again = predict.predict([tmp_path / "films"], out, models)
    pd.testing.assert_frame_equal(first, again)
    assert "Warning" not in capsys.readouterr().err
    (tmp_path / "films" / "a.png").unlink()
    assert len(predict.predict([tmp_path / "films"], out, models)) == 1
    assert len(list(out.glob("*.png"))) == 1  # the panel of a film that is gone would belong to no row


def test_a_picture_of_the_users_is_never_taken_for_a_panel(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "scan.jpg").write_text("no picture")  # an error in its row, and no panel
    images.write_gray(tmp_path / "films" / "a.png", rng.random((96, 80)))
    models, out = [model_file.read("biased-demo")], tmp_path / "out"
    predict.predict([tmp_path / "films"], out, models)
    for name in ("scan.png", "a.png"):  # the second replaces a panel
        images.write_gray(out / name, rng.random((96, 80)))
    before = {name: (out / name).read_bytes() for name in ("scan.png", "a.png")}
    with pytest.raises(InputError, match="could be overwritten"):
        predict.predict([out], out, models)
    (tmp_path / "films" / "a.png").rename(tmp_path / "films" / "b.png")
    predict.predict([tmp_path / "films"], out, models)
    assert before == {name: (out / name).read_bytes() for name in before}


def test_no_number_is_no_answer(tmp_path):
    images.write_gray(tmp_path / "a.png", np.random.default_rng(1).random((96, 80)))
    model = model_file.read("biased-demo")
    with torch.no_grad():
        for weights in model.predictor.parameters():
            weights.fill_(float("nan"))
    table = predict.predict([tmp_path / "a.png"], tmp_path / "out", [model])
    assert table["error"].tolist() == ["the model gives no number for it"] and table["label"].isna().all()
    model_file.write(model, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="m.safetensors: .* holds values that are no numbers"):
        model_file.read(tmp_path / "m.safetensors")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_value_in_a_card_is_understood_or_refused(data, card_file):
    file, tensors, card = card_file
    inner = [(outer, key) for outer in ("profile", "cohort", "ordinary") for key in card[outer]]
    where = data.draw(st.sampled_from([(key,) for key in card] + inner))
    changed = json.loads(json.dumps(card))
    place = changed if len(where) == 1 else changed[where[0]]
    if data.draw(st.booleans()):
        del place[where[-1]]
    else:
        place[where[-1]] = data.draw(VALUES)
    write_bytes(file, safetensors.torch.save(tensors, {cards.KEY: json.dumps(changed)}))
    try:
        found = cards.read(file)
    except InputError as error:
        assert str(file) in str(error) and "\n" not in str(error)
    else:
        assert predict.introduction([model_file.Model(None, found)])


@pytest.fixture(scope="module")
def card_file(tmp_path_factory):
    source = cards.SHIPPED / "biased-demo.safetensors"
    tensors = {"weights": torch.zeros(2)}
    return tmp_path_factory.mktemp("card") / "m.safetensors", tensors, cards.read(source)


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": 3},
        {"thresholds": [{"specificity": 0.95}]},
        {"thresholds": [{"specificity": 0.95, "threshold": 7, "found": {}}]},
        {"thresholds": [{"specificity": 0.95, "threshold": 0.5, "found": {"N": {"called": 1, "images": 0}}}]},
        {"maps": [{"layer": "0.blocks.4"}]},
        {"maps": [{"method": 3}]},
    ],
)
def test_a_card_whose_thresholds_or_maps_cannot_be_is_refused(changes, tmp_path):
    model_file.write(model(**changes), tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match="not a file that sdnet train wrote, or damaged"):
        model_file.read(tmp_path / "odd.safetensors")
