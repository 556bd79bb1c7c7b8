"""Pages lose weight and nothing that is seen."""

import io

import numpy as np
import pytest
from PIL import Image

from sdnet_lib.publish import light

NAME = "0" * 64
ICONS = (
    '.fas{font-weight:900}.fa-add:before,.fa-plus:before{content:"\\2b"}'
    '.fa-expand:before{content:"\\f065"}.fa-lg{font-size:1.25em}'
)


@pytest.fixture
def html(tmp_path):
    """One page with a theme's extras, a figure of a cell and one of the book."""
    (tmp_path / "_images").mkdir()
    icons = tmp_path / "_static" / "vendor" / "fontawesome" / "6.5.2" / "css"
    icons.mkdir(parents=True)
    (icons / "all.min.css").write_text(ICONS)
    for name in (NAME, "cohort", "unseen"):
        film().save(tmp_path / "_images" / f"{name}.png")
    (tmp_path / "page.html").write_text(
        '<link rel="preload" as="font" href="a.woff2" />\n<link rel="preload" as="script" href="a.js" />\n'
        '<script src="vendor/fontawesome/js/all.min.js"></script>\n<i class="fas fa-plus"></i>\n'
        f'<img src="_images/{NAME}.png"><a href="_images/cohort.png"><img src="_images/cohort.png"></a>'
    )
    return tmp_path


def film():
    rng = np.random.default_rng(0)
    smooth = np.linspace(40, 200, 300)[None] + rng.normal(0, 6, (200, 300))
    return Image.fromarray(np.stack([smooth] * 3, axis=2).clip(0, 255).astype(np.uint8))


def test_a_page_shows_its_figures_as_webp_and_loads_nothing_in_vain(html):
    light.lighten(html)
    text = (html / "page.html").read_text()
    assert text.count("_images/cohort.webp") == 2 and f"_images/{NAME}.webp" in text and ".png" not in text
    assert "fontawesome/js" not in text and 'as="font"' not in text and 'as="script"' in text
    assert (html / "_images" / "cohort.png").exists()  # notebooks link it by name
    assert not (html / "_images" / f"{NAME}.png").exists()
    assert not (html / "_images" / "unseen.webp").exists()


def test_the_style_sheet_keeps_what_is_used(html):
    light.lighten(html)
    (sheet,) = html.rglob("all.min.css")
    assert sheet.read_text() == ICONS.replace('.fa-expand:before{content:"\\f065"}', "")


def test_a_film_is_stored_in_a_third_and_looks_the_same(html):
    stored = light.small(film())
    as_png = io.BytesIO()
    film().save(as_png, "PNG")
    assert len(stored) < as_png.tell() / 3
    with Image.open(io.BytesIO(stored)) as again:
        difference = np.asarray(again.convert("RGB"), float) - np.asarray(film(), float)
    assert np.abs(difference).mean() < 5 and abs(difference.mean()) < 1


def test_lines_and_letters_keep_their_exact_colours():
    drawing = Image.new("RGB", (300, 200), "white")
    drawing.paste((0, 114, 178), (20, 20, 120, 24))
    drawing.paste((213, 94, 0), (20, 60, 24, 160))
    with Image.open(io.BytesIO(light.small(drawing))) as again:
        assert np.array_equal(np.asarray(again.convert("RGB")), np.asarray(drawing))


def drawing():
    axes = Image.new("RGB", (300, 200), "white")
    axes.paste((0, 114, 178), (20, 20, 120, 24))
    axes.paste((213, 94, 0), (20, 60, 80, 160))
    axes.paste((170, 210, 230), (100, 60, 160, 160))  # a band around a curve
    return axes


def test_a_drawing_is_told_from_a_film_also_beside_one(html):
    both = Image.new("RGB", (600, 400), "white")
    both.paste(film(), (0, 0))
    drawing().save(html / "_images" / f"{NAME}.png")
    both.save(html / "_images" / "cohort.png")
    light.lighten(html)
    text = (html / "page.html").read_text()
    assert f"_images/{NAME}.lines.webp" in text and (html / "_images" / f"{NAME}.lines.webp").exists()
    assert '<img src="_images/cohort.webp">' in text


def test_a_picture_one_can_see_through_stays_so():
    drawing = Image.new("RGBA", (100, 50), (0, 0, 0, 0))
    drawing.paste((255, 0, 0, 255), (10, 10, 40, 40))
    with Image.open(io.BytesIO(light.small(drawing))) as again:
        alpha = np.asarray(again.convert("RGBA"))[..., 3]
    assert set(np.unique(alpha)) == {0, 255}
