"""What each page loads in a browser with an empty cache: text, styles, scripts, fonts and pictures."""

import pytest

MOST = 1.5e6  # bytes
LOADED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map(e => [e.name, e.encodedBodySize])"""
OPEN = "document.querySelectorAll('article details').forEach(d => { d.open = true })"


@pytest.fixture
def names(html):
    return sorted(
        str(f.relative_to(html)) for part in ("book", "notebooks") for f in (html / part).rglob("*.html")
    )


def loaded(tab, url):
    """Bytes by address, also of what shows only below or when it is opened, and of what the cache has."""
    tab.goto(url)
    tab.evaluate(OPEN)
    tab.evaluate("document.fonts.ready.then(() => scrollTo(0, document.body.scrollHeight))")
    tab.wait_for_function("[...document.images].every(image => image.complete)")
    return dict(tab.evaluate(LOADED))


@pytest.mark.long
def test_no_page_is_heavy(desk, address, names):
    for name in names:
        found = loaded(desk, f"{address}/{name}")
        assert any(".woff2" in url for url in found), name  # fonts were waited for
        assert sum(found.values()) <= MOST, (name, sorted(found.items(), key=lambda one: -one[1])[:8])


def test_the_measure_counts_every_kind_of_file(desk, address, html):
    found = loaded(desk, f"{address}/notebooks/09_gradcam.html")
    sizes = {url.partition("?")[0].removeprefix(f"{address}/"): size for url, size in found.items()}
    for kind in (".html", ".css", ".js", ".woff2", ".webp"):
        of_kind = {name: size for name, size in sizes.items() if name.endswith(kind)}
        assert of_kind, kind
        assert all(size == (html / name).stat().st_size for name, size in of_kind.items()), of_kind


def test_icons_are_still_drawn(desk, address):
    desk.goto(f"{address}/book/index.html")
    drawn = desk.locator("i.fa-solid, i.fas").evaluate_all(
        "all => all.map(i => getComputedStyle(i, '::before').content)"
    )
    assert drawn and all(content not in ("none", "normal", '""') for content in drawn)
