"""The model card shows what the cards of the models and the stored measurements hold."""

import pytest

from sdnet_lib.publish import model_card
from sdnet_lib.studies import card as cards
from sdnet_lib.studies import published


@pytest.fixture(scope="module")
def page():
    return model_card.write()


def test_each_model_has_a_section_with_the_numbers_of_its_card(page):
    assert "Not a medical device" in page
    for name in cards.shipped():
        card = cards.read(cards.find(name))
        section = page[page.index(f"## `{name}`") :]
        if "cross_validation" in card:
            mean, low, high = card["cross_validation"]["accuracy"]
            assert f"accuracy {mean:.1f} [{low:.1f}, {high:.1f}] %" in section
        for point in card.get("thresholds", []):
            mean, low, high = point["found"]["Mild"]["percent"]
            assert f"{point['threshold']:.3f}" in section and f"{mean:.1f} [{low:.1f}, {high:.1f}]" in section
        for row in card.get("maps", []):
            mean, low, high = row["energy_lesions"]
            assert f"{mean:.0f} [{low:.0f}, {high:.0f}]" in section
        assert all(f"- {limit}" in section for limit in card["limits"])


def test_stored_measurements_are_on_the_page(page):
    known = published.load("pointing")[0].dropna(subset=["mean"])
    row = known[(known["value"] == "energy_lungs") & (known["severity"] == "all")].iloc[0]
    assert f"{100 * row['mean']:.0f} [{100 * row['low']:.0f}" in page
    row = known[(known["value"] == "alike_all") & (known["method"] == "gradient")].iloc[0]
    assert f"{row['mean']:.2f} [{row['low']:.2f}" in page


def test_the_card_of_the_lung_networks_is_a_section_one_level_deeper(page):
    section = page[page.index("## The lung U-Nets") :]
    assert "### What it is" in section and "\n# " not in section
