"""The font of formulas holds what they show, small, with the tables that place indices."""

import io

from fontTools.ttLib import TTFont

from sdnet_lib.publish import mathfont

FORMULAS = (
    "<math><msub><mi>x</mi><mo>&lt;</mo></msub><mo>\u2211</mo></math>",
    "<math>\n<mi>\u03bb</mi></math>",
)
PAGE = f"<p>Ünder</p>{FORMULAS[0]}<p>z</p>{FORMULAS[1]}"


def test_the_letters_of_formulas_are_found_and_no_others():
    assert mathfont.in_formulas(PAGE) - {"\n"} == {"x", "<", "\u2211", "\u03bb"}


def test_pages_get_a_small_font_of_these_letters(tmp_path):
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "b.html").write_text("<p>words</p>", encoding="utf-8")
    mathfont.write(tmp_path)
    written = (tmp_path / mathfont.WOFF).read_bytes()
    font = TTFont(io.BytesIO(written))
    shown = font.getBestCmap()
    assert {ord("x"), 0x2211, 0x03BB, 0x1D465} <= shown.keys() and ord("z") not in shown
    assert "MATH" in font and len(written) < 100_000
    assert any("Open Font License" in str(record) for record in font["name"].names)


def test_pages_without_formulas_get_none(tmp_path):
    (tmp_path / "a.html").write_text("<p>words</p>", encoding="utf-8")
    mathfont.write(tmp_path)
    assert not (tmp_path / mathfont.WOFF).exists()
