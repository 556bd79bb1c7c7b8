"""What axe-core finds on the pages: nothing critical or serious, whatever the width and the theme."""

from importlib import resources

import pytest

# of the rules that axe does not ask by itself: whoever speaks to a control says what it shows
OPTIONS = {"resultTypes": ["violations"], "rules": {"label-content-name-mismatch": {"enabled": True}}}
FIND = """async options => (await axe.run(document, options)).violations
    .filter(found => ["critical", "serious"].includes(found.impact))
    .map(found => [found.id, found.nodes.map(node => node.html.slice(0, 200))])"""
# what is looked at on other screens: the front page, and the chapter with most formulas, tables and figures
ON_ALL_SCREENS = ("book/index", "notebooks/09_gradcam")
SCREENS = [(width, theme) for width in (1280, 768, 390) for theme in ("light", "dark")]


@pytest.fixture(scope="module")
def axe():
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


# the theme fades its colours in: in between they have little contrast
SETTLED = """() => Promise.allSettled(document.getAnimations()
    .filter(one => one instanceof CSSTransition).map(one => one.finished)).then(() => true)"""


def findings(tab, url, axe):
    tab.goto(url)
    tab.evaluate(SETTLED)
    tab.evaluate(axe)
    return tab.evaluate(FIND, OPTIONS)


@pytest.mark.long
def test_no_page_has_a_serious_finding(desk, address, html, axe):
    pages = [file for part in ("book", "notebooks") for file in sorted((html / part).rglob("*.html"))]
    twins = [file for file in pages if file.parent.name == "reference"][1:]  # all made by one template
    for name in (file.relative_to(html) for file in [*pages, html / "search.html"] if file not in twins):
        assert findings(desk, f"{address}/{name}", axe) == [], name


SMALLEST = SCREENS[-1]
OTHERS = [pytest.param(*screen, marks=pytest.mark.long) for screen in SCREENS[1:-1]]


@pytest.mark.parametrize(("width", "theme"), [*OTHERS, SMALLEST])  # all pages are seen with the first, above
def test_neither_front_page_nor_chapter_has_one_on_another_screen(chromium, address, axe, width, theme):
    with chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=theme) as tab:
        for name in ON_ALL_SCREENS:
            assert findings(tab, f"{address}/{name}.html", axe) == [], name
        assert tab.evaluate("document.documentElement.dataset.theme") == theme


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("button-name", "<button></button>"),
        ("color-contrast", '<p style="color: #ccc; background: #fff">faint</p>'),
        ("label-content-name-mismatch", '<button aria-label="Close">Open</button>'),
    ],
)
def test_the_measure_finds_what_is_wrong(desk, address, axe, rule, bad):
    desk.goto(f"{address}/book/cite.html")
    desk.evaluate("bad => { document.querySelector('article').innerHTML += bad }", bad)
    desk.evaluate(axe)
    assert [found for found, _ in desk.evaluate(FIND, OPTIONS)] == [rule]
