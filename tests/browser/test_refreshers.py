"""The refreshers at three widths, light and dark: nothing cut, nothing too small, answers that open."""

import pytest
from playwright.sync_api import expect

from sdnet_lib.plots.refreshers import NARROW
from sdnet_lib.publish.refreshers import PAGES

SCREENS = [(width, theme) for width in (1280, 768, 390) for theme in ("light", "dark")]
WIDTH = (
    """image => image.getBoundingClientRect().width - 2 * parseFloat(getComputedStyle(image).paddingLeft)"""
)


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_a_page_fits_and_its_figure_can_be_read(chromium, address, width, theme):
    with chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=theme) as tab:
        for name in ("", *(f"/{page}" for page in PAGES)):
            tab.goto(f"{address}/book/refreshers{name}.html")
            assert tab.evaluate("document.documentElement.scrollWidth") == width, name
            if name:
                figure = tab.locator("article figure.refresher > img")
                figure.wait_for()
                assert figure.evaluate(WIDTH) / NARROW * 9 / 72 >= 9, name  # pixels of the smallest letters


def test_an_answer_opens_on_a_click_and_without_scripts(chromium, address):
    with chromium.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        for page in PAGES:
            tab.goto(f"{address}/book/refreshers/{page}.html")
            answer = tab.locator("article details")
            expect(answer.locator("p").first).to_be_hidden()
            answer.locator("summary").click()
            expect(answer.locator("p").first).to_be_visible()


def test_the_glossary_leads_to_them_and_hovering_shows_the_meaning_alone(desk, address):
    desk.goto(f"{address}/notebooks/01_dataset_bias.html")
    term = desk.locator('a[href$="#term-AUC"]').first
    assert term.get_attribute("title").startswith("Area under the ROC curve")
    assert "One page" not in term.get_attribute("title")
    desk.goto(f"{address}/book/glossary.html#term-AUC")
    desk.locator('dl.glossary a[href="refreshers/roc.html"]').first.click()
    expect(desk.locator("article h1")).to_contain_text("ROC")
