"""The page about the builder says what the stored trial holds."""

from sdnet_lib.publish import builder_page
from sdnet_lib.studies import published


def cells(page):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]


def test_every_number_comes_from_the_stored_trial():
    table, origin = published.load("build")
    page = builder_page.write()
    shown = cells(page)
    for row in table[~table["table"].isin(["markers", "false"])].itertuples():
        assert any([f"{row.right:,}", f"{row.total:,}"] == line[1:3] for line in shown), row
    for row in table[table["table"] == "markers"].itertuples():
        assert f"`{row.name}` was read on {row.right} of {row.total} films" in " ".join(page.split())
    built = origin["built"]
    assert f"{built['images']['positive']} positive films are released" in page
    assert f"{built['seconds'] / 60:.1f} minutes" in page and origin["command"] in page


def test_the_diagram_shows_every_rule():
    flow = published.load("build")[1]["built"]["flow"]
    (axes,) = builder_page.figures()[builder_page.FIGURE].axes
    said = " ".join(text.get_text() for text in axes.texts)
    assert all(rule in said for rule in flow["rule"])
    assert all(str(count) in builder_page.write() for count in flow["left"])
