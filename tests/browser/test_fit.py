"""Nothing that readers want is cut, at three widths."""

from playwright.sync_api import TimeoutError, expect

WIDTHS = {1280: 900, 768: 1024, 390: 844}
CUT = """() => [...document.querySelectorAll("article pre, article table")].filter(e => e.offsetParent)
    .filter(e => e.tagName === "PRE" ? e.scrollWidth > e.clientWidth + 1
                                     : e.getBoundingClientRect().width > e.parentElement.clientWidth + 1)
    .map(e => e.tagName + " " + e.innerText.slice(0, 60))"""
OPEN = "document.querySelectorAll('article details').forEach(d => { d.open = true })"


def cut(tab):
    """Return what is cut once the page has another width: its tables are laid out anew in some moments."""
    tab.wait_for_timeout(100)
    try:
        tab.wait_for_function(f"({CUT})().length === 0", timeout=3000)
    except TimeoutError:
        return tab.evaluate(CUT)
    return []


def test_no_code_and_no_table_is_wider_than_its_box(desk, address, pages):
    for name in pages:
        desk.set_viewport_size({"width": 390, "height": 844})
        desk.goto(f"{address}/{name}")
        desk.evaluate(OPEN)
        for width, height in WIDTHS.items():
            desk.set_viewport_size({"width": width, "height": height})
            assert cut(desk) == [], (name, width)
            assert desk.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def test_the_measure_finds_what_is_cut(desk, address):
    desk.goto(f"{address}/book/index.html")
    desk.evaluate(
        "document.querySelector('article').innerHTML += '<div><table style=\"width: 3000px\"></table></div>'"
    )
    assert desk.evaluate(CUT) != []


def test_a_table_that_grows_late_still_fits(desk, address):
    desk.goto(f"{address}/book/instructors.html")
    assert desk.locator("article table.stacked").count() == 0
    desk.add_style_tag(content="article td, article th { font-size: 4rem !important }")  # as a font may
    expect(desk.locator("article table.stacked").first).to_be_visible()
    desk.wait_for_function(f"({CUT})().length === 0")
