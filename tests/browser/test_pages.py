"""What readers get: every page whole, every picture described, nothing broken, on a desk and on a phone."""

import re
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PHONE, DESK = (390, 844), (1280, 900)
ELSEWHERE = re.compile(r"^(https?:|mailto:|data:)")


@pytest.fixture(scope="session")
def pages(html):
    """All pages by name, parsed."""
    files = sorted([*html.glob("book/*.html"), *html.glob("notebooks/*.html")])
    return {str(f.relative_to(html)): BeautifulSoup(f.read_text(), "html.parser") for f in files}


@pytest.fixture(scope="session")
def chapters(pages):
    return {name: page for name, page in pages.items() if name.startswith("notebooks/")}


def visit(browser, url, size=DESK):
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url)


def test_all_pages_are_there(pages, chapters):
    assert len(chapters) == 7
    back = ("results", "model_card", "data_sheet", "glossary", "bibliography", "this_run")
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
        for image in page.select("article img"):
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
            if ELSEWHERE.match(target):
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
            assert not ELSEWHERE.match(source), (name, source)


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


def test_pages_load_without_errors_and_fit_a_phone(browser, address, pages):
    browser.get_log("browser")
    for name in pages:
        for size in (DESK, PHONE):
            visit(browser, f"{address}/{name}", size)
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= size[0], (name, wide)
            broken = browser.execute_script(
                "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
            )
            assert not broken, (name, broken)
            errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
            assert not errors, (name, errors)


def test_formulas_are_typeset_without_a_network(browser, address):
    visit(browser, f"{address}/notebooks/03_segmentation_cropping.html")
    drawn = "return document.querySelectorAll('mjx-container').length"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(drawn) > 0)
    text = browser.execute_script("return document.querySelector('article').innerText")
    assert "\\mathrm" not in text


def test_the_front_page_leads_to_the_book(browser, address):
    visit(browser, f"{address}/index.html")
    WebDriverWait(browser, 10).until(lambda b: b.current_url.endswith("book/index.html"))
    assert "COVID-SDNet" in browser.title


def test_search_finds_a_word_of_a_chapter(browser, address):
    visit(browser, f"{address}/search.html?q=cohort")
    wait = WebDriverWait(browser, 20)
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    found = [
        link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "#search-results li a")
    ]
    assert any("/notebooks/" in link for link in found)


def test_copy_buttons_sit_on_the_code(browser, address, chapters):
    for name in chapters:
        visit(browser, f"{address}/{name}")
        WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CSS_SELECTOR, "button.copybtn"))
        cells = browser.find_elements(By.CSS_SELECTOR, ".cell_input .highlight")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".cell_input button.copybtn")) >= len(cells) > 5


def test_a_solution_opens_on_a_click(browser, address, chapters):
    for name in chapters:
        visit(browser, f"{address}/{name}")
        solution = next(
            summary
            for summary in browser.find_elements(By.CSS_SELECTOR, "details.hide > summary")
            if "solution" in summary.text
        )
        code = solution.find_element(By.XPATH, "..").find_element(By.CSS_SELECTOR, ".highlight")
        assert not code.is_displayed()
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", solution)
        solution.click()
        WebDriverWait(browser, 5).until(lambda b, shown=code: shown.is_displayed())


def test_the_dark_theme_is_dark(browser, address):
    visit(browser, f"{address}/book/index.html")
    for theme, bright in (("light", True), ("dark", False)):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        level = sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3
        assert (level > 200) is bright, (theme, colour)
