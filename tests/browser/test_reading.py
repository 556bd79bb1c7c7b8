"""Nothing is in the way of readers, what is drawn can be read, and what they play with answers."""

import re

import pytest
from playwright.sync_api import expect

WIDTHS = {1280: 900, 768: 1024, 390: 844}
# pixels of the smallest text of a figure: 9 points where 8 inches are `width` wide (`plots.theme`)
SMALLEST = """() => Math.min(...[...document.querySelectorAll("article .cell_output img")]
    .filter(i => i.naturalWidth >= 1100 && i.offsetParent)
    .map(i => 9 / 72 / 8 * i.getBoundingClientRect().width), 99)"""

# the same for drawings, which say themselves how large their letters are
DRAWN = """() => Promise.all([...document.querySelectorAll("article img[src$='.svg']")].map(async image => {
    const drawing = await (await fetch(image.src)).text();
    const letters = [...drawing.matchAll(/font(?:-size)?: ?(\\d+)px/g)].map(found => Number(found[1]));
    const units = Number(/viewBox="0 0 (\\d+)/.exec(drawing)[1]);
    return [image.getAttribute("src"), Math.min(...letters) / units * image.getBoundingClientRect().width];
}))"""


def test_each_chapter_says_how_long_it_takes(html):
    said = re.compile(r"About [1-9]\d* minutes to read, exercises aside; this run took \d+ seconds\.")
    pages = list((html / "notebooks").glob("*.html"))
    assert pages and all(said.search(page.read_text(encoding="utf-8")) for page in pages)


def test_text_of_figures_can_be_read_on_a_phone(phone, address, pages):
    for name in (name for name, page in pages.items() if page.select("article img")):
        phone.goto(f"{address}/{name}")
        assert phone.evaluate(SMALLEST) >= 9, name
        assert all(pixels >= 9 for _, pixels in phone.evaluate(DRAWN)), (name, phone.evaluate(DRAWN))


@pytest.mark.parametrize("width", WIDTHS)
def test_text_of_drawings_can_be_read(chromium, address, width):
    with chromium.new_page(viewport={"width": width, "height": WIDTHS[width]}) as tab:
        tab.goto(f"{address}/book/index.html")
        ((_, pixels),) = tab.evaluate(DRAWN)
        assert pixels >= 9


def test_every_picture_has_a_number_and_a_caption(pages):
    for name, page in pages.items():
        for image in page.select("article img"):
            figure = image.find_parent("figure")
            numbered = figure and figure.select_one("figcaption .caption-number")
            assert numbered or image.find_parent(class_="toy"), (name, image["src"])


def test_a_stacked_table_names_every_value(phone, address):
    phone.goto(f"{address}/book/results.html")
    table = phone.locator("table.stacked").nth(1)
    named = (
        table.locator("tbody tr").first.locator("td, th").evaluate_all("all => all.map(c => c.dataset.name)")
    )
    assert len(named) > 4 and all(named[1:])


def test_no_bookkeeping_is_in_the_way(desk, address, pages):
    for name in (name for name in pages if name.startswith("notebooks/")):
        desk.goto(f"{address}/{name}")
        shown = "\n".join(desk.locator(".cell_input pre:visible").all_inner_texts())
        assert shown and not re.search(r"^\s*(assert\b|course\.glue|profile = )|find_spec", shown, re.M), name


def toy(tab, address, chapter, kind):
    tab.goto(f"{address}/notebooks/{chapter}.html")
    return tab.locator(f"[data-toy={kind}]")


def layers(found):
    return found.locator(".toy-layer").evaluate_all("all => all.map(layer => Number(layer.style.opacity))")


def test_opacities_grow_with_the_keyboard(desk, address):
    found = toy(desk, address, "01_dataset_bias", "severity")
    slider, says = found.locator("input"), found.locator("output")
    expect(says).to_have_text("Score 4: Moderate")
    slider.focus()
    slider.press("ArrowRight")
    expect(says).to_have_text("Score 5: Moderate")
    assert layers(found) == [1, 1, 1, 1, 0.25, 0, 0, 0]
    slider.press("End")
    expect(says).to_have_text("Score 8: Severe")
    slider.press("Home")
    expect(says).to_have_text("Score 0: Normal")
    assert not any(layers(found))


