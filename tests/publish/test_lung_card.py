"""The card beside the weights is made from the numbers beside it."""

import json

from sdnet_lib.lungs.unet import WEIGHTS
from sdnet_lib.publish import lung_card


def test_the_stored_card_is_the_one_that_its_numbers_make():
    assert (WEIGHTS / "lungs.md").read_text(encoding="utf-8") == lung_card.card()


def test_the_card_says_what_was_measured():
    results = json.loads((WEIGHTS / "lungs.json").read_text())
    text = lung_card.card()
    for name, found in (results["networks"] | results["unseen"]).items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
        assert f"{found['dice_mean']:.4f}" in row and str(found["images"]) in row
    assert f"{100 * results['external']['all']['covered']:.1f} %" in text


def test_new_numbers_make_a_new_card_beside_them(tmp_path):
    results = json.loads((WEIGHTS / "lungs.json").read_text())
    results["external"]["all"]["covered"] = 0.123
    (tmp_path / "lungs.json").write_text(json.dumps(results))
    lung_card.write(tmp_path)
    assert " 12.3 % |" in (tmp_path / "lungs.md").read_text(encoding="utf-8")
