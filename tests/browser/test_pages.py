"""What readers get: every page whole, every picture described, nothing broken, on a desk and on a phone."""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import expect

EXTERNAL = re.compile(r"^(https?:|mailto:|data:)")


@pytest.fixture(scope="session")
def chapters(pages):
    return {name: page for name, page in pages.items() if name.startswith("notebooks/")}


def test_all_pages_are_there(pages, chapters):
    assert len(chapters) == len(list((Path(__file__).parents[2] / "notebooks").glob("*.ipynb")))
    back = ("results", "model_card", "data_sheet", "how_fast", "glossary", "bibliography", "this_run")
    for name in ("index", "how_to_read", "instructors", *back):
        assert f"book/{name}.html" in pages


def test_no_page_shows_a_traceback_or_stderr(pages):
    for name, page in pages.items():
        assert not page.select(".output.stderr, .output.traceback"), name
        assert "Traceback (most recent call last)" not in page.get_text(), name


def test_every_chapter_ran_and_shows_what_it_found(chapters):
    for name, page in chapters.items():
        assert len(page.select(".cell_output")) >= 5, name
        assert "left out of this build" not in page.get_text(), name
        assert re.search(r"profile smoke, seed 0", page.get_text()), name


def test_every_picture_is_described(pages):
    for name, page in pages.items():
        for image in page.select("article img:not(.toy-layer)"):  # a layer of a described film
            alt = image.get("alt", "")
            assert len(alt.split()) >= 4 and "/" not in alt, (name, image)


def test_plots_are_in_every_chapter(chapters):
    for name, page in chapters.items():
        assert page.select("article .cell_output img"), name


def test_glued_numbers_are_in_the_text(chapters):
    for name, page in chapters.items():
        glued = page.select("span.pasted-text, span.pasted-inline")
        assert glued and all(span.get_text(strip=True) for span in glued), name
        assert "{glue" not in page.select_one("article").get_text(), name


def test_internal_links_lead_somewhere(html, pages):
    anchors = {}
    for name, page in pages.items():
        for link in page.select("a[href], img[src], link[href], script[src]"):
            target = link.get("href") or link.get("src")
            if EXTERNAL.match(target):
                continue
            path, anchor = urldefrag(target)
            file = ((html / name).parent / unquote(path.split("?")[0])).resolve() if path else html / name
            assert file.is_file(), (name, target)
            if anchor and file.suffix == ".html":
                if file not in anchors:
                    parsed = BeautifulSoup(file.read_text(), "html.parser")
                    anchors[file] = {tag["id"] for tag in parsed.select("[id]")}
                assert unquote(anchor) in anchors[file], (name, target)


def test_nothing_is_loaded_from_elsewhere(pages):
    for name, page in pages.items():
        for tag in page.select("script[src], link[rel=stylesheet], img[src], iframe[src]"):
            source = tag.get("src") or tag.get("href")
            inside = source.startswith("data:")  # a picture that stands in the page itself
            assert inside or not EXTERNAL.match(source), (name, source)


def test_exercises_have_folded_solutions(chapters):
    for name, page in chapters.items():
        titles = [title.get_text() for title in page.select(".admonition-title")]
        exercises = [title for title in titles if re.match(r"Exercise \d+\.\d+", title)]
        solutions = [s for s in page.select("details.hide summary") if "solution" in s.get_text()]
        assert len(exercises) >= 2 and len(solutions) >= 2, name
        assert not page.select("details.hide[open]"), name


def test_glossary_terms_show_their_meaning(pages):
    links = [a for page in pages.values() for a in page.select('a.reference[href*="#term-"]')]
    assert len(links) >= 10
    assert all(len(link.get("title", "")) > 15 for link in links)


def test_the_download_is_a_notebook_without_injected_cells(html, chapters):
    import nbformat

    for name in chapters:
        source = html / "_sources" / name.replace(".html", ".ipynb")
        tags = [tag for c in nbformat.read(source, 4).cells for tag in c.metadata.get("tags", [])]
        assert "parameters" in tags and "injected-parameters" not in tags


def test_no_page_shows_a_path_of_the_machine_that_built_it(html, pages):
    from pathlib import Path

    for name, page in pages.items():
        text = page.get_text()
        assert str(Path.home()) + "/" not in text and str(html.parents[2]) not in text, name


@pytest.mark.parametrize("screen", ["desk", "phone"])
def test_pages_load_without_errors_and_fit_the_screen(request, screen, address, pages):
    tab = request.getfixturevalue(screen)
    errors = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    # the browser itself gives up what it has not fetched when we go on to the next page, such as an icon
    tab.on("requestfailed", lambda asked: None if "ABORTED" in asked.failure else errors.append(asked.url))
    for name in pages:
        tab.goto(f"{address}/{name}")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= tab.viewport_size["width"], (name, wide)
        broken = tab.evaluate(
            "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        )
        assert not broken, (name, broken)
        assert not errors, (name, errors)


def test_formulas_are_typeset_without_a_network(desk, address):
    desk.goto(f"{address}/notebooks/03_segmentation_cropping.html")
    dice = desk.locator("math[display=block]", has_text="Dice")
    expect(dice.locator("mfrac")).to_be_visible()
    assert "\\" not in dice.text_content()


def test_the_front_page_leads_to_the_book(desk, address):
    desk.goto(f"{address}/index.html")
    desk.wait_for_url("**/book/index.html")
    assert "COVID-SDNet" in desk.title()


def test_search_finds_a_word_of_a_chapter(desk, address):
    desk.goto(f"{address}/search.html?q=cohort")
    expect(desk.locator("#search-results li a[href*='notebooks/']").first).to_be_visible(timeout=20_000)


def test_copy_buttons_sit_on_the_code(desk, address, chapters):
    for name in chapters:
        desk.goto(f"{address}/{name}")
        desk.wait_for_selector("button.copybtn", state="attached")
        cells = desk.locator(".cell_input .highlight").count()
        assert desk.locator(".cell_input button.copybtn").count() >= cells > 5


def test_a_solution_opens_on_a_click(desk, address, chapters):
    for name in chapters:
        desk.goto(f"{address}/{name}")
        folded = desk.locator("details.hide", has=desk.locator("summary", has_text="solution")).first
        expect(folded.locator(".highlight").first).to_be_hidden()
        folded.locator("summary").click()
        expect(folded.locator(".highlight").first).to_be_visible()


def test_the_dark_theme_is_dark(desk, address):
    desk.goto(f"{address}/book/index.html")
    for theme, bright in (("light", True), ("dark", False)):
        desk.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        colour = desk.evaluate("getComputedStyle(document.body).backgroundColor")
        level = sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3
        assert (level > 200) is bright, (theme, colour)


def test_indices_stand_below_the_line(address, desk):
    desk.goto(f"{address}/notebooks/04_fucitnet.html")
    desk.evaluate("document.fonts.ready")
    assert desk.evaluate("document.fonts.check('16px \"Course Math\"')")
    heights = desk.evaluate(
        "[...document.querySelectorAll('msub')].map(one => [...one.children].map("
        "part => { const box = part.getBoundingClientRect(); return (box.top + box.bottom) / 2; }))"
    )
    assert heights and all(index > letter + 2 for letter, index in heights)