@pytest.mark.parametrize("press", ["click", "Space", "Enter"])
def test_lung_parts_are_pressed(desk, address, press):
    found = toy(desk, address, "02_building_covidgr", "parts")
    part = found.get_by_role("button", name="R1")
    part.click() if press == "click" else part.press(press)
    expect(part).to_have_attribute("aria-pressed", "true")
    expect(found.locator("output")).to_have_text("Score 5: Moderate")
    assert sum(layers(found)) == 5
    part.click()
    expect(found.locator("output")).to_have_text("Score 4: Moderate")


def test_threshold_prevalence_and_cost_move_the_numbers(desk, browser_without_scripts, address):
    found = toy(desk, address, "08_thresholds", "threshold")
    still = toy(browser_without_scripts, address, "08_thresholds", "threshold")
    values = found.locator("dd")
    computed = still.locator("dd").all_inner_texts()  # by the library, before any script
    assert len(computed) == 5 and values.all_inner_texts() == computed
    sensitivity, specificity, ppv, *_ = values.all_inner_texts()
    prevalence = found.locator("input[name=prevalence]")
    prevalence.press("Home")  # one in a hundred
    expect(values.nth(0)).to_have_text(sensitivity)
    true, false = (float(text.split()[0]) for text in (sensitivity, specificity))
    bayes = 100 * true / (true + 99 * (100 - false)) if true else float("nan")
    assert values.nth(2).inner_text() == (
        "–" if bayes != bayes or true + 100 - false == 0 else f"{bayes:.1f} %"
    )
    found.locator("input[name=threshold]").press("Home")  # nearly everybody is called ill
    assert float(values.nth(0).inner_text().split()[0]) >= true
    found.locator("input[name=cost]").press("End")
    assert found.locator("output").all_inner_texts() == ["0.01", "1 %", "1.00 patients"]


def test_heat_maps_change_method_and_strength(desk, address):
    found = toy(desk, address, "09_gradcam", "heat")
    methods = found.locator("input[type=radio]")
    assert methods.count() >= 5
    methods.nth(0).press("ArrowDown")
    assert layers(found).index(0.7) == 1
    found.locator("input[type=range]").press("Home")
    assert not any(layers(found))
    expect(found.locator("output")).to_contain_text("strength 0 %")
    methods.nth(2).click()
    found.locator("input[type=range]").press("End")
    assert layers(found)[2] == 1 and sum(layers(found)) == 1


TOYS = {
    "01_dataset_bias": "severity",
    "02_building_covidgr": "parts",
    "08_thresholds": "threshold",
    "09_gradcam": "heat",
}


@pytest.fixture
def browser_without_scripts(chromium):
    with chromium.new_context(java_script_enabled=False) as context:
        yield context.new_page()


@pytest.mark.parametrize("chapter", TOYS)
def test_without_scripts_and_on_paper_a_picture_stands_there(browser_without_scripts, desk, address, chapter):
    still = toy(browser_without_scripts, address, chapter, TOYS[chapter])
    expect(still.locator("svg, img").first).to_be_visible()
    expect(still.locator("figcaption")).to_be_visible()
    assert still.locator("input:visible, button:visible").count() == 0
    desk.emulate_media(media="print")
    printed = toy(desk, address, chapter, TOYS[chapter])
    expect(printed.locator("svg, img").first).to_be_visible()
    assert printed.locator("input:visible, button:visible").count() == 0


STYLE = "(e, name) => getComputedStyle(e)[name]"


def test_on_a_dark_page_drawings_are_dark_and_films_are_not_inverted_or_hidden(chromium, address):
    with chromium.new_page(color_scheme="dark") as tab:
        found = toy(tab, address, "09_gradcam", "heat")
        assert found.locator("img").evaluate_all(
            "all => all.map(e => getComputedStyle(e).backgroundColor)"
        ) == (["rgba(0, 0, 0, 0)"] * found.locator("img").count())
        page = tab.locator("article").evaluate(STYLE, "color")
        assert found.locator("figcaption p, figcaption").last.evaluate(STYLE, "color") == page
        drawn, film = (
            tab.locator(f"article .cell_output > .output > img{kind}, article figure > img{kind}").first
            for kind in ('[src$=".lines.webp"]', ':not([src$=".lines.webp"])')
        )
        assert "invert(1)" in drawn.evaluate(STYLE, "filter")
        assert "invert" not in film.evaluate(STYLE, "filter")
        tab.emulate_media(media="print", color_scheme="dark")
        assert drawn.evaluate(STYLE, "filter") == "none"
